"""What all image files have in common: what they say of themselves, and what is read from them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from src.util.errors import DataError
from src.util.images.formats.holes import Holes
from src.util.images.formats.orientation import swaps

BYTES_PER_PIXEL = 16
"""What a pixel may take, four channels of 32 bits: many channels make images large, too."""

DROPPED, EXPANDED = "transparency is dropped", "a palette is expanded"
FIRST_ALONE = "further images inside are left out"


@dataclass(frozen=True)
class ImageInfo:
    """An image as it is read, known from the header alone.

    Attributes
    ----------
    height, width : int
        In pixels, upright: the orientation that the file says is applied.
    channels : int
        1 (grey), 3 (RGB) or any other number; transparency is not counted.
    change : str
        What reading it for training changes ("transparency is dropped", "a palette is expanded"), or nothing.
    orientation : int
        Of the stored rows, 1 to 8, see `src.util.images.formats.orientation`; 1 = as stored.
    dtype : str
        NumPy's name of the values' type.
    alpha : bool
        Whether transparency comes with it.
    data_range : float or None
        The data range, where the header says another than the type's largest.
    space : str
        The colours of its file where RGB is made of them, see `src.util.images.formats.colour`; or nothing.
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
        """Height x width in words."""
        return f"{self.height}x{self.width}"


@dataclass(frozen=True)
class Page:
    """An image of a file.

    Attributes
    ----------
    pixels : ndarray, shape (H, W, C)
        Of the stored type; R, G, B where C is 3.
    alpha : ndarray or None
        Transparency, of the same type and shape (H, W, 1); never denoised.
    holes : Holes or None
        Missing values, which are filled in in `pixels`.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    holes: Holes | None = None

    @property
    def stacked(self) -> np.ndarray:
        """Pixels and transparency as one array (H, W, C or C + 1), with holes as the file has them."""
        pixels = self.pixels if self.holes is None else self.holes.put_into(self.pixels)
        return pixels if self.alpha is None else np.concatenate([pixels, self.alpha], axis=2)


@dataclass(frozen=True)
class Metadata:
    """What an image carries besides its pixels, as far as any format can take it.

    Attributes
    ----------
    icc, exif, xmp : bytes
        Colour profile; EXIF data from its byte order mark on; XMP packet. Empty = none.
    dpi : (float, float) or None
        Pixels per inch, horizontally and vertically.
    png, jpeg : bytes
        Chunks of a PNG, and segments of a JPEG, that another of its kind takes as they are.
    data_range : float or None
        See `ImageInfo`.
    lost : tuple of str
        What no other format takes.
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
    """An open image file of one page or several."""

    path: Path
    kind: str
    """The format: `PNG`, `TIFF`, `NPY` and so on."""
    pages: int

    def info(self, page: int = 0) -> ImageInfo:
        """What the header says of a page; DataError when it is damaged, too large or of an unknown kind."""
        ...

    def read(self, page: int = 0, alpha: bool = True) -> Page:
        """Decode a page; without `alpha` its transparency is left out."""
        ...

    def write(self, file: BinaryIO, pages: Iterable[Page], ending: str) -> list[str]:
        """Write pages like this file's into another, in the format of `ending`, with all it carries.

        Returns
        -------
        list of str
            What could not be kept.
        """
        ...


def check_size(path: Path, shape: tuple[int, int, int], itemsize: int, max_pixels: int) -> None:
    """Refuse an image that would fill the memory.

    Parameters
    ----------
    path : Path
        For the message.
    shape : (int, int, int)
        Height, width and channels.
    itemsize : int
        Bytes of a value.
    max_pixels : int
        The limit; values may take `BYTES_PER_PIXEL` times as many bytes.

    Raises
    ------
    DataError
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
    """The error of an image that cannot be decoded."""
    reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else ""
    return DataError(f"{path}: the image is damaged and cannot be decoded{reason and f' ({reason})'}")
