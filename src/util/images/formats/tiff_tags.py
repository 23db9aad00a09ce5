"""Interpret the tags of a TIFF page; `tags` is always tifffile's page."""

import json
import math
from operator import index
from typing import Any

import numpy as np
import tifffile

from src.util.errors import DataError
from src.util.images.formats import colour
from src.util.images.formats.orientation import TAG, UPRIGHT, checked, swaps

WHITE_IS_0, BLACK_IS_0, RGB, PALETTE, YCBCR = 0, 1, 2, 3, 6
_SEPARATED, _CIE_LAB, ICC_LAB = 5, 8, 9
"""Values of PhotometricInterpretation."""
ICC, XMP, SUB_IFDS, MAX_SAMPLE_VALUE = 34675, 700, 330, 281
"""Numbers of tags."""
_RESOLUTION_UNIT, _GDAL_NODATA = 296, 42113
_GEOREFERENCES = (33550, 33922, 34264)
_PER_INCH = {2: 1.0, 3: 2.54}
_ALPHA = (1, 2)  # values of ExtraSamples: premultiplied alpha, alpha
_JPEG = (6, 7)  # values of Compression
_INK_SET, _SUBSAMPLING = 332, 530
_SPACES = {
    _SEPARATED: colour.CMYK, YCBCR: colour.YCBCR, _CIE_LAB: colour.LAB, ICC_LAB: colour.LAB
}  # fmt: skip


def check_kind(tags: Any, name: str) -> None:
    """Raise DataError for a page that is not supported; `name` begins the message."""
    if not _has_known_colours(tags):
        found = getattr(tags.photometric, "name", tags.photometric)
        raise DataError(f"{name}: expected grey, RGB or more channels, got {found}; convert it first")
    if tags.dtype is None or tags.dtype.kind not in "uif" or tags.bitspersample in (1, 2, 4):
        raise DataError(f"{name}: values of {tags.bitspersample} bits are not read; convert them first")
    if stack := _truncated(tags):
        raise DataError(f"{name}: a stack of shape {stack} without its list of pages; save it with them")
    if tags.is_reduced and SUB_IFDS in tags.tags:  # such as DNG, with the raw data in a SubIFD
        raise DataError(f"{name}: only a small copy of a raw image; develop it to a 16-bit TIFF first")
    if tags.imagedepth > 1:
        raise DataError(f"{name}: expected images, found a volume; split it first")


def _has_known_colours(tags: Any) -> bool:
    space = colour_space(tags)
    channels, alpha = channels_of(tags)
    if not space:
        return tags.photometric in (WHITE_IS_0, BLACK_IS_0, RGB, PALETTE, YCBCR)
    if channels != 3 or tags.dtype not in (np.uint8, np.uint16):
        return False
    if tags.bitspersample != 8 * tags.dtype.itemsize:  # the conversions take the type's full range
        return False
    if space == colour.CMYK:
        return tags.samplesperpixel - alpha == 4 and bool(tags.tags.valueof(_INK_SET, default=1) == 1)
    if space == colour.YCBCR:
        plain = tags.planarconfig == tags.predictor == 1 and not alpha
        return tags.dtype == np.uint8 and (plain or subsampling(tags) == (1, 1))
    return tags.compression not in _JPEG  # tifffile would take the three channels for YCbCr


def colour_space(tags: Any) -> str:
    """Return the colour space of a page that is converted to RGB, see `colour`; else an empty text."""
    if tags.photometric == YCBCR and tags.compression in _JPEG:
        return ""  # the decoder returns RGB
    return _SPACES.get(tags.photometric, "")


def subsampling(tags: Any) -> tuple[int, int]:
    """Return how many pixels across and down share their chroma."""
    found = tags.tags.valueof(_SUBSAMPLING)
    is_valid = isinstance(found, tuple) and len(found) == 2 and {1, 2, 4}.issuperset(found)
    return (found[0], found[1]) if is_valid else (2, 2)


def _truncated(tags: Any) -> tuple[int, ...] | None:
    """Return the shape of a stack that tifffile wrote with `truncate`, which lists only its first page."""
    try:
        description = json.loads(tags.description)
        shape = tuple(index(edge) for edge in description["shape"]) if description["truncated"] else ()
    except (ValueError, TypeError, KeyError, RecursionError):  # a description may be any text
        return None
    return shape if math.prod(shape) > tags.imagelength * tags.imagewidth * tags.samplesperpixel else None


def channels_of(tags: Any) -> tuple[int, bool]:
    """Return the number of channels without transparency, and whether there is transparency."""
    if tags.photometric == PALETTE:
        return 3, False
    alpha = bool(tags.extrasamples) and int(tags.extrasamples[-1]) in _ALPHA and tags.samplesperpixel > 1
    channels = tags.samplesperpixel - alpha
    return 3 if tags.photometric == _SEPARATED and channels == 4 else channels, alpha


def bits_of(tags: Any) -> int | None:
    """Return the bits of a value if they are fewer than its type's, as in packed 12-bit files; else None."""
    bits = tags.bitspersample
    packed = tags.dtype.kind == "u" and tags.photometric != PALETTE and isinstance(bits, int)
    return bits if packed and bits < 8 * tags.dtype.itemsize else None


def has_whole_words(tags: Any) -> bool:
    """Return whether values with fewer bits than their type are stored unpacked, against the standard."""
    if bits_of(tags) is None or tags.compression != 1 or tags.is_tiled:
        return False
    size = tags.imagelength * tags.imagewidth * tags.samplesperpixel * tags.dtype.itemsize
    return bool(sum(tags.databytecounts) == size)


def data_range_of(tags: Any) -> float | None:
    """Return the data range in the header, or None if it does not differ from the type's largest number.

    It comes from BitsPerSample or MaxSampleValue. The latter is often just the image's maximum, or left over
    from a conversion of 8 bits, so it counts only if it is the largest number of 9 bits or more.
    """
    if (bits := bits_of(tags)) is not None:
        return 2**bits - 1
    if tags.dtype.kind not in "ui" or tags.photometric in (WHITE_IS_0, PALETTE) or colour_space(tags):
        return None
    try:
        largest = max(map(index, np.atleast_1d(tags.tags.valueof(MAX_SAMPLE_VALUE, default=0))))
    except (TypeError, ValueError):
        return None
    is_valid = largest > 255 and largest & (largest + 1) == 0 and largest < np.iinfo(tags.dtype).max
    return largest if is_valid else None


def orientation_of(tags: Any) -> int:
    """Return the orientation; upright for a georeferenced page, whose coordinates are of the stored rows."""
    if any(code in tags.tags for code in _GEOREFERENCES):
        return UPRIGHT
    return checked(tags.tags.valueof(TAG))


def missing_number(tags: Any) -> float | None:
    """Return the number that marks missing values in a GeoTIFF; None if the colours are converted."""
    try:
        number = float(tags.tags.valueof(_GDAL_NODATA, default=""))
    except (TypeError, ValueError):
        return None
    return None if tags.photometric in (WHITE_IS_0, PALETTE) or colour_space(tags) else number


def resolution(tags: Any) -> tuple[tuple[int, int], tuple[int, int], int] | None:
    """Return the upright resolution across and down as fractions, and its unit; None if invalid."""
    across, down, unit = (tags.tags.valueof(code) for code in (282, 283, _RESOLUTION_UNIT))
    unit = 2 if unit is None else unit
    if swaps(orientation_of(tags)):
        across, down = down, across
    if unit not in tuple(tifffile.RESUNIT) or not all(
        isinstance(value, tuple)
        and len(value) == 2
        and all(isinstance(part, int) and part > 0 for part in value)
        for value in (across, down)
    ):
        return None
    return across, down, int(unit)


def dpi(tags: Any) -> tuple[float, float] | None:
    """Return pixels per inch across and down; None if the resolution has no unit of length."""
    found = resolution(tags)
    if found is None or found[2] not in _PER_INCH:
        return None
    (across, down), factor = found[:2], _PER_INCH[found[2]]
    return across[0] / across[1] * factor, down[0] / down[1] * factor
