"""TIFF: any number of channels and pages, whole numbers and floats, read and written by tifffile.

Aldus: TIFF, Revision 6.0, 1992.
"""

import json
import logging
import math
from collections.abc import Iterable
from dataclasses import replace
from operator import index
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile

from src.util.errors import DataError
from src.util.pictures.base import DROPPED, EXPANDED, Metadata, Page, PictureInfo, check_size, damaged
from src.util.pictures.holes import without_holes
from src.util.pictures.raster import encode
from src.util.pictures.tiff_pages import find_pages

MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
ENDINGS = (".tif", ".tiff")

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what is wrong with a file is said by us, once

_WHITE_IS_0, _BLACK_IS_0, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_EXTRA, _ALPHA = (0, 1, 2), (1, 2)  # values of ExtraSamples: no more is said; premultiplied or not
_WITHOUT_LOSS = {1: None, 5: "lzw", 8: "adobe_deflate", 32946: "deflate", 32773: "packbits",
                 34925: "lzma", 50000: "zstd"}  # fmt: skip
_JPEG = (6, 7)
# Tags of layout, which tifffile writes by itself, or that are not true of the result.
_NOT_COPIED = {
    254, 255, 256, 257, 258, 259, 262, 263, 266, 273, 277, 278, 279, 280, 281, 282, 283, 284, 288, 289,
    290, 291, 292, 293, 296, 317, 320, 322, 323, 324, 325, 338, 339, 340, 341, 347, 512, 513, 514, 515,
    517, 518, 519, 520, 521, 529, 530, 531, 532, 32997, 32998,
}  # fmt: skip
_ICC, _XMP, _RESOLUTION_UNIT, _SUB_IFDS, _GDAL_NODATA = 34675, 700, 296, 330, 42113
# Tags that point to more tags, or hold the noisy picture once more.
_LOST = {_SUB_IFDS: "SubIFDs", 34665: "EXIF data", 34853: "GPS data", 37724: "Photoshop's layers"}
_PER_INCH = {2: 1.0, 3: 2.54}
_CLASSIC_BYTES = 2**32 - 2**26
"""Of pixels that a classic TIFF has room for beside its tags: its offsets have 32 bits."""


class TiffPicture:
    """An open TIFF file; see `StoredPicture`.

    Parameters
    ----------
    file, path, max_pixels
        See `RasterPicture`.
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
        except Exception as error:  # tifffile raises a dozen kinds
            raise DataError(f"{path}: the picture's header is damaged ({str(error)[:200]})") from None
        if not self.pages:
            raise DataError(f"{path}: the picture's header is damaged (no picture in it)")
        images = found if isinstance(found := stack.get("images"), int) else 1
        self._imagej_stack = images > 1
        if images > self.pages:
            raise DataError(
                f"{path}: an ImageJ stack of {images} images, of which the file lists {self.pages};"
                " save it as an image sequence"
            )

    def info(self, page: int = 0) -> PictureInfo:
        """See `StoredPicture`."""
        tags = self._page(page)
        channels, alpha = _channels(tags)
        dtype = "uint8" if tags.photometric == _PALETTE else tags.dtype.name
        change = DROPPED if alpha else EXPANDED if tags.photometric == _PALETTE else ""
        return PictureInfo(tags.imagelength, tags.imagewidth, channels, change, 1, dtype, alpha)

    def read(self, page: int = 0, alpha: bool = True) -> Page:
        """Decode a page; rows as they are stored."""
        tags = self._page(page)
        try:
            stored = tags.asarray(squeeze=False, maxworkers=1)  # (planes, depth, H, W, samples)
        except Exception as error:  # as above
            raise damaged(self.path, error) from None
        pixels = np.moveaxis(stored[:, 0], 0, 2).reshape(tags.imagelength, tags.imagewidth, -1)
        pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
        if tags.photometric == _PALETTE:
            pixels = _coloured(pixels[..., 0], tags.colormap)
        transparency = None
        if _channels(tags)[1]:
            pixels, transparency = pixels[..., :-1], pixels[..., -1:]
        if tags.photometric == _WHITE_IS_0:
            pixels = _inverted(pixels, tags.bitspersample)
        pixels, holes = without_holes(np.ascontiguousarray(pixels), _no_data(tags))
        return Page(pixels, transparency if alpha else None, holes)

    def write(self, file: BinaryIO, pages: Iterable[Page], ending: str) -> list[str]:
        """See `StoredPicture`."""
        if ending not in ENDINGS:
            return self._convert(file, pages, ending)
        lost = {"reduced copies or masks"} if self._pages.others else set[str]()
        big, order = self._tiff.is_bigtiff, self._tiff.byteorder
        if not big and self._nbytes() > _CLASSIC_BYTES:
            big = True
            lost.add("the classic TIFF, which 4 GB do not fit: it is a BigTIFF")
        with tifffile.TiffWriter(file, bigtiff=big, byteorder=order, ome=False, shaped=False) as writer:
            for number, page in enumerate(pages):
                tags = self._page(number)
                lost |= {name for code, name in _LOST.items() if code in tags.tags}
                picture = _inverted(page.pixels) if tags.photometric == _WHITE_IS_0 else page.pixels
                array, layout = _layout(replace(page, pixels=picture), tags)
                # ImageJ takes an uncompressed stack's pixels for one block behind its first page's tags.
                joined = self._imagej_stack and not layout["compression"] and not layout["tile"]
                writer.write(array, **layout, contiguous=joined, extratags=self._extra(tags, once=joined))
        return sorted(lost)

    def _nbytes(self) -> int:
        """What all pages may take in a result; the source may be smaller, compressed with loss."""
        pages = map(self.info, range(self.pages))
        return sum(i.height * i.width * (i.channels + i.alpha) * np.dtype(i.dtype).itemsize for i in pages)

    def _convert(self, file: BinaryIO, pages: Iterable[Page], ending: str) -> list[str]:
        if self.pages > 1:
            raise DataError(f"{self.path}: {self.pages} pages do not fit {ending}; TIFF holds them")
        (page,) = pages
        tags = self._page(0)
        metadata = Metadata(
            icc=self._raw(tags, _ICC), xmp=self._raw(tags, _XMP), dpi=_dpi(tags), lost=("TIFF tags",)
        )
        encoded, lost = encode(page, ending, metadata, self.path)
        file.write(encoded)
        return lost

    def _page(self, number: int) -> Any:
        """A page's tags, once they are known to make sense."""
        name = f"{self.path}, page {number + 1}" if self.pages > 1 else str(self.path)
        if number >= self.pages:
            raise DataError(f"{self.path}: page {number + 1} is missing, the file has {self.pages}")
        try:
            self._tiff.filehandle.seek(self._pages.offsets[number])
            # By its number tifffile would go through the pages before it.
            tags = tifffile.TiffPage(self._tiff, index=number)
            channels, alpha = _channels(tags)
            shape = index(tags.imagelength), index(tags.imagewidth), index(channels + alpha)
            offsets, counts = tags.dataoffsets, tags.databytecounts
            end = max(map(sum, zip(offsets, counts, strict=False)), default=self._size + 1)
        except Exception as error:  # as above
            raise DataError(f"{name}: the picture's header is damaged ({str(error)[:200]})") from None
        itemsize = tags.dtype.itemsize if tags.dtype is not None else 1
        check_size(Path(name), shape, itemsize, self._max_pixels)
        if tags.photometric not in (_WHITE_IS_0, _BLACK_IS_0, _RGB, _PALETTE, _YCBCR) or (
            tags.photometric == _YCBCR and tags.compression not in _JPEG
        ):
            found = getattr(tags.photometric, "name", tags.photometric)
            raise DataError(f"{name}: expected grey, RGB or more channels, got {found}; convert it first")
        if tags.dtype is None or tags.dtype.kind not in "uif" or tags.bitspersample in (1, 2, 4):
            raise DataError(f"{name}: values of {tags.bitspersample} bits are not read; convert them first")
        if stack := _truncated(tags):
            raise DataError(f"{name}: a stack of shape {stack} without its list of pages; save it with them")
        if tags.is_reduced and _SUB_IFDS in tags.tags:  # DNG and its like, whose raw data lie below
            raise DataError(f"{name}: only a small copy of a raw picture; develop it to a 16-bit TIFF first")
        if tags.imagedepth > 1:
            raise DataError(f"{name}: expected pictures, found a volume; split it first")
        if end > self._size:
            raise DataError(f"{name}: the picture is cut short (its end is missing); copy the file again")
        return tags

    def _extra(self, tags: Any, once: bool) -> list[tuple[int, int, int, bytes, bool]]:
        """All tags that are true of the result as of the source, as they are stored.

        With `once`, those of a stack's first page are not repeated in the others.
        """
        skipped = _NOT_COPIED | _LOST.keys()
        kept = [tag for tag in tags.tags.values() if tag.code not in skipped and int(tag.dtype) != 13]
        stored = [(tag, self._raw(tags, tag.code)) for tag in kept]
        # A damaged tag may lie beyond the file.
        return [
            (tag.code, int(tag.dtype), tag.count, raw, once)
            for tag, raw in stored
            if len(raw) == tag.valuebytecount
        ]

    def _raw(self, tags: Any, code: int) -> bytes:
        tag = tags.tags.get(code)
        if tag is None:
            return b""
        self._tiff.filehandle.seek(tag.valueoffset)
        return bytes(self._tiff.filehandle.read(tag.valuebytecount))


def _truncated(tags: Any) -> tuple[int, ...] | None:
    """The shape of a stack of which tifffile wrote the first page's tags alone, if this is its page."""
    try:
        said = json.loads(tags.description)
        shape = tuple(index(edge) for edge in said["shape"]) if said["truncated"] else ()
    except (ValueError, TypeError, KeyError, RecursionError):  # a description may be any text
        return None
    return shape if math.prod(shape) > tags.imagelength * tags.imagewidth * tags.samplesperpixel else None


def _channels(tags: Any) -> tuple[int, bool]:
    """Channels without transparency, and whether there is any."""
    if tags.photometric == _PALETTE:
        return 3, False
    alpha = bool(tags.extrasamples) and int(tags.extrasamples[-1]) in _ALPHA and tags.samplesperpixel > 1
    return tags.samplesperpixel - alpha, alpha


def _no_data(tags: Any) -> float | None:
    """The number that stands for missing values in a GeoTIFF whose pixels are read as they are stored."""
    try:
        number = float(tags.tags.valueof(_GDAL_NODATA, default=""))
    except (TypeError, ValueError):
        return None
    return None if tags.photometric in (_WHITE_IS_0, _PALETTE) else number


def _inverted(pixels: np.ndarray, bits: int | None = None) -> np.ndarray:
    """Black for white, in pictures of whole numbers, of so many bits or all; its own way back."""
    unused = 8 * pixels.dtype.itemsize - bits if bits else 0
    return (np.iinfo(pixels.dtype).max >> unused) - pixels if pixels.dtype.kind == "u" else pixels


def _coloured(numbers: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """The colours, of 16 bits, that the pixels' numbers stand for; as libtiff does it where they are of 8."""
    bits = 8 if palette.max() > 255 else 0
    return (palette[:, numbers] >> bits).astype(np.uint8).transpose(1, 2, 0)


def _layout(page: Page, tags: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """The array as tifffile takes it, and how it lay in the source."""
    array = page.stacked
    in_planes = tags.planarconfig == 2 and array.shape[2] > 1
    in_tiles = tags.is_tiled and tags.tilewidth % 16 == tags.tilelength % 16 == 0
    # What was stored with loss is not given a second one.
    compression = _WITHOUT_LOSS.get(int(tags.compression), "adobe_deflate")
    predictor = int(tags.predictor) if compression and tags.predictor in (2, 3) else None
    if predictor and (predictor == 3) != (array.dtype.kind == "f"):
        predictor = None
    photometric = _RGB if tags.photometric in (_PALETTE, _YCBCR) else int(tags.photometric)
    photometric = _BLACK_IS_0 if array.shape[2] < 3 and photometric == _RGB else photometric
    layout: dict[str, Any] = {
        "photometric": photometric,
        "planarconfig": None if array.shape[2] == 1 else 2 if in_planes else 1,
        "extrasamples": _extra_samples(tags, array.shape[2] - (3 if photometric == _RGB else 1)),
        "compression": compression,
        "predictor": predictor,
        "subfiletype": int(tags.subfiletype) or None,
        "tile": (tags.tilelength, tags.tilewidth) if in_tiles else None,
        "rowsperstrip": None if in_tiles else min(tags.rowsperstrip or array.shape[0], array.shape[0]),
        "metadata": None,
        "software": False,
        "maxworkers": 1,
    }
    if found := _resolution(tags):
        layout |= {"resolution": found[:2], "resolutionunit": found[2]}
    if array.shape[2] == 1:
        return array[..., 0], layout
    return (np.ascontiguousarray(np.moveaxis(array, 2, 0)) if in_planes else array), layout


def _extra_samples(tags: Any, count: int) -> list[int] | None:
    """What channels beyond the colours are: as the source says; of those it says nothing of, nothing either.

    Left to itself tifffile would take a fourth channel for transparency.
    """
    said = [int(value) if value in _EXTRA else 0 for value in tags.extrasamples]
    return ([0] * count + said)[-count:] if count > 0 else None


def _resolution(tags: Any) -> tuple[tuple[int, int], tuple[int, int], int] | None:
    """Pixels across and down as fractions, and the number of their unit; None where these make no sense."""
    across, down, unit = (tags.tags.valueof(code) for code in (282, 283, _RESOLUTION_UNIT))
    unit = 2 if unit is None else unit
    if unit not in tuple(tifffile.RESUNIT) or not all(
        isinstance(value, tuple)
        and len(value) == 2
        and all(isinstance(part, int) and part > 0 for part in value)
        for value in (across, down)
    ):
        return None
    return across, down, int(unit)


def _dpi(tags: Any) -> tuple[float, float] | None:
    found = _resolution(tags)
    if found is None or found[2] not in _PER_INCH:
        return None
    (across, down), factor = found[:2], _PER_INCH[found[2]]
    return across[0] / across[1] * factor, down[0] / down[1] * factor
