"""NumPy's `.npy`: one array, (H, W), (H, W, C) or (C, H, W).

The channels are the last axis if it has at most four entries, otherwise the shorter of first and last.

NumPy: Enhancement Proposal 1, A Simple File Format for NumPy Arrays.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from src.util.errors import DataError
from src.util.images.formats.base import ImageInfo, Metadata, Page, check_size, damaged
from src.util.images.formats.raster import encode

MAGIC = b"\x93NUMPY"


class NpyImage:
    """An open `.npy` file; see `StoredImage`.

    Parameters
    ----------
    file, path, max_pixels
        See `RasterImage`.
    """

    kind = "NPY"
    pages = 1

    def __init__(self, file: BinaryIO, path: Path, max_pixels: int) -> None:
        self.path = path
        self._file = file
        self._shape, self._fortran, self._dtype = _header(file, path)
        if self._dtype.kind not in "uif" or self._dtype.itemsize > 8:
            raise DataError(f"{path}: expected whole or floating-point numbers, got {self._dtype}")
        if len(self._shape) not in (2, 3):
            raise DataError(f"{path}: expected an array (H, W), (H, W, C) or (C, H, W), got {self._shape}")
        self._channels_first = len(self._shape) == 3 and 4 < self._shape[2] > self._shape[0]
        order = (1, 2, 0) if self._channels_first else (0, 1, 2)
        height, width, channels = ((*self._shape, 1)[axis] for axis in order)
        check_size(path, (height, width, channels), self._dtype.itemsize, max_pixels)
        start = file.tell()
        if file.seek(0, os.SEEK_END) - start < height * width * channels * self._dtype.itemsize:
            raise DataError(f"{path}: the array is cut short; copy the file again")
        self._info = ImageInfo(height, width, channels, dtype=self._dtype.newbyteorder("=").name)

    def info(self, page: int = 0) -> ImageInfo:
        """See `StoredImage`."""
        return self._info

    def read(self, page: int = 0, alpha: bool = True) -> Page:
        """Read the array as (H, W, C)."""
        self._file.seek(0)
        try:
            array = np.lib.format.read_array(self._file, allow_pickle=False)
        except (ValueError, OSError) as error:
            raise damaged(self.path, error) from None
        native = np.asarray(array, self._dtype.newbyteorder("="))
        if native.ndim == 2:
            return Page(native[..., np.newaxis])
        return Page(np.moveaxis(native, 0, -1) if self._channels_first else native)

    def write(self, file: BinaryIO, pages: Iterable[Page], ending: str) -> list[str]:
        """Write an array of the same shape, order and type; see `StoredImage`."""
        (page,) = pages
        if ending != ".npy":
            encoded, lost = encode(page, ending, Metadata(), self.path)
            file.write(encoded)
            return lost
        array = np.moveaxis(page.pixels, -1, 0) if self._channels_first else page.pixels
        array = array.reshape(self._shape).astype(self._dtype, order="F" if self._fortran else "C")
        np.lib.format.write_array(file, array, allow_pickle=False)
        return []


def _header(file: BinaryIO, path: Path) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return shape, whether the order is Fortran's, and type."""
    file.seek(0)
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            return np.lib.format.read_array_header_1_0(file)
        return np.lib.format.read_array_header_2_0(file)
    except Exception as error:  # NumPy parses the header as Python, which raises many kinds of errors
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path}: the array's header is damaged ({reason})") from None
