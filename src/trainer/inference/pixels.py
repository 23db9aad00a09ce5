"""Denoise the pixels of an image, whatever their type and number of channels.

Shape letters: H rows, W columns, C channels.
"""

from typing import cast

import numpy as np
from torch import Tensor

from src.model import NL_BSN
from src.trainer.finish import NOTHING, Finish
from src.trainer.finish.strips import Pair
from src.trainer.network.whole_image import WholeImage, Writer
from src.util.errors import DataError
from src.util.images.conversion import from_float, span_of, to_float
from src.util.images.io import as_channels, suits
from src.util.logger import LOG


def denoise_pixels(
    network: WholeImage, image: np.ndarray, data_range: float, name: str, finish: Finish = NOTHING,
    each_channel: bool = False,
) -> np.ndarray:  # fmt: skip
    """Denoise an image of any type.

    Parameters
    ----------
    network : WholeImage
        Trained.
    image : ndarray of whole or floating-point numbers, shape (H, W, C)
        Left as it is.
    data_range : float
        The data range.
    name : str
        The image's, for messages.
    finish : Finish
        What is given back afterwards. Nothing needs no copy of the image in 32 bits, all else one.
    each_channel : bool
        Whether an image whose channels the network cannot take goes through it channel by channel.

    Returns
    -------
    ndarray
        Of the same type and shape; clipped as `span_of` says, whole numbers rounded.

    Raises
    ------
    DataError
        When the image has colours that the network cannot take.
    NonFiniteError
        When the network gives NaN or infinity.
    """
    span = span_of(image, data_range)
    result = np.empty(image.shape, image.dtype)

    def keep(top: int, band: np.ndarray | Tensor) -> None:
        result[top : top + band.shape[1]] = from_float(band, image.dtype, data_range, span)

    apart = each_channel and not suits(image.shape[2], _channels(network))
    if not finish.changes and not apart:
        _run(network, image, data_range, name, keep)
        return result

    def told(gamma: float) -> None:
        LOG.info("%s: light is given back with gamma %g, found in it; test.finish.gamma sets it", name, gamma)

    for top, band in finish(denoised_pair(network, image, data_range, name, apart), told):
        keep(top, band.transpose(2, 0, 1))
    return result


def denoised_pair(
    network: WholeImage, image: np.ndarray, data_range: float, name: str, apart: bool = False
) -> Pair:
    """An image and what the network makes of it, in 32 bits; `apart`, of each channel by itself."""
    denoised = np.empty(image.shape, np.float32)
    width = 1 if apart else image.shape[2]
    for first in range(0, image.shape[2], width):
        part = slice(first, first + width)

        def take(top: int, band: Tensor, part: slice = part) -> None:
            denoised[top : top + band.shape[1], :, part] = band.permute(1, 2, 0).numpy()

        _run(network, image[..., part], data_range, name, take)
    return Pair(image, denoised, data_range, 0.0 if image.dtype.kind == "f" else 1 / data_range)


def _run(network: WholeImage, image: np.ndarray, data_range: float, name: str, take: Writer) -> None:
    channels = _channels(network)
    try:
        as_channels(image[:1, :1], channels)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None

    def read(rows: np.ndarray, columns: np.ndarray) -> Tensor:
        return to_float(as_channels(image[rows[:, None], columns], channels), data_range)

    def write(top: int, band: Tensor) -> None:
        take(top, band.mean(dim=0, keepdim=True) if image.shape[2] < channels else band)

    height, width = image.shape[:2]
    network.denoise_bands(height, width, read, write, name)


def _channels(network: WholeImage) -> int:
    return cast(NL_BSN, network.module).in_channels
