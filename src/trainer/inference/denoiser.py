"""A trained denoiser from Python: pictures in, pictures of the same kind out.

Shape letters: N pictures, H rows, W columns, C channels.
"""

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeVar, cast, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from src.model import NL_BSN
from src.trainer.checkpoints.general import NAME
from src.trainer.finish import NOTHING, Finish, Parts
from src.trainer.inference.pixels import denoise_pixels
from src.trainer.inference.trained import load_trained
from src.trainer.network.tiling import Tiling
from src.trainer.network.whole_image import WholeImage
from src.util.device import resolve_device
from src.util.errors import DataError
from src.util.pictures.formats.holes import without_nan
from src.util.pictures.io import PictureWarning, suits
from src.util.pictures.value_range import (
    DataRange,
    NanRule,
    checked_nan,
    checked_range,
    checked_white,
    dark_hint,
)

_Picture = TypeVar("_Picture", np.ndarray, Tensor, Image.Image)

_ALONE = "the picture"
_SHAPES = "(H, W) or (H, W, C)"
_MODES = ("L", "RGB", "I;16", "I;16B", "I", "F")
"""Of PIL images, whose values are levels of grey, or of R, G, B."""
_MENDS = {
    "b": "convert it to floating point",
    "c": "take its magnitude",
    "O": "several pictures of different sizes are a list",
}
"""What to do with an array that holds no numbers of a picture, by its kind."""


class Denoiser:
    """Denoises pictures in memory: what comes out has the kind, the shape and the type of what went in.

    Parameters
    ----------
    network : WholeImage
        Trained: a `Network`, whose `tiling` and `ensemble` say how, or `Masked`.
    data_range : "auto" or float
        The number that is white; `auto` takes 255 for uint8, 65535 for uint16, 1.0 for floating point: an
        array has no header that says another.
    nan : "stop" or "keep"
        Whether pictures with NaN are refused, or NaN stays where it is.
    finish : Finish
        What is given back after the network.
    each_channel : bool
        Whether pictures of other numbers of channels go through the network channel by channel.

    Raises
    ------
    ConfigError
        When `data_range` or `nan` is neither.

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
            A `.pth` file, what `--export` wrote, or `general`, the network that comes with the program.
        device : str or torch.device
            `auto` (a GPU if there is one), `cpu`, `mps`, `cuda` or a GPU's number.
        tile, overlap : int or "auto"
            How pictures are cut to bound the memory, see `src.trainer.network.tiling.Tiling`; `tile=0` never
            cuts.
        ensemble : bool
            Take the mean over the 8 flips and rotations: eight times slower.
        masked : bool
            Hide from the network the pixels that it predicts, see `src.trainer.network.masked.Masked`: for
            networks that learnt to fill large holes, and many times slower. Not together with `ensemble`.
        data_range : "auto" or float
            The number that is white; `auto` takes what the configuration of the training says.
        nan : "stop" or "keep", optional
            Whether pictures with NaN are refused, or NaN stays where it is; None takes what the configuration
            of the training says.
        finish : {"none", "light", "detail", "all"}, optional
            What is given back of the picture after the network; None takes what the checkpoint says.
        strength : float, optional
            How far to go from the picture (0) to the result (1); None takes what the checkpoint says.
        config : str, optional
            A configuration's name or path, for checkpoints that carry none (the original's).
        settings : sequence of str
            Overrides `KEY=VALUE` of the configuration, such as `training.precision=bf16`.

        Raises
        ------
        UserError
            When the checkpoint, the device or an option cannot be used.
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
    def __call__(self, pictures: _Picture) -> _Picture: ...

    @overload
    def __call__(self, pictures: Sequence[_Picture]) -> list[_Picture]: ...

    def __call__(self, pictures: Any) -> Any:
        """Denoise one picture or several.

        Parameters
        ----------
        pictures : ndarray, Tensor, PIL image or sequence of these
            One picture (H, W) or (H, W, C); pictures of one size (N, H, W, C); or a list of pictures of any
            sizes. Whole or floating-point numbers; a PIL image of mode L, RGB, I;16, I or F. A grey picture
            suits a network for colours, too. Left as they are.

        Returns
        -------
        ndarray, Tensor, PIL image or list of these
            As given: a tensor of the same type on the same device; a PIL image of the same mode, of pixels
            alone; an array for anything else that NumPy takes for one. Whole numbers are rounded, and
            clipped to the range from black to white, or to the picture's own where that is wider: values
            below 0 are kept.

        Raises
        ------
        DataError
            When a picture has another number of channels than the network, or values that are infinite, NaN
            (unless `nan` keeps it) or need a `data_range`: floats far from [0, 1], whole numbers of 32 or 64
            bits that use little of their range. Those of 16 bits that do are given a `PictureWarning`.
        """
        if _are_several(pictures):
            results = []
            for number, picture in enumerate(pictures):
                array, as_given = _as_array(picture, f"picture {number}")
                results.append(as_given(self._denoised(array, f"picture {number}")))
            return results
        array, as_given = _as_array(pictures, _ALONE)
        if array.ndim != 4:
            return as_given(self._denoised(array, _ALONE))
        result = np.empty_like(array, order="C")
        for number, picture in enumerate(array):
            result[number] = self._denoised(picture, f"picture {number}")
        return as_given(result)

    def _denoised(self, picture: np.ndarray, name: str) -> np.ndarray:
        _expect_numbers(picture, name)
        white = checked_white(picture, self.data_range, name, nan=self.nan)
        pixels, holes = without_nan(picture.reshape(*picture.shape[:2], -1))
        if hint := dark_hint(pixels, white):
            warnings.warn(f"{name}: {hint.line}", PictureWarning, stacklevel=3)
        try:
            denoised = denoise_pixels(self.network, pixels, white, name, self.finish, self.each_channel)
        except DataError as error:
            channels = cast(NL_BSN, self.network.module).in_channels
            raise DataError(f"{error}; {_other_channels(pixels.shape[2], channels, name)}") from None
        return (denoised if holes is None else holes.put_into(denoised)).reshape(picture.shape)


def _are_several(pictures: object) -> bool:
    """Whether these are pictures, and not one that can be gone through by rows."""
    return isinstance(pictures, Iterable) and not isinstance(pictures, str) and not _is_array(pictures)


def _is_array(picture: object) -> bool:
    return hasattr(picture, "__array__") or hasattr(picture, "__array_interface__")


def _as_array(picture: Any, name: str) -> tuple[np.ndarray, Callable[[np.ndarray], Any]]:
    """A picture as an array, and what makes an array of the kind that it was."""
    if isinstance(picture, Tensor):
        values = picture.float() if picture.dtype == torch.bfloat16 else picture  # which NumPy has not
        return values.numpy(force=True), lambda result: torch.from_numpy(result).to(picture)
    if isinstance(picture, Image.Image):
        if picture.mode not in _MODES:
            raise DataError(
                f"{name}: expected a PIL image of mode {', '.join(_MODES)}, got {picture.mode};"
                " convert it first, such as picture.convert('RGB')"
            )
        return np.asarray(picture), Image.fromarray
    if not _is_array(picture):
        raise DataError(
            f"{name}: expected an array, a tensor or a PIL image, got {type(picture).__name__};"
            " a file is read by src.util.pictures.io.read_picture"
        )
    return np.asarray(picture), lambda result: result


def _expect_numbers(picture: np.ndarray, name: str) -> None:
    """Refuse an array that is no picture."""
    if picture.dtype.kind not in "uif":
        mend = _MENDS.get(picture.dtype.kind, "convert it")
        raise DataError(f"{name}: expected whole or floating-point numbers, got {picture.dtype}; {mend}")
    if picture.ndim not in (2, 3):
        raise DataError(f"{name}: expected shape {_SHAPES}, got {picture.shape}{_several(name)}")
    if not picture.size:
        raise DataError(f"{name}: expected shape {_SHAPES}, got {picture.shape}, which is empty")


def _other_channels(found: int, channels: int, name: str) -> str:
    """How to go on with a picture whose channels, or what was taken for them, the network cannot take."""
    train = f"train a network with in_channels: {found}"
    if found in (2, 4) and suits(found - 1, channels):
        return f"drop its transparency by picture[..., :{found - 1}], or {train}"
    if found <= 4:
        return train
    return f"channels come last, (H, W, C){_several(name)}; or {train}"


def _several(name: str) -> str:
    return "; several pictures are a list, or (N, H, W, C)" if name == _ALONE else ""
