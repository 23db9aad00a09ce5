"""Find the pages of a TIFF: read its chain of directories once and cache it.

Each directory holds only the offset of the next one. Reading the chain again for each crop of a stack would
take longer than decoding the page.
"""

import os
import struct
from array import array
from pathlib import Path
from typing import BinaryIO, NamedTuple

from src.util.errors import DataError

_CACHED_FILES = 256  # with several pages; 8 bytes for each page

_MAX_TAGS = 4096
_NEW_SUBFILE_TYPE, _REDUCED_OR_MASK = 254, 1 | 4
_OLD_REDUCED = 255, 2
_SHORT = 3


class Pages(NamedTuple):
    """The pages of a file.

    Attributes
    ----------
    offsets : array of int
        Offset of each page's directory, in order.
    others : int
        Number of reduced copies and masks, which are not images.
    """

    offsets: "array[int]"
    others: int = 0


_Key = tuple[int, int, int, int, int]
_cache: dict[_Key, Pages] = {}


class _Layout(NamedTuple):
    """The place of the first offset, the formats of tag counts and offsets, bytes of a tag, byte order."""

    first: int
    tags: struct.Struct
    offset: struct.Struct
    tag_bytes: int
    order: str


def find_pages(file: BinaryIO, path: Path) -> Pages:
    """Find the offset of each page's directory.

    Parameters
    ----------
    file : binary file
        A TIFF or BigTIFF.
    path : Path
        Its name in messages.

    Returns
    -------
    Pages
        Without reduced copies and masks, unless there is nothing else.

    Raises
    ------
    DataError
        When the chain leaves the file, because it was cut short, or runs in a circle.
    """
    key = _key(file)
    pages = None if key is None else _cache.get(key)
    if pages is None:
        pages = _chain(file, path)
        if key is not None and len(pages.offsets) > 1:
            if len(_cache) >= _CACHED_FILES:
                _cache.clear()
            _cache[key] = pages
    return pages


def _key(file: BinaryIO) -> _Key | None:
    """Identify a file and its current state; None for a file that is not on disk."""
    try:
        status = os.fstat(file.fileno())
    except OSError:
        return None
    # A copy may keep its original's mtime, but not its ctime.
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _chain(file: BinaryIO, path: Path) -> Pages:
    size = file.seek(0, os.SEEK_END)
    layout = _layout(file)
    file.seek(layout.first)
    offsets, images, seen = array("Q"), array("Q"), set[int]()
    try:
        # Some programs omit the last offset, which is 0.
        while (stored := file.read(layout.offset.size)) and (offset := layout.offset.unpack(stored)[0]):
            if offset in seen:
                raise DataError(f"{path}: damaged: after page {len(offsets)} its pages run in a circle")
            if offset >= size:
                raise _cut_short(path, len(offsets))
            offsets.append(offset)
            seen.add(offset)
            file.seek(offset)
            (tags,) = layout.tags.unpack(file.read(layout.tags.size))
            if tags > _MAX_TAGS:
                raise DataError(f"{path}: the image's header is damaged (page {len(offsets)}: {tags} tags)")
            content = file.read(tags * layout.tag_bytes)
            if len(content) < tags * layout.tag_bytes:
                raise _cut_short(path, len(offsets))
            if _is_image(content, layout):
                images.append(offset)
    except struct.error:
        raise _cut_short(path, len(offsets)) from None
    return Pages(images, len(offsets) - len(images)) if images else Pages(offsets)


def _is_image(tags: bytes, layout: _Layout) -> bool:
    """Return whether a page is an image, by its first two tags; they are sorted by number."""
    for start in range(0, min(2 * layout.tag_bytes, len(tags)), layout.tag_bytes):
        code, kind = struct.unpack_from(layout.order + "HH", tags, start)
        place = start + layout.tag_bytes - layout.offset.size
        (value,) = struct.unpack_from(layout.order + ("H" if kind == _SHORT else "I"), tags, place)
        if (code == _NEW_SUBFILE_TYPE and value & _REDUCED_OR_MASK) or (code, value) == _OLD_REDUCED:
            return False
    return True


def _layout(file: BinaryIO) -> _Layout:
    file.seek(0)
    order = "<" if file.read(2) == b"II" else ">"
    (version,) = struct.unpack(order + "H", file.read(2))
    if version == 43:  # BigTIFF
        return _Layout(8, struct.Struct(order + "Q"), struct.Struct(order + "Q"), 20, order)
    return _Layout(4, struct.Struct(order + "H"), struct.Struct(order + "I"), 12, order)


def _cut_short(path: Path, pages: int) -> DataError:
    what = f"what follows page {pages}" if pages else "its end"
    return DataError(f"{path}: the image is cut short ({what} is missing); copy the file again")
