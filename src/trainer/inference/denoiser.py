"""A trained denoiser from Python: arrays in, arrays out.

Shape letters: N pictures, H rows, W columns, C channels.
"""

import os
from collections.abc import Sequence
from typing import Literal, cast, overload

import numpy as np
import torch
from torch import Tensor

from src.model import NL_BSN
from src.trainer.inference.trained import load_trained
from src.trainer.network.network import Network
from src.trainer.network.tiling import Tiling
from src.util.device import resolve_device
from src.util.errors import DataError
from src.util.pictures.io import as_channels
from src.util.pictures.value_range import DataRange, checked_white, from_float, span_of, to_float


class Denoiser:
    """Denoises pictures given as arrays: what comes out has the shape and the type of what went in.

    Parameters
    ----------
    network : Network
        Trained; its `tiling` and `ensemble` say how.
    data_range : "auto" or float
        The number that is white; `auto` takes 255 for uint8, 65535 for uint16, 1.0 for floating point.

    Examples
    --------
    >>> denoiser = Denoiser.load("ckpt.pth")  # doctest: +SKIP
    >>> denoiser(noisy).dtype  # doctest: +SKIP
    dtype('uint16')
    """

    def __init__(self, network: Network, data_range: DataRange = "auto") -> None:
        self.network = network
        self.data_range = data_range

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        device: str | torch.device = "auto",
        *,
        tile: int | Literal["auto"] = "auto",
        overlap: int | Literal["auto"] = "auto",
        ensemble: bool = False,
        data_range: DataRange = "auto",
        config: str | None = None,
        settings: Sequence[str] = (),
    ) -> "Denoiser":
        """Load a checkpoint.

        Parameters
        ----------
        path : path
            A `.pth` file.
        device : str or torch.device
            `auto` (a GPU if there is one), `cpu`, `mps`, `cuda` or a GPU's number.
        tile, overlap : int or "auto"
            How pictures are cut to bound the memory, see `src.trainer.network.tiling.Tiling`; `tile=0` never
            cuts.
        ensemble : bool
            Take the mean over the 8 flips and rotations: eight times slower.
        data_range : "auto" or float
            The number that is white; `auto` takes what the configuration of the training says.
        config : str, optional
            A configuration's name or path, for checkpoints that carry none (the original's).
        settings : sequence of str
            Overrides `KEY=VALUE` of the configuration, such as `training.precision=bf16`.

        Raises
        ------
        UserError
            When the checkpoint, the device or an option cannot be used.
        """
        choice = str(device).removeprefix("cuda").removeprefix(":") or "0"
        trained = load_trained(resolve_device(choice)[0], settings, config, None, None, os.fspath(path))
        trained.network.tiling = Tiling(tile, overlap)
        trained.network.ensemble = ensemble
        return cls(trained.network, trained.config.data_range if data_range == "auto" else data_range)

    @overload
    def __call__(self, pictures: np.ndarray) -> np.ndarray: ...

    @overload
    def __call__(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]: ...

    def __call__(self, pictures: np.ndarray | Sequence[np.ndarray]) -> np.ndarray | list[np.ndarray]:
        """Denoise one picture or several.

        Parameters
        ----------
        pictures : ndarray or sequence of ndarray
            One picture (H, W) or (H, W, C); pictures of one size (N, H, W, C); or a sequence of pictures of
            any sizes. Whole or floating-point numbers. A grey picture suits a network for colours, too.
            Left as they are.

        Returns
        -------
        ndarray or list of ndarray
            As given. Whole numbers are rounded, and clipped to the range from black to white, or to the
            picture's own where that is wider.

        Raises
        ------
        DataError
            When a picture has another number of channels than the network, or values that are not finite.
        """
        if not isinstance(pictures, np.ndarray):
            return [self._one(picture, f"picture {number}") for number, picture in enumerate(pictures)]
        if pictures.ndim != 4:
            return self._one(pictures, "the picture")
        result = np.empty_like(pictures, order="C")
        for number, picture in enumerate(pictures):
            result[number] = self._one(picture, f"picture {number}")
        return result

    def _one(self, picture: np.ndarray, name: str) -> np.ndarray:
        picture = np.asarray(picture)
        if picture.ndim not in (2, 3) or not picture.size or picture.dtype.kind not in "uif":
            raise DataError(
                f"{name}: expected numbers of shape (H, W) or (H, W, C), got {picture.dtype} {picture.shape};"
                " several pictures are a list, or (N, H, W, C)"
            )
        white = checked_white(picture, self.data_range, name)
        pixels = picture.reshape(*picture.shape[:2], -1)
        try:
            return denoise_pixels(self.network, pixels, white, name).reshape(picture.shape)
        except DataError as error:
            raise DataError(f"{error}; several pictures are a list, or (N, H, W, C)") from None


def denoise_pixels(network: Network, picture: np.ndarray, white: float, name: str) -> np.ndarray:
    """Denoise a picture of any type, holding no copy of it in 32 bits.

    Parameters
    ----------
    network : Network
        Trained.
    picture : ndarray of whole or floating-point numbers, shape (H, W, C)
        C is 1 or the network's; left as it is.
    white : float
        The number that is white.
    name : str
        The picture's, for messages.

    Returns
    -------
    ndarray
        Of the same type and shape; clipped as `span_of` says, whole numbers rounded.

    Raises
    ------
    DataError
        When the picture has colours that the network cannot take.
    NonFiniteError
        When the network gives NaN or infinity.
    """
    channels = cast(NL_BSN, network.module).in_channels
    try:
        as_channels(picture[:1, :1], channels)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    span = span_of(picture, white)
    result = np.empty(picture.shape, picture.dtype)

    def read(rows: np.ndarray, columns: np.ndarray) -> Tensor:
        return to_float(as_channels(picture[rows[:, None], columns], channels), white)

    def write(top: int, band: Tensor) -> None:
        if picture.shape[2] < channels:
            band = band.mean(dim=0, keepdim=True)
        result[top : top + band.shape[1]] = from_float(band, picture.dtype, white, span)

    height, width = picture.shape[:2]
    network.denoise_bands(height, width, read, write, name)
    return result
