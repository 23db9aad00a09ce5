"""Decode TIFF pages in CMYK, YCbCr and CIELab; `tags` is always tifffile's page."""

from typing import Any

import numpy as np
import tifffile

from src.util.images.formats import colour
from src.util.images.formats.tiff_tags import ICC_LAB, colour_space, subsampling

_LUMA, _REFERENCE = 529, 532  # numbers of tags
_BT601 = (0.299, 0.587, 0.114)
_FULL_RANGE = (0, 255, 128, 255, 128, 255)


def stored_samples(tags: Any) -> np.ndarray:
    """Decode a page to its stored samples, shape (planes, depth, H, W, samples)."""
    if colour_space(tags) == colour.YCBCR and subsampling(tags) != (1, 1):
        return _upsampled(tags)[np.newaxis, np.newaxis]
    samples: np.ndarray = tags.asarray(squeeze=False, maxworkers=1)
    return samples


def as_rgb(pixels: np.ndarray, tags: Any, icc: bytes) -> np.ndarray:
    """Convert a page with a `colour_space` to RGB.

    Parameters
    ----------
    pixels : ndarray of uint8 or uint16, shape (H, W, 3 or 4)
        The stored values, without transparency.
    tags : tifffile.TiffPage
        The page.
    icc : bytes
        The page's colour profile, or empty.

    Returns
    -------
    ndarray, shape (H, W, 3)
        Of the same type; see `src.util.images.formats.colour`.
    """
    space = colour_space(tags)
    if space == colour.CMYK:
        return colour.from_cmyk(pixels, icc)
    if space == colour.LAB:
        return colour.from_lab(pixels if tags.photometric == ICC_LAB else _icc_lab(pixels))
    luma, reference = _fractions(tags, _LUMA, _BT601), _fractions(tags, _REFERENCE, _FULL_RANGE)
    spans = [white - black for black, white in zip(reference[::2], reference[1::2], strict=True)]
    is_valid = min(luma) > 0 and min(spans) > 0  # the header may be damaged
    return colour.from_ycbcr(pixels, *((luma, reference) if is_valid else (_BT601, _FULL_RANGE)))


def _icc_lab(lab: np.ndarray) -> np.ndarray:
    """Convert TIFF's CIELab to that of ICC profiles: TIFF has signed a* and b*, and 16-bit L* to 0xFFFF."""
    middle = np.iinfo(lab.dtype).max // 2 + 1
    shifted = lab ^ np.asarray((0, middle, middle), lab.dtype)
    if lab.dtype == np.uint16:
        shifted[..., 0] = np.rint(lab[..., 0] * np.float32(0xFF00 / 0xFFFF))
    return shifted


def _fractions(tags: Any, code: int, otherwise: tuple[float, ...]) -> tuple[float, ...]:
    stored = tags.tags.valueof(code)
    if not isinstance(stored, tuple) or len(stored) != 2 * len(otherwise) or not all(stored[1::2]):
        return otherwise
    return tuple(above / below for above, below in zip(stored[::2], stored[1::2], strict=True))


def _upsampled(tags: Any) -> np.ndarray:
    """Return Y, Cb and Cr of a page with subsampled chroma, which stores blocks of luma, then chroma."""
    across, down = subsampling(tags)
    height, width = tags.imagelength, tags.imagewidth
    high, wide = min(tags.rowsperstrip or height, height), width
    if tags.is_tiled:
        high, wide = tags.tilelength, tags.tilewidth
    rows, columns, block = -(-high // down), -(-wide // across), across * down + 2
    in_a_row = -(-width // wide)
    found = np.zeros((-(-height // high) * rows * down, in_a_row * columns * across, 3), np.uint8)
    unpack = tifffile.TIFF.DECOMPRESSORS[tags.compression]
    for number, (start, count) in enumerate(zip(tags.dataoffsets, tags.databytecounts, strict=True)):
        tags.parent.filehandle.seek(start)
        unpacked = unpack(tags.parent.filehandle.read(count), out=rows * columns * block)
        blocks = np.frombuffer(unpacked, np.uint8).reshape(-1, columns, block)
        luma = blocks[..., :-2].reshape(len(blocks), columns, down, across).swapaxes(1, 2)
        chroma = blocks[..., -2:].repeat(down, axis=0).repeat(across, axis=1)
        top, left = number // in_a_row * high, number % in_a_row * wide
        part = found[top : top + len(blocks) * down, left : left + columns * across]
        part[..., 0], part[..., 1:] = luma.reshape(part.shape[:2]), chroma
    return found[:height, :width]
