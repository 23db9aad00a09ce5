"""The common interface of image files."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from src.util.errors import DataError
from src.util.images.formats.holes import Holes
from src.util.images.formats.orientation import swaps

BYTES_PER_PIXEL = 16
"""Limit on the average size of a pixel: four channels of 32 bits."""

DROPPED, EXPANDED = "transparency is dropped", "a palette is expanded"
FIRST_ALONE = "further images inside are left out"


@dataclass(frozen=True)
class ImageInfo:
    """An image's properties, from its header.

    Attributes
    ----------
    height, width : int
        In pixels, after turning the image upright.
    channels : int
        1 (grey), 3 (RGB) or any other number, without transparency.
    change : str
        What reading it for training changes ("transparency is dropped", "a palette is expanded"); or empty.
    orientation : int
        Orientation of the stored rows, 1 (upright) to 8, see `src.util.images.formats.orientation`.
    dtype : str
        NumPy's name of the values' type.
    alpha : bool
        Whether the file has transparency.
    data_range : float or None
        The data range in the header, if it differs from the type's largest number.
    space : str
        The file's colour space if it is converted to RGB, see `src.util.images.formats.colour`; or empty.
    """

    height: int
    width: int
    channels: int
    change: str = ""
    orientation: int = 1
    dtype: str = "uint8"
    alpha: bool = False
    data_range: float | None = None
    space: str = ""

    @property
    def stored_size(self) -> tuple[int, int]:
        """Height and width of the stored rows, px."""
        return (self.width, self.height) if swaps(self.orientation) else (self.height, self.width)

    @property
    def size(self) -> str:
        """Height x width as text."""
        return f"{self.height}x{self.width}"


@dataclass(frozen=True)
class Page:
    """A decoded image of a file.

    Attributes
    ----------
    pixels : ndarray, shape (H, W, C)
        Of the stored type; RGB if C is 3.
    alpha : ndarray or None
        Transparency, of the same type and shape (H, W, 1); it is never denoised.
    holes : Holes or None
        Missing values; `pixels` has them filled in.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    holes: Holes | None = None

    @property
    def stacked(self) -> np.ndarray:
        """Pixels and transparency as one array (H, W, C or C + 1), with missing values as in the file."""
        pixels = self.pixels if self.holes is None else self.holes.put_into(self.pixels)
        return pixels if self.alpha is None else np.concatenate([pixels, self.alpha], axis=2)


@dataclass(frozen=True)
class Metadata:
    """An image's metadata that other formats can hold.

    Attributes
    ----------
    icc, exif, xmp : bytes
        Colour profile; EXIF data from its byte order mark on; XMP packet. Empty if there is none.
    dpi : (float, float) or None
        Pixels per inch, horizontally and vertically.
    png, jpeg : bytes
        Chunks of a PNG and segments of a JPEG that are copied to a file of the same format.
    data_range : float or None
        See `ImageInfo`.
    lost : tuple of str
        Names of the metadata that no other format can hold.
    """

    icc: bytes = b""
    exif: bytes = b""
    xmp: bytes = b""
    dpi: tuple[float, float] | None = None
    png: bytes = b""
    jpeg: bytes = b""
    data_range: float | None = None
    lost: tuple[str, ...] = ()


class StoredImage(Protocol):
    """An open image file with one or more pages."""

    path: Path
    kind: str
    """The format: `PNG`, `TIFF`, `NPY` and so on."""
    pages: int

    def info(self, page: int = 0) -> ImageInfo:
        """Return a page's properties; DataError when it is damaged, too large or not supported."""
        ...

    def read(self, page: int = 0, alpha: bool = True) -> Page:
        """Decode a page; `alpha` is whether to return its transparency."""
        ...

    def write(self, file: BinaryIO, pages: Iterable[Page], ending: str) -> list[str]:
        """Write denoised pages with this file's metadata, in the format of `ending`.

        Returns
        -------
        list of str
            What the format could not keep.
        """
        ...


def check_size(path: Path, shape: tuple[int, int, int], itemsize: int, max_pixels: int) -> None:
    """Raise DataError for an empty image, or one that would fill the memory.

    Parameters
    ----------
    path : Path
        The file, for the message.
    shape : (int, int, int)
        Height, width and channels.
    itemsize : int
        Bytes of a value.
    max_pixels : int
        Largest number of pixels; the bytes are limited to `BYTES_PER_PIXEL` times as many.
    """
    height, width, channels = shape
    if min(shape) < 1:
        raise DataError(f"{path}: the image is empty ({height}x{width} pixels, {channels} channels)")
    more = "(test.py --max-pixels allows more)"
    if height * width > max_pixels:
        limit = f"{max_pixels / 1e6:g} megapixels"
        raise DataError(f"{path}: {height}x{width} pixels are more than the {limit} allowed {more}")
    size = height * width * channels * itemsize
    if size > max_pixels * BYTES_PER_PIXEL:
        limit = f"{max_pixels * BYTES_PER_PIXEL / 1e9:g} GB"
        raise DataError(
            f"{path}: {height}x{width} pixels of {channels} channels take {size / 1e9:.1f} GB, more than the"
            f" {limit} allowed {more}"
        )


def damaged(path: Path, error: object = "") -> DataError:
    """Return the error for an image that cannot be decoded."""
    reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else ""
    return DataError(f"{path}: the image is damaged and cannot be decoded{reason and f' ({reason})'}")
