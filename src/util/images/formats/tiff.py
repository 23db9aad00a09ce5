"""TIFF: any number of channels and pages, integers and floats, read and written by tifffile.

Aldus: TIFF, Revision 6.0, 1992.
"""

import logging
from collections.abc import Iterable
from dataclasses import replace
from operator import index
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile

from src.util.errors import DataError
from src.util.images.formats import colour, tiff_texts
from src.util.images.formats.base import DROPPED, EXPANDED, ImageInfo, Metadata, Page, check_size, damaged
from src.util.images.formats.holes import without_holes
from src.util.images.formats.known import TIFF_ENDINGS
from src.util.images.formats.orientation import TAG, UPRIGHT, swaps, upright, without_orientation_in_xmp
from src.util.images.formats.raster import encode
from src.util.images.formats.tiff_colours import as_rgb, stored_samples
from src.util.images.formats.tiff_layout import stored_layout
from src.util.images.formats.tiff_pages import find_pages
from src.util.images.formats.tiff_tags import (
    ICC,
    MAX_SAMPLE_VALUE,
    PALETTE,
    SUB_IFDS,
    WHITE_IS_0,
    XMP,
    bits_of,
    channels_of,
    check_kind,
    colour_space,
    data_range_of,
    dpi,
    has_whole_words,
    missing_number,
    orientation_of,
)

MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # this program reports errors itself

# Tags that tifffile writes itself, or that are not valid for the result.
_NOT_COPIED = {
    254, 255, 256, 257, 258, 259, 262, 263, 266, 273, 277, 278, 279, 280, 281, 282, 283, 284, 288, 289,
    290, 291, 292, 293, 296, 317, 320, 322, 323, 324, 325, 338, 339, 340, 341, 347, 512, 513, 514, 515,
    517, 518, 519, 520, 521, 529, 530, 531, 532, 32997, 32998,
}  # fmt: skip
# Inks and their range, transfer function, white point and primaries: dropped with a conversion to RGB.
_COLOUR_TAGS = {301, 318, 319, 332, 333, 334, 336, 337, 342}
# Tags that point to more tags, or contain the noisy image.
_LOST = {SUB_IFDS: "SubIFDs", 34665: "EXIF data", 34853: "GPS data", 37724: "Photoshop's layers"}
_CLASSIC_BYTES = 2**32 - 2**26
"""Largest size of the pixels in a classic TIFF, whose offsets have 32 bits."""


class TiffImage:
    """An open TIFF file; see `StoredImage`.

    Parameters
    ----------
    file, path, max_pixels
        See `RasterImage`.
    """

    kind = "TIFF"

    def __init__(self, file: BinaryIO, path: Path, max_pixels: int) -> None:
        self.path = path
        self._max_pixels = max_pixels
        self._size = file.seek(0, 2)
        self._pages = find_pages(file, path)
        self.pages = len(self._pages.offsets)
        file.seek(0)
        try:
            self._tiff = tifffile.TiffFile(file)
            stack = self._tiff.imagej_metadata or {}
        except Exception as error:  # tifffile raises many kinds of errors
            raise DataError(f"{path}: the image's header is damaged ({str(error)[:200]})") from None
        if not self.pages:
            raise DataError(f"{path}: the image's header is damaged (no image in it)")
        images = found if isinstance(found := stack.get("images"), int) else 1
        self._imagej_stack = images > 1
        if images > self.pages:
            raise DataError(
                f"{path}: an ImageJ stack of {images} images, of which the file lists {self.pages};"
                " save it as an image sequence"
            )

    def info(self, page: int = 0) -> ImageInfo:
        """See `StoredImage`."""
        tags = self._page(page)
        channels, alpha = channels_of(tags)
        dtype = "uint8" if tags.photometric == PALETTE else tags.dtype.name
        space = colour_space(tags)
        changes = [
            DROPPED if alpha else EXPANDED if tags.photometric == PALETTE else "",
            colour.is_read_as_rgb(space) if space else "",
        ]
        orientation = orientation_of(tags)
        size = (tags.imagelength, tags.imagewidth)
        height, width = size[::-1] if swaps(orientation) else size
        change = ", ".join(filter(None, changes))
        data_range = data_range_of(tags)
        return ImageInfo(height, width, channels, change, orientation, dtype, alpha, data_range, space)

    def read(self, page: int = 0, alpha: bool = True) -> Page:
        """Decode a page, upright."""
        tags = self._page(page)
        bits = bits_of(tags)
        if has_whole_words(tags):
            tags.bitspersample = 8 * tags.dtype.itemsize
        try:
            stored = stored_samples(tags)  # (planes, depth, H, W, samples)
        except Exception as error:
            raise damaged(self.path, error) from None
        pixels = np.moveaxis(stored[:, 0], 0, 2).reshape(tags.imagelength, tags.imagewidth, -1)
        if bits and pixels.size and pixels.max() >> bits:
            raise DataError(f"{self.path}: values above the {bits} bits in its header; convert it to 16 bits")
        pixels = upright(pixels, orientation_of(tags))
        pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
        if tags.photometric == PALETTE:
            pixels = _coloured(pixels[..., 0], tags.colormap)
        transparency = None
        if channels_of(tags)[1]:
            pixels, transparency = pixels[..., :-1], pixels[..., -1:]
        if tags.photometric == WHITE_IS_0:
            pixels = _inverted(pixels, bits)
        if colour_space(tags):
            pixels = as_rgb(pixels, tags, self._raw(tags, ICC))
        pixels, holes = without_holes(np.ascontiguousarray(pixels), missing_number(tags))
        transparency = np.ascontiguousarray(transparency) if alpha and transparency is not None else None
        return Page(pixels, transparency, holes)

    def write(self, file: BinaryIO, pages: Iterable[Page], ending: str) -> list[str]:
        """See `StoredImage`."""
        if ending not in TIFF_ENDINGS:
            return self._convert(file, pages, ending)
        lost = {"reduced copies or masks"} if self._pages.others else set[str]()
        big, order = self._tiff.is_bigtiff, self._tiff.byteorder
        if not big and self._nbytes() > _CLASSIC_BYTES:
            big = True
            lost.add("the classic TIFF, which is limited to 4 GB: it is a BigTIFF")
        with tifffile.TiffWriter(file, bigtiff=big, byteorder=order, ome=False, shaped=False) as writer:
            for number, page in enumerate(pages):
                tags = self._page(number)
                lost |= {name for code, name in _LOST.items() if code in tags.tags}
                if space := colour_space(tags):
                    lost.add(colour.lost(space))
                if tiff_texts.is_spread(self._raw(tags, tiff_texts.DESCRIPTION)):
                    lost.add("the description, which names other files")
                bits, image = bits_of(tags), page.pixels
                if bits:
                    image = np.minimum(image, 2**bits - 1)
                    if tags.compression != 1:
                        lost.add("compression, which packed values do not have")
                image = _inverted(image, bits) if tags.photometric == WHITE_IS_0 else image
                array, layout = stored_layout(replace(page, pixels=image), tags)
                # ImageJ expects the pixels of an uncompressed stack in one block after its first page's tags.
                joined = self._imagej_stack and not (layout["compression"] or layout["tile"] or bits)
                if bits and order == ">":  # tifffile swaps the bytes before packing
                    array = array.byteswap()
                writer.write(array, **layout, contiguous=joined, extratags=self._extra(tags, once=joined))
        return sorted(lost)

    def _nbytes(self) -> int:
        """Return the uncompressed bytes of all pages."""
        pages = map(self.info, range(self.pages))
        return sum(i.height * i.width * (i.channels + i.alpha) * np.dtype(i.dtype).itemsize for i in pages)

    def _convert(self, file: BinaryIO, pages: Iterable[Page], ending: str) -> list[str]:
        if self.pages > 1:
            raise DataError(f"{self.path}: {self.pages} pages do not fit {ending}; use .tif")
        (page,) = pages
        tags = self._page(0)
        space = colour_space(tags)
        metadata = Metadata(
            icc=colour.profile_of_rgb(space, self._raw(tags, ICC)), xmp=self._raw(tags, XMP), dpi=dpi(tags),
            data_range=data_range_of(tags), lost=("TIFF tags", *([colour.lost(space)] if space else [])),
        )  # fmt: skip
        encoded, lost = encode(page, ending, metadata, self.path)
        file.write(encoded)
        return lost

    def _page(self, number: int) -> Any:
        """Return a page's tags after checking them."""
        name = f"{self.path}, page {number + 1}" if self.pages > 1 else str(self.path)
        if number >= self.pages:
            raise DataError(f"{self.path}: page {number + 1} is missing, the file has {self.pages}")
        try:
            self._tiff.filehandle.seek(self._pages.offsets[number])
            # `self._tiff.pages[number]` would read all pages before it.
            tags = tifffile.TiffPage(self._tiff, index=number)
            channels, alpha = channels_of(tags)
            shape = index(tags.imagelength), index(tags.imagewidth), index(channels + alpha)
            offsets, counts = tags.dataoffsets, tags.databytecounts
            end = max(map(sum, zip(offsets, counts, strict=False)), default=self._size + 1)
        except Exception as error:
            raise DataError(f"{name}: the image's header is damaged ({str(error)[:200]})") from None
        itemsize = tags.dtype.itemsize if tags.dtype is not None else 1
        check_size(Path(name), shape, itemsize, self._max_pixels)
        check_kind(tags, name)
        if end > self._size:
            raise DataError(f"{name}: the image is cut short (its end is missing); copy the file again")
        return tags

    def _extra(self, tags: Any, once: bool) -> list[tuple[int, int, int, bytes, bool]]:
        """Return the stored tags that are valid for the result; `once` writes them to the first page only."""
        skipped = _NOT_COPIED | _LOST.keys() | (_COLOUR_TAGS if colour_space(tags) else set())
        if bits_of(tags) is None and data_range_of(tags) is not None:
            skipped -= {MAX_SAMPLE_VALUE}
        kept = [tag for tag in tags.tags.values() if tag.code not in skipped and int(tag.dtype) != 13]
        stored = [(tag, self._raw(tags, tag.code)) for tag in kept]
        return [
            (tag.code, int(tag.dtype), tag.count * len(new) // len(raw), new, once)
            for tag, raw in stored
            if raw and len(raw) == tag.valuebytecount  # else it is damaged
            if (new := self._updated(tags, tag.code, raw))
        ]

    def _updated(self, tags: Any, code: int, raw: bytes) -> bytes:
        if code == TAG and orientation_of(tags) != UPRIGHT:
            return UPRIGHT.to_bytes(len(raw), "little" if self._tiff.byteorder == "<" else "big")
        if code == ICC:
            return colour.profile_of_rgb(colour_space(tags), raw)
        return without_orientation_in_xmp(raw) if code == XMP else tiff_texts.of_result(code, raw)

    def _raw(self, tags: Any, code: int) -> bytes:
        tag = tags.tags.get(code)
        if tag is None:
            return b""
        self._tiff.filehandle.seek(tag.valueoffset)
        return bytes(self._tiff.filehandle.read(tag.valuebytecount))


def _inverted(pixels: np.ndarray, bits: int | None = None) -> np.ndarray:
    """Swap black and white in unsigned integers of `bits` bits, by default all of the type."""
    unused = 8 * pixels.dtype.itemsize - bits if bits else 0
    return (np.iinfo(pixels.dtype).max >> unused) - pixels if pixels.dtype.kind == "u" else pixels


def _coloured(numbers: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Look up 8-bit colours in a palette of 16 bits; like libtiff, accept one of 8 bits."""
    bits = 8 if palette.max() > 255 else 0
    return (palette[:, numbers] >> bits).astype(np.uint8).transpose(1, 2, 0)
