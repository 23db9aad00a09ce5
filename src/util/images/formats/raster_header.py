"""Read the headers of PNG, JPEG and the like, and check that the file is complete."""

import os
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from src.util.errors import DataError
from src.util.images.formats import colour, heif, jpeg, png
from src.util.images.formats.base import DROPPED, EXPANDED, FIRST_ALONE, ImageInfo, check_size, damaged
from src.util.images.formats.orientation import TAG, UPRIGHT, checked, swaps

FORMATS = ["PNG", "JPEG", "BMP", "WEBP", "PPM", "GIF"]
NAMES = "PNG, JPEG, BMP, WebP, PNM, GIF, TIFF, .npy, HEIC and AVIF"

# Pillow's mode -> channels after transparency is dropped and palettes and CMYK are converted to RGB.
_CHANNELS = {"1": 1, "L": 1, "LA": 1, "I;16": 1, "I": 1,
             "RGB": 3, "RGBA": 3, "RGBX": 3, "P": 3, "PA": 3, "CMYK": 3}  # fmt: skip
_FIRST_OF_SEVERAL = {"JPEG", "GIF", "HEIF", "AVIF"}
_PILLOW_GLOBALS = threading.Lock()


def describe(file: BinaryIO, path: Path, max_pixels: int) -> tuple[str, ImageInfo]:
    """Return the format and the properties of an open image file.

    Parameters
    ----------
    file : binary file
        A file in one of `FORMATS`, HEIC or AVIF.
    path : Path
        Its name in messages.
    max_pixels : int
        Larger images are refused.

    Returns
    -------
    (str, ImageInfo)

    Raises
    ------
    DataError
        When it is not an image, cut short, too large, or in unsupported colours.
    """
    if not file.seek(0, os.SEEK_END):
        raise DataError(f"{path}: the file is empty (0 bytes)")
    with opened(file, path) as image:
        kind = "JPEG" if image.format == "MPO" else str(image.format)
        info = _describe(image, kind, file, path, max_pixels)
    is_whole = {"PNG": png.is_whole, "JPEG": jpeg.is_whole, "BMP": _bmp_is_whole}.get(kind)
    if is_whole is not None and not is_whole(file):
        raise DataError(f"{path}: the image is cut short (its end is missing); copy the file again")
    return kind, info


@contextmanager
def opened(file: BinaryIO, path: Path) -> Iterator[Image.Image]:
    """Open a file by Pillow without decoding it, and without Pillow's size limit and warnings."""
    file.seek(0)
    optional = heif.pillow_format(file.read(64), path)
    readable = jpeg.as_8_bits(file)
    with _PILLOW_GLOBALS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            with Image.open(readable, formats=[optional] if optional else FORMATS) as image:
                yield image
        except UnidentifiedImageError:
            if optional:
                raise damaged(path) from None
            raise DataError(f"{path}: not an image ({NAMES} are read)") from None
        except DataError:
            raise
        except Exception as error:  # Pillow's readers raise anything on a damaged header
            raise DataError(f"{path}: the image's header is damaged ({error})") from None
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _describe(image: Image.Image, kind: str, file: BinaryIO, path: Path, max_pixels: int) -> ImageInfo:
    width, height = image.size
    check_size(path, (height, width, 4), 2, max_pixels)
    if image.mode not in _CHANNELS:
        raise DataError(f"{path}: expected a grey or RGB image, got {image.mode}; convert it first")
    several = getattr(image, "n_frames", 1) > 1
    if several and kind not in _FIRST_OF_SEVERAL:
        raise DataError(f"{path}: expected one image, the file holds several; split it first")
    channels, dtype, data_range = _CHANNELS[image.mode], "uint8", None
    if kind == "PNG":  # Pillow's modes do not tell 16 bits
        depth, channels = png.depth_and_channels(file)
        dtype = "uint16" if depth == 16 else "uint8"
    elif kind == "JPEG":
        dtype, data_range = _jpeg_range(image, file, path)
    elif kind == "PPM":
        dtype, data_range = _pnm_range(image, file, path)
    alpha = "A" in image.mode or "transparency" in image.info
    space = colour.CMYK if image.mode == "CMYK" else ""
    changes = [
        DROPPED if alpha else EXPANDED if image.mode == "P" else "",
        colour.is_read_as_rgb(space) if space else "",
        FIRST_ALONE if several and kind == "GIF" else "",
    ]
    orientation = _orientation(image)
    if swaps(orientation):
        height, width = width, height
    change = ", ".join(filter(None, changes))
    return ImageInfo(height, width, channels, change, orientation, dtype, alpha, data_range, space)


def _jpeg_range(image: Image.Image, file: BinaryIO, path: Path) -> tuple[str, float | None]:
    """Return type and data range; None if the latter is the type's largest number."""
    bits = jpeg.bits(file)
    if bits < 8 or (bits > 8 and image.mode == "CMYK"):
        raise DataError(f"{path}: a JPEG of {image.mode} in {bits} bits is not read; convert it first")
    return "uint8" if bits == 8 else "uint16", None if bits in (8, 16) else 2**bits - 1


def _pnm_range(image: Image.Image, file: BinaryIO, path: Path) -> tuple[str, float | None]:
    """Return type and data range; None if the latter is the type's largest number.

    The data range is the third number in the header, which may contain comments.
    """
    if image.mode == "1":
        return "uint8", None
    file.seek(0)
    lines = [line.partition(b"#")[0] for line in file.read(4096).splitlines()]
    kind, *_, found = [*b" ".join(lines).split()[:4], b""][:4]
    data_range = int(found) if found.isdigit() else 0
    if not 0 < data_range < 2**16:
        raise DataError(
            f"{path}: expected a PNM data range of 1 to 65535, got {found.decode('latin-1')!r:.20}"
        )
    if kind in (b"P2", b"P3") and data_range < 255:  # OpenCV stretches these to 255
        raise DataError(f"{path}: a text PNM with a data range below 255 is not read; convert it to binary")
    dtype = "uint8" if data_range < 256 else "uint16"
    return dtype, None if data_range == np.iinfo(dtype).max else data_range


def _orientation(image: Image.Image) -> int:
    try:
        return checked(image.getexif().get(TAG))
    except Exception:  # the image may be intact if its EXIF data are damaged
        return UPRIGHT


def _bmp_is_whole(file: BinaryIO) -> bool:
    length = file.seek(0, os.SEEK_END)
    file.seek(2)
    claimed: int = struct.unpack("<L", file.read(4))[0]
    return claimed <= length
