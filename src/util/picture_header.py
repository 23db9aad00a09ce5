"""What a picture file says of itself: size and channels from its header, and whether the file is whole."""

import os
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image, UnidentifiedImageError

from src.util.errors import DataError

MAX_PIXELS = 200_000_000
"""Larger pictures are refused from the header: a few hundred bytes can claim any size."""

FORMATS = ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM"]

# Pillow's mode -> channels once transparency is dropped and palettes are expanded.
_CHANNELS = {"1": 1, "L": 1, "LA": 1, "RGB": 3, "RGBA": 3, "RGBX": 3, "P": 3, "PA": 3}
_ORIENTATION_TAG = 0x0112
_PILLOW_GLOBALS = threading.Lock()


@dataclass(frozen=True)
class PictureInfo:
    """A picture as `src.util.image_io.read_picture` returns it, known from the header alone.

    Attributes
    ----------
    height, width : int
        In pixels, upright (the EXIF orientation of a JPEG is applied).
    channels : int
        1 (grey) or 3 (RGB).
    change : str
        What reading it changes ("transparency is dropped", "a palette is expanded"), or nothing.
    orientation : int
        EXIF orientation of the stored rows, 1 to 8; 1 = as stored.
    """

    height: int
    width: int
    channels: int
    change: str = ""
    orientation: int = 1

    @property
    def size(self) -> str:
        """Height x width in words."""
        return f"{self.height}x{self.width}"


def inspect_picture(path: str | os.PathLike[str]) -> PictureInfo:
    """Read a picture's header, without decoding the picture.

    Parameters
    ----------
    path : path
        A file of one of `FORMATS`, whatever its ending.

    Returns
    -------
    PictureInfo

    Raises
    ------
    DataError
        When the file is missing, no picture, cut short, too large, or not 8 bits grey or RGB.
    """
    path = Path(path)
    if path.is_symlink() and not path.exists():
        raise DataError(f"{path}: a link to {os.readlink(path)}, which does not exist")
    if path.is_dir():
        raise DataError(f"{path}: expected a picture, found a folder")
    try:
        with open(path, "rb") as file:
            return inspect_stream(file, path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def inspect_stream(file: BinaryIO, path: Path) -> PictureInfo:
    """The same from an open file; `path` is its name in messages."""
    if not file.seek(0, os.SEEK_END):
        raise DataError(f"{path}: the file is empty (0 bytes)")
    file.seek(0)
    with _opened(file, path) as image:
        info = _describe(image, path)
        kind = image.format
    if (kind == "PNG" and not _png_is_whole(file)) or (kind in ("JPEG", "MPO") and not _jpeg_is_whole(file)):
        raise DataError(f"{path}: the picture is cut short (its end is missing); copy the file again")
    return info


@contextmanager
def _opened(file: BinaryIO, path: Path) -> Iterator[Image.Image]:
    """Pillow's lazy open with our own size limit and our own messages instead of its warnings."""
    with _PILLOW_GLOBALS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            with Image.open(file, formats=FORMATS) as image:
                yield image
        except UnidentifiedImageError:
            raise DataError(f"{path}: not a picture ({', '.join(FORMATS)} are read)") from None
        except DataError:
            raise
        except Exception as error:  # Pillow's readers raise anything on a damaged header
            raise DataError(f"{path}: the picture's header is damaged ({error})") from None
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _describe(image: Image.Image, path: Path) -> PictureInfo:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise DataError(
            f"{path}: {height}x{width} pixels are more than the {MAX_PIXELS // 10**6} megapixels allowed"
        )
    if not _has_8_bits(image):
        raise DataError(f"{path}: only 8-bit pictures are supported, this one has more; convert it first")
    if image.mode not in _CHANNELS:
        raise DataError(f"{path}: expected a grey or RGB picture, got {image.mode}; convert it first")
    if image.format not in ("JPEG", "MPO") and getattr(image, "n_frames", 1) > 1:
        raise DataError(f"{path}: expected one picture, the file holds several; split it first")
    orientation = _orientation(image)
    if orientation >= 5:
        height, width = width, height
    return PictureInfo(height, width, _CHANNELS[image.mode], _change(image), orientation)


def _has_8_bits(image: Image.Image) -> bool:
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return False
    for tile in getattr(image, "tile", ()):
        # Pillow calls 16-bit RGB plain "RGB"; the stored layout, such as "RGB;16B", tells them apart. Its
        # reader "ppm" is the one for PNM files whose white is not 255.
        layout: Any = tile[3] if isinstance(tile[3], str) else tile[3][0] if tile[3] else ""
        if "16" in str(layout) or tile[0] == "ppm":
            return False
    return True


def _change(image: Image.Image) -> str:
    if "A" in image.mode or "transparency" in image.info:
        return "transparency is dropped"
    return "a palette is expanded" if image.mode == "P" else ""


def _orientation(image: Image.Image) -> int:
    if image.format not in ("JPEG", "MPO"):
        return 1
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # damaged EXIF data says nothing about the picture itself
        return 1
    return orientation if orientation in range(1, 9) else 1


def _png_is_whole(file: BinaryIO) -> bool:
    end = b"\0\0\0\0IEND\xaeB`\x82"
    file.seek(-min(len(end), file.seek(0, os.SEEK_END)), os.SEEK_END)
    if file.read() == end:
        return True
    # Bytes may follow the last chunk: walk the chunks by their lengths.
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            return len(file.read(4)) == 4
        file.seek(length + 4, os.SEEK_CUR)
    return False


def _jpeg_is_whole(file: BinaryIO) -> bool:
    file.seek(-min(64, file.seek(0, os.SEEK_END)), os.SEEK_END)
    if file.read().rstrip(b"\0\r\n").endswith(b"\xff\xd9"):
        return True
    # Phones append a film or a depth map: look for the end mark behind the first scan. Segments before it (a
    # thumbnail) are skipped by their lengths; inside a scan the two bytes of a mark never occur as data.
    file.seek(2)
    while len(head := file.read(4)) == 4:
        marker, length = struct.unpack(">HH", head)
        if marker == 0xFFDA:
            return b"\xff\xd9" in file.read()
        file.seek(length - 2, os.SEEK_CUR)
    return False
