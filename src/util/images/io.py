"""Read and write images: the functions for all code that needs pixels without metadata."""

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from src.util.atomic_file import write_atomically
from src.util.errors import DataError, StorageError
from src.util.images.conversion import as_float, as_tensor, from_float, to_float, to_uint8
from src.util.images.formats.base import ImageInfo
from src.util.images.formats.holes import Holes
from src.util.images.formats.known import JPEG_ENDINGS, TIFF_ENDINGS, WRITTEN
from src.util.images.formats.stored import open_image

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "ImageInfo", "ImageWarning", "as_channels", "as_float", "as_tensor", "channels_message", "count_pages",
    "encode_image", "from_float", "inspect_image", "middle", "read_described", "read_image", "shown", "suits",
    "to_float", "to_uint8", "use_one_thread", "write_image",
]  # fmt: skip

_ENCODED = tuple(ending for ending in WRITTEN if ending != ".npy")


class ImageWarning(UserWarning):
    """Part of an image was left out or repeated to suit the network."""


def inspect_image(path: str | os.PathLike[str], page: int = 0) -> ImageInfo:
    """Read an image's header, without decoding the image.

    Parameters
    ----------
    path : path
        PNG, JPEG, BMP, WebP, PNM, GIF, TIFF, `.npy`, HEIC or AVIF, with any ending.
    page : int
        Page of a TIFF, counted from 0.

    Returns
    -------
    ImageInfo

    Raises
    ------
    DataError
        When the file is missing, not an image, cut short, too large, or of a kind that is not supported.
    """
    with open_image(path) as stored:
        return stored.info(page)


def count_pages(path: str | os.PathLike[str]) -> int:
    """Return the number of images in a file: a TIFF's pages, else 1, also if the file cannot be read."""
    path = Path(path)
    if path.suffix.lower() not in TIFF_ENDINGS:
        return 1
    try:
        with open_image(path) as stored:
            return stored.pages
    except DataError:
        return 1  # reading it raises the error


def read_image(path: str | os.PathLike[str], page: int = 0, missing_as_nan: bool = False) -> np.ndarray:
    """Decode an image, turned upright.

    Parameters
    ----------
    path : path
        See `inspect_image`. Transparency is dropped, a palette expanded and CMYK converted to RGB, with a
        warning.
    page : int
        Page of a TIFF, counted from 0.
    missing_as_nan : bool
        Whether missing floating-point values of a GeoTIFF are NaN. Otherwise, and in integer images, they
        are filled in from their surroundings.

    Returns
    -------
    ndarray, shape (H, W, C)
        Of the stored type. C is 1 (grey), 3 (RGB) or any other number of channels.

    Raises
    ------
    DataError
        When the file cannot be read; see `inspect_image`.
    """
    return read_described(path, page, missing_as_nan)[1]


def read_described(
    path: str | os.PathLike[str], page: int = 0, missing_as_nan: bool = False
) -> tuple[ImageInfo, np.ndarray]:
    """Return the results of `inspect_image` and `read_image`, opening the file once."""
    with open_image(path) as stored:
        info = stored.info(page)
        if info.change:
            warnings.warn(info.change, ImageWarning, stacklevel=3)
        found = stored.read(page, alpha=False)
    if missing_as_nan and found.holes is not None and found.pixels.dtype.kind == "f":
        return info, Holes(found.holes.where, np.nan).put_into(found.pixels)
    return info, found.pixels


def write_image(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Write an 8-bit image atomically, into an existing folder; see `encode_image`.

    Raises
    ------
    StorageError
        When the ending is not supported, or the file cannot be written.
    """
    encoded = encode_image(path, image)
    with write_atomically(Path(path)) as file:
        file.write(encoded)


def encode_image(path: str | os.PathLike[str], image: np.ndarray) -> memoryview:
    """Return the content of an image file.

    Parameters
    ----------
    path : path
        Its ending selects the format; nothing is written.
    image : ndarray of uint8, shape (H, W, C)
        C is 1 (grey) or 3 (RGB).

    Returns
    -------
    memoryview
        The same bytes for the same image.

    Raises
    ------
    StorageError
        When the ending is not supported, or the format cannot hold the image.
    """
    path = Path(path)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3):
        raise ValueError(f"image: expected uint8 (H, W, 1 or 3), got {image.dtype} {image.shape}")
    if path.suffix.lower() not in _ENCODED:
        raise StorageError(f"{path}: cannot be written: the name must end with one of {', '.join(_ENCODED)}")
    # OpenCV does not accept all endings of JPEG.
    ending = ".jpg" if path.suffix.lower() in JPEG_ENDINGS else path.suffix.lower()
    done, encoded = cv2.imencode(ending, np.ascontiguousarray(image[..., ::-1]))
    if not done:
        raise StorageError(f"{path}: cannot be written: a {image.shape} image does not fit this format")
    return encoded.data


def as_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Return an image with the network's number of channels.

    Parameters
    ----------
    image : ndarray, shape (H, W, C)
        A grey image (C = 1) is repeated to three equal channels if the network takes three.
    channels : int
        The network's `in_channels`.

    Returns
    -------
    ndarray, shape (H, W, channels)

    Raises
    ------
    DataError
        When the image has another number of channels.
    """
    found = image.shape[2]
    if found == channels:
        return image
    if not suits(found, channels):
        raise DataError(channels_message(found, channels))
    return np.repeat(image, channels, axis=2)


def suits(found: int, channels: int) -> bool:
    """Return whether `as_channels` can convert an image of `found` channels to `channels`."""
    return found == channels or (found, channels) == (1, 3)


def shown(values: "Tensor") -> "Tensor":
    """Return the channels to display of an image (C, H, W): the first three, or the first."""
    return values[: 3 if values.shape[0] >= 3 else 1]


def middle(values: "Tensor", edge: int) -> "Tensor":
    """Return a view of the middle of an image (C, H, W), at most `edge` px high and wide."""
    top, left = (max(0, length - edge) // 2 for length in values.shape[1:])
    return values[:, top : top + edge, left : left + edge]


def channels_message(found: int, channels: int, alpha: bool = False) -> str:
    """Return the message for an image whose `found` channels (plus transparency) do not suit the network."""
    message = (
        f"the image has {found} channel{'s' * (found != 1)}, the network takes {channels}"
        f" (in_channels: {channels})"
    )
    if alpha and found + 1 == channels:
        message += (
            f"; its file marks channel {channels} as transparency, which is not denoised; save it without the"
            " mark (TIFF with ExtraSamples 0, or .npy)"
        )
    return message


def use_one_thread() -> None:
    """Keep OpenCV from starting threads, in loader workers."""
    cv2.setNumThreads(0)
