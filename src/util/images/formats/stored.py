"""Open an image file of any format, by its content."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from src.util.errors import DataError
from src.util.images.formats import npy, tiff
from src.util.images.formats.base import StoredImage
from src.util.images.formats.known import MAX_PIXELS
from src.util.images.formats.raster import RasterImage


@contextmanager
def open_image(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Iterator[StoredImage]:
    """Open an image file and check the header of its first page.

    Parameters
    ----------
    path : path
        PNG, JPEG, BMP, WebP, PNM, GIF, TIFF, `.npy`, HEIC or AVIF, with any ending.
    max_pixels : int
        Larger images are refused.

    Yields
    ------
    StoredImage
        Valid inside the `with` block.

    Raises
    ------
    DataError
        When the file is missing, not an image, cut short or too large.
    """
    path = Path(path)
    if path.is_symlink() and not path.exists():
        raise DataError(f"{path}: a link to {os.readlink(path)}, which does not exist")
    if path.exists() and not path.is_file():  # reading a pipe would block
        found = "folder" if path.is_dir() else "pipe or device"
        raise DataError(f"{path}: expected an image, found a {found}")
    try:
        file = open(path, "rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    with file:
        yield open_stream(file, path, max_pixels)


def open_stream(file: BinaryIO, path: Path, max_pixels: int = MAX_PIXELS) -> StoredImage:
    """Do the same as `open_image` for an open file; `path` is its name in messages."""
    try:
        head = file.read(8)
        image: StoredImage
        if head[:4] in tiff.MAGICS:
            image = tiff.TiffImage(file, path, max_pixels)
        elif head.startswith(npy.MAGIC):
            image = npy.NpyImage(file, path, max_pixels)
        else:
            image = RasterImage(file, path, max_pixels)
        image.info()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    return image
