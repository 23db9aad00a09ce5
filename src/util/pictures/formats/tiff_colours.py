"""The pixels of a TIFF page as grey or RGB; `tags` is everywhere the page as tifffile gives it."""

from typing import Any

import numpy as np
import tifffile

from src.util.pictures.formats import colour
from src.util.pictures.formats.tiff_tags import (
    ICC_LAB,
    PALETTE,
    REFERENCE,
    WHITE_IS_0,
    colour_space,
    subsampling,
)

_LUMA = 529
_BT601 = (0.299, 0.587, 0.114)
_FULL_RANGE = (0, 255, 128, 255, 128, 255)


def stored_pixels(tags: Any) -> np.ndarray:
    """Decode a page: (H, W, samples), as they are stored. Raises what tifffile does."""
    if colour_space(tags) == colour.YCBCR and subsampling(tags) != (1, 1):
        return _with_all_chroma(tags)
    stored = tags.asarray(squeeze=False, maxworkers=1)  # (planes, depth, H, W, samples)
    pixels = np.moveaxis(stored[:, 0], 0, 2).reshape(tags.imagelength, tags.imagewidth, -1)
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def as_grey_or_rgb(pixels: np.ndarray, tags: Any, icc: bytes) -> np.ndarray:
    """What the pixels look like.

    Parameters
    ----------
    pixels : ndarray, shape (H, W, samples)
        As stored, without transparency.
    tags : tifffile.TiffPage
    icc : bytes
        The page's profile, or nothing.

    Returns
    -------
    ndarray, shape (H, W, C)
        Black is 0; of other colours than grey and RGB, which see `src.util.pictures.formats.colour`, RGB.
    """
    space = colour_space(tags)
    if space == colour.CMYK:
        return colour.from_cmyk(pixels, icc)
    if space == colour.LAB:
        return colour.from_lab(pixels if tags.photometric == ICC_LAB else _as_in_profiles(pixels))
    if space == colour.YCBCR:
        return colour.from_ycbcr(
            pixels, _fractions(tags, _LUMA, _BT601), _fractions(tags, REFERENCE, _FULL_RANGE)
        )
    if tags.photometric == PALETTE:
        return _coloured(pixels[..., 0], tags.colormap)
    return inverted(pixels, tags.bitspersample) if tags.photometric == WHITE_IS_0 else pixels


def inverted(pixels: np.ndarray, bits: int | None = None) -> np.ndarray:
    """Black for white, in pictures of whole numbers, of so many bits or all; its own way back."""
    unused = 8 * pixels.dtype.itemsize - bits if bits else 0
    return (np.iinfo(pixels.dtype).max >> unused) - pixels if pixels.dtype.kind == "u" else pixels


def _coloured(numbers: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """The colours, of 16 bits, that the pixels' numbers stand for; as libtiff does it where they are of 8."""
    bits = 8 if palette.max() > 255 else 0
    return (palette[:, numbers] >> bits).astype(np.uint8).transpose(1, 2, 0)


def _as_in_profiles(lab: np.ndarray) -> np.ndarray:
    """CIELab as profiles have it: in TIFF a* and b* have a sign, and L* of 16 bits ends at 0xFFFF."""
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


def _with_all_chroma(tags: Any) -> np.ndarray:
    """Y, Cb and Cr of a page that stores fewer of the last two: the luma of each block, then its chroma."""
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
