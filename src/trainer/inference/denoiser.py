"""Denoise images from Python. Each result has the kind of its image: array, tensor or PIL image.

Shape letters: N images, H rows, W columns, C channels.
"""

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeVar, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from src.trainer.checkpoints.general import NAME
from src.trainer.finish import NOTHING, Finish, Parts
from src.trainer.inference.pixels import channels_of, denoise_pixels
from src.trainer.inference.trained import load_trained
from src.trainer.network.tiling import Tiling
from src.trainer.network.whole_image import WholeImage
from src.util.device import resolve_device
from src.util.errors import DataError
from src.util.images.formats.holes import without_nan
from src.util.images.io import ImageWarning, suits
from src.util.images.value_range import (
    DataRange,
    NanRule,
    checked_data_range,
    checked_nan,
    checked_range,
    dark_hint,
)

_Image = TypeVar("_Image", np.ndarray, Tensor, Image.Image)

_ALONE = "the image"
_SHAPES = "(H, W) or (H, W, C)"
_MODES = ("L", "RGB", "I;16", "I;16B", "I", "F")
"""Modes of PIL images whose values are grey levels, or levels of R, G and B."""
_REMEDIES = {
    "b": "convert it to floating point",
    "c": "take its magnitude",
    "O": "several images of different sizes are a list",
}
"""How to convert an array of an unsuitable type, by the kind of its type."""


class Denoiser:
    """Denoise images in memory. A result has the kind, shape and type of its image.

    Parameters
    ----------
    network : WholeImage
        A trained `Network`, used with its `tiling` and `ensemble`, or a `Masked`.
    data_range : "auto" or float
        The data range. `auto` takes 255 for uint8, 65535 for uint16 and 1.0 for floating point.
    nan : "stop" or "keep"
        Whether to refuse images with NaN, or to keep NaN where it is.
    finish : Finish
        What to restore from the noisy image after the network.
    each_channel : bool
        Whether to denoise images with another number of channels channel by channel.

    Raises
    ------
    ConfigError
        If `data_range` or `nan` is invalid.

    Examples
    --------
    >>> denoiser = Denoiser.load("ckpt.pth")  # doctest: +SKIP
    >>> denoiser(noisy).dtype  # doctest: +SKIP
    dtype('uint16')
    """

    def __init__(
        self, network: WholeImage, data_range: DataRange = "auto", nan: NanRule = "stop",
        finish: Finish = NOTHING, each_channel: bool = False,
    ) -> None:  # fmt: skip
        self.network = network
        self.data_range = checked_range(data_range)
        self.nan = checked_nan(nan)
        self.finish = finish
        self.each_channel = each_channel

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str] = NAME,
        device: str | torch.device = "auto",
        *,
        tile: int | Literal["auto"] = "auto",
        overlap: int | Literal["auto"] = "auto",
        ensemble: bool = False,
        masked: bool = False,
        data_range: DataRange = "auto",
        nan: NanRule | None = None,
        finish: Parts | None = None,
        strength: float | None = None,
        config: str | None = None,
        settings: Sequence[str] = (),
    ) -> "Denoiser":
        """Load a checkpoint.

        Parameters
        ----------
        path : path
            A `.pth` file, an exported file, or `general`, the network that comes with the program.
        device : str or torch.device
            `auto` (a GPU if there is one), `cpu`, `mps`, `cuda` or a GPU's number.
        tile, overlap : int or "auto"
            Tiles that bound the memory, see `src.trainer.network.tiling.Tiling`. `tile=0` never cuts.
        ensemble : bool
            Average the results of the 8 flips and rotations; 8 times slower.
        masked : bool
            Hide the pixels that the network predicts, see `src.trainer.network.masked.Masked`. For networks
            that learned to fill large holes; many times slower. Excludes `ensemble`.
        data_range : "auto" or float
            The data range. `auto` takes the one of the training's configuration.
        nan : "stop" or "keep", optional
            Whether to refuse images with NaN, or to keep NaN where it is. None takes the rule of the
            training's configuration.
        finish : {"none", "light", "detail", "all"}, optional
            What to restore from the noisy image after the network. None takes the checkpoint's setting.
        strength : float, optional
            Blend from the noisy image (0) to the result (1). None takes the checkpoint's setting.
        config : str, optional
            A configuration's name or path, for checkpoints without one (the original's).
        settings : sequence of str
            Overrides `KEY=VALUE` of the configuration, such as `training.precision=bf16`.

        Raises
        ------
        UserError
            If the checkpoint, the device or an option cannot be used.
        """
        data_range, nan = checked_range(data_range), None if nan is None else checked_nan(nan)
        choice = str(device).removeprefix("cuda").removeprefix(":") or "0"
        trained = load_trained(resolve_device(choice)[0], settings, config, None, None, os.fspath(path))
        trained = trained.with_finish(finish, strength)
        trained.network.tiling = Tiling(tile, overlap)
        trained.network.ensemble = ensemble
        trained = trained.with_masked() if masked else trained
        own = trained.config
        return cls(
            trained.whole, own.data_range if data_range == "auto" else data_range, nan or own.nan,
            own.test.finish, own.test.each_channel,
        )  # fmt: skip

    @overload
    def __call__(self, images: _Image) -> _Image: ...

    @overload
    def __call__(self, images: Sequence[_Image]) -> list[_Image]: ...

    def __call__(self, images: Any) -> Any:
        """Denoise one image or several.

        Parameters
        ----------
        images : ndarray, Tensor, PIL image or sequence of these
            One image (H, W) or (H, W, C), images of one size (N, H, W, C), or a list of images of any
            size. Whole or floating-point numbers, or PIL images of mode L, RGB, I;16, I or F. A network for
            colour images also takes grey ones. Not modified.

        Returns
        -------
        ndarray, Tensor, PIL image or list of these
            A tensor of the same type on the same device, a PIL image of the same mode (without metadata),
            or an array. Whole numbers are rounded. Values are clipped to the data range, or to the range of
            the image where that is wider.

        Raises
        ------
        DataError
            If an image has another number of channels than the network, or values that are infinite, NaN
            (unless `nan` keeps it), or need a `data_range`: floats far from [0, 1], and 32- or 64-bit whole
            numbers that use little of their range. 16-bit ones that do so get an `ImageWarning`.
        """
        if _are_several(images):
            results = []
            for number, image in enumerate(images):
                array, as_given = _as_array(image, f"image {number}")
                results.append(as_given(self._denoised(array, f"image {number}")))
            return results
        array, as_given = _as_array(images, _ALONE)
        if array.ndim != 4:
            return as_given(self._denoised(array, _ALONE))
        result = np.empty_like(array, order="C")
        for number, image in enumerate(array):
            result[number] = self._denoised(image, f"image {number}")
        return as_given(result)

    def _denoised(self, image: np.ndarray, name: str) -> np.ndarray:
        _expect_numbers(image, name)
        data_range = checked_data_range(image, self.data_range, name, nan=self.nan)
        pixels, holes = without_nan(image.reshape(*image.shape[:2], -1))
        if hint := dark_hint(pixels, data_range):
            warnings.warn(f"{name}: {hint.line}", ImageWarning, stacklevel=3)
        try:
            denoised = denoise_pixels(self.network, pixels, data_range, name, self.finish, self.each_channel)
        except DataError as error:
            remedy = _remedy_for_channels(pixels.shape[2], channels_of(self.network), name)
            raise DataError(f"{error}; {remedy}") from None
        return (denoised if holes is None else holes.put_into(denoised)).reshape(image.shape)


def _are_several(images: object) -> bool:
    """Return whether this is a sequence of images. One image may be iterable by rows."""
    return isinstance(images, Iterable) and not isinstance(images, str) and not _is_array(images)


def _is_array(image: object) -> bool:
    return hasattr(image, "__array__") or hasattr(image, "__array_interface__")


def _as_array(image: Any, name: str) -> tuple[np.ndarray, Callable[[np.ndarray], Any]]:
    """Return an image as an array, and a function that converts a result to the image's kind."""
    if isinstance(image, Tensor):
        values = image.float() if image.dtype == torch.bfloat16 else image  # NumPy has no bfloat16
        return values.numpy(force=True), lambda result: torch.from_numpy(result).to(image)
    if isinstance(image, Image.Image):
        if image.mode not in _MODES:
            raise DataError(
                f"{name}: expected a PIL image of mode {', '.join(_MODES)}, got {image.mode};"
                " convert it first, such as image.convert('RGB')"
            )
        return np.asarray(image), Image.fromarray
    if not _is_array(image):
        raise DataError(
            f"{name}: expected an array, a tensor or a PIL image, got {type(image).__name__};"
            " a file is read by src.util.images.io.read_image"
        )
    return np.asarray(image), lambda result: result


def _expect_numbers(image: np.ndarray, name: str) -> None:
    """Raise DataError for an array that is not an image."""
    if image.dtype.kind not in "uif":
        remedy = _REMEDIES.get(image.dtype.kind, "convert it")
        raise DataError(f"{name}: expected whole or floating-point numbers, got {image.dtype}; {remedy}")
    if image.ndim not in (2, 3):
        raise DataError(f"{name}: expected shape {_SHAPES}, got {image.shape}{_list_hint(name)}")
    if not image.size:
        raise DataError(f"{name}: expected shape {_SHAPES}, got {image.shape}, which is empty")


def _remedy_for_channels(found: int, channels: int, name: str) -> str:
    """Return how to proceed with an image whose last axis does not suit the network's channels."""
    train = f"train a network with in_channels: {found}"
    if found in (2, 4) and suits(found - 1, channels):
        return f"drop its transparency by image[..., :{found - 1}], or {train}"
    if found <= 4:
        return train
    return f"channels come last, (H, W, C){_list_hint(name)}; or {train}"


def _list_hint(name: str) -> str:
    return "; several images are a list, or (N, H, W, C)" if name == _ALONE else ""
