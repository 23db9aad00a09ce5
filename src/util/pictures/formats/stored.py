"""Opening a picture file of any kind, by its content."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from src.util.errors import DataError
from src.util.pictures.formats import npy, tiff
from src.util.pictures.formats.base import StoredPicture
from src.util.pictures.formats.known import MAX_PIXELS
from src.util.pictures.formats.raster import RasterPicture


@contextmanager
def open_picture(path: str | os.PathLike[str], max_pixels: int = MAX_PIXELS) -> Iterator[StoredPicture]:
    """Open a picture file; its first page's header is checked.

    Parameters
    ----------
    path : path
        PNG, JPEG, BMP, WebP, PNM, GIF, TIFF, `.npy`, HEIC or AVIF, whatever its ending.
    max_pixels : int
        Larger pictures are refused.

    Yields
    ------
    StoredPicture
        To be used inside the `with` block.

    Raises
    ------
    DataError
        When the file is missing, no picture, cut short or too large.
    """
    path = Path(path)
    if path.is_symlink() and not path.exists():
        raise DataError(f"{path}: a link to {os.readlink(path)}, which does not exist")
    if path.exists() and not path.is_file():  # a pipe would keep us waiting
        found = "folder" if path.is_dir() else "pipe or device"
        raise DataError(f"{path}: expected a picture, found a {found}")
    try:
        file = open(path, "rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    with file:
        yield open_stream(file, path, max_pixels)


def open_stream(file: BinaryIO, path: Path, max_pixels: int = MAX_PIXELS) -> StoredPicture:
    """The same for an open file; `path` is its name in messages."""
    try:
        head = file.read(8)
        picture: StoredPicture
        if head[:4] in tiff.MAGICS:
            picture = tiff.TiffPicture(file, path, max_pixels)
        elif head.startswith(npy.MAGIC):
            picture = npy.NpyPicture(file, path, max_pixels)
        else:
            picture = RasterPicture(file, path, max_pixels)
        picture.info()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    return picture
