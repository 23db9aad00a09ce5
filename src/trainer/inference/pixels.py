"""Denoise the pixels of an image of any type and number of channels.

Shape letters: H rows, W columns, C channels.
"""

from typing import cast

import numpy as np
from torch import Tensor

from src.model import NL_BSN
from src.trainer.finish import NOTHING, Finish
from src.trainer.finish.strips import Pair
from src.trainer.network.whole_image import Reader, WholeImage
from src.util.errors import DataError
from src.util.images.conversion import from_float, span_of, to_float
from src.util.images.io import as_channels, channels_message, suits
from src.util.logger import LOG


def denoise_pixels(
    network: WholeImage, image: np.ndarray, data_range: float, name: str, finish: Finish = NOTHING,
    each_channel: bool = False,
) -> np.ndarray:  # fmt: skip
    """Denoise an image of any type.

    Parameters
    ----------
    network : WholeImage
        A trained network.
    image : ndarray of whole or floating-point numbers, shape (H, W, C)
        Not modified.
    data_range : float
        The image's data range.
    name : str
        The image's name, for messages.
    finish : Finish
        What to restore from the image afterwards. Any finish but `NOTHING` needs a float32 copy of the image.
    each_channel : bool
        Whether an image whose channels do not suit the network is denoised channel by channel.

    Returns
    -------
    ndarray
        Same type and shape as the image. Clipped to `span_of` the image; whole numbers are rounded.

    Raises
    ------
    DataError
        If the network cannot take the image's channels.
    NonFiniteError
        If the network's output has NaN or infinity.
    """
    span = span_of(image, data_range)
    result = np.empty(image.shape, image.dtype)

    def store(top: int, band: np.ndarray | Tensor) -> None:
        result[top : top + band.shape[1]] = from_float(band, image.dtype, data_range, span)

    height, width, channels = image.shape
    apart = each_channel and not suits(channels, channels_of(network))
    if not finish.changes and not apart:
        read = _reader(network, image, data_range, name)
        network.denoise_bands(
            height, width, read, lambda top, band: store(top, _with_channels(band, channels)), name
        )
        return result

    def report(gamma: float) -> None:
        LOG.info("%s: light is given back with gamma %g, found in it; test.finish.gamma sets it", name, gamma)

    for top, band in finish(denoised_pair(network, image, data_range, name, apart), report):
        store(top, band.transpose(2, 0, 1))
    return result


def denoised_pair(
    network: WholeImage, image: np.ndarray, data_range: float, name: str, apart: bool = False
) -> Pair:
    """Return an image with the network's float32 result; `apart` denoises each channel by itself."""

    def denoise(other: np.ndarray) -> np.ndarray:
        return _denoised(network, other, 1.0, name, apart)

    step = 0.0 if image.dtype.kind == "f" else 1 / data_range
    return Pair(image, _denoised(network, image, data_range, name, apart), data_range, step, denoise)


def _denoised(
    network: WholeImage, image: np.ndarray, data_range: float, name: str, apart: bool
) -> np.ndarray:
    denoised = np.empty(image.shape, np.float32)
    height, width, channels = image.shape
    together = 1 if apart else channels
    for first in range(0, channels, together):
        part = slice(first, first + together)

        def write(top: int, band: Tensor, part: slice = part) -> None:
            pixels = _with_channels(band, together).permute(1, 2, 0)
            denoised[top : top + band.shape[1], :, part] = pixels.numpy()

        read = _reader(network, image[..., part], data_range, name)
        network.denoise_bands(height, width, read, write, name)
    return denoised


def channels_of(network: WholeImage) -> int:
    """Return the number of channels that a network takes."""
    return cast(NL_BSN, network.module).in_channels


def _reader(network: WholeImage, image: np.ndarray, data_range: float, name: str) -> Reader:
    """Return a function that reads parts of an image as the network's input."""
    channels = channels_of(network)
    if not suits(image.shape[2], channels):
        raise DataError(f"{name}: {channels_message(image.shape[2], channels)}")
    return lambda rows, columns: to_float(as_channels(image[rows[:, None], columns], channels), data_range)


def _with_channels(band: Tensor, channels: int) -> Tensor:
    """Average a band's equal channels where the image is grey and the network is not."""
    return band.mean(dim=0, keepdim=True) if len(band) > channels else band
