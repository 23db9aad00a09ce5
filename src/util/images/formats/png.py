"""PNG: check that all chunks are there and intact, decode common files fast, and copy metadata chunks.

W3C: Portable Network Graphics (PNG) Specification (Third Edition), 2025. https://www.w3.org/TR/png-3/
"""

import os
import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import imagecodecs
import numpy as np

from src.util.images.formats import exif
from src.util.images.formats.base import ImageInfo, Metadata
from src.util.images.formats.orientation import UPRIGHT, swaps, without_orientation_in_xmp

SIGNATURE = b"\x89PNG\r\n\x1a\n"

# Colours, resolution, EXIF data and texts are valid for the denoised image.
_KEPT = {
    b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP", b"mDCV", b"cLLI",
    b"pHYs", b"eXIf", b"tEXt", b"zTXt", b"iTXt",
}  # fmt: skip
# Dropped silently: time of change, histogram, background colour.
_IDLE = {b"tIME", b"hIST", b"bKGD"}
_NAMES = {"sBIT": "number of significant bits", "oFFs": "offset"}
_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_INCH = 0.0254  # metres
_COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}  # by the number of channels
_SUB = 1
_TRIED = 4096  # bytes that are unpacked first, to check the filters of the first rows


def is_whole(file: BinaryIO) -> bool:
    """Return whether the last chunk is there; reads only the chunks' headers."""
    end = b"\0\0\0\0IEND\xaeB`\x82"
    file.seek(-min(len(end), file.seek(0, os.SEEK_END)), os.SEEK_END)
    if file.read() == end:
        return True
    # Bytes may follow the last chunk, so walk the chunks by their lengths.
    file.seek(len(SIGNATURE))
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            return len(file.read(4)) == 4
        file.seek(length + 4, os.SEEK_CUR)
    return False


def checksums_agree(stored: memoryview) -> bool:
    """Return whether all checksums are correct; OpenCV 4 decodes damaged images in part, without an error."""
    checksum_of: Any = imagecodecs.deflate_crc32  # a tenth of zlib's time; its stub lacks memoryview
    return all(checksum_of(body, zlib.crc32(kind)) == checksum for kind, body, checksum in _chunks(stored))


def decode(stored: memoryview, info: ImageInfo) -> np.ndarray | None:
    """Decode 8-bit images as OpenCV, and so this program, writes them, in half of libpng's time.

    All their rows have the filter Sub, the difference from the left pixel. They need only unpacking and a
    running sum.

    Parameters
    ----------
    stored : memoryview
        The file's bytes, with correct checksums.
    info : ImageInfo
        Its header; it limits what is unpacked.

    Returns
    -------
    ndarray of uint8, shape (H, W, C), or None
        In the stored orientation. None if the file is of another kind, or damaged.
    """
    height, width = info.stored_size
    expected = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPE[info.channels], 0, 0, 0)
    if stored[16:29] != expected:
        return None
    row = 1 + width * info.channels  # one byte for the filter
    packed = b"".join(body for kind, body, _ in _chunks(stored) if kind == b"IDAT")
    try:
        first = zlib.decompressobj().decompress(packed[:_TRIED], _TRIED)
        if any(number != _SUB for number in first[::row]):
            return None
        rows = np.frombuffer(imagecodecs.deflate_decode(packed, out=height * row), np.uint8)
        rows = rows.reshape(height, row)
    except (zlib.error, imagecodecs.DeflateError, ValueError):
        return None
    del packed  # it is as large as the file
    if (rows[:, 0] != _SUB).any():
        return None
    pixels: np.ndarray = imagecodecs.delta_decode(rows[:, 1:].reshape(-1, width, info.channels), axis=1)
    return pixels


def without_metadata(stored: memoryview) -> np.ndarray:
    """Return the file without profiles, texts and the like; libpng prints warnings about damaged ones."""
    kept = [_chunk(kind, bytes(body)) for kind, body, _ in _chunks(stored) if kind in _PIXELS]
    return np.frombuffer(SIGNATURE + b"".join(kept), np.uint8)


def depth_and_channels(file: BinaryIO) -> tuple[int, int]:
    """Return bits of a value, and channels without transparency: 1, or 3 (RGB or a palette)."""
    file.seek(24)
    depth, colour_type = file.read(2)
    return depth, 1 if colour_type in (_COLOUR_TYPE[1], _COLOUR_TYPE[2]) else 3


def kept_chunks(stored: memoryview, orientation: int) -> bytes:
    """Return the metadata chunks to copy, updated for the denoised, upright image."""
    kept = ((kind, bytes(body)) for kind, body, _ in _chunks(stored) if kind in _KEPT)
    return b"".join(_chunk(kind, _updated(kind, body, orientation)) for kind, body in kept)


def lost_chunks(stored: memoryview) -> tuple[str, ...]:
    """Return the names of the chunks that are neither copied nor dropped silently."""
    kinds = {kind.decode("latin-1") for kind, _, _ in _chunks(stored) if kind not in _KEPT | _PIXELS | _IDLE}
    return tuple(sorted(_NAMES.get(kind, f"{kind} chunk") for kind in kinds))


def _updated(kind: bytes, body: bytes, orientation: int) -> bytes:
    if kind == b"eXIf":
        return exif.of_result(body)
    if kind == b"iTXt" and orientation != UPRIGHT:
        return without_orientation_in_xmp(body)
    if kind == b"pHYs" and swaps(orientation):
        return body[4:8] + body[:4] + body[8:]
    return body


def chunks_of(metadata: Metadata) -> bytes:
    """Return the chunks for the metadata of an image of another format."""
    chunks = b""
    if metadata.icc:
        chunks += _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc))
    if metadata.dpi:
        chunks += _chunk(b"pHYs", struct.pack(">IIB", *(round(dpi / _INCH) for dpi in metadata.dpi), 1))
    if metadata.exif:
        chunks += _chunk(b"eXIf", metadata.exif)
    if metadata.xmp:
        chunks += _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp)
    return chunks


def with_chunks(encoded: bytes, chunks: bytes) -> bytes:
    """Insert chunks into a PNG after its header."""
    place = len(SIGNATURE) + 25
    return encoded[:place] + chunks + encoded[place:]


def _chunks(stored: memoryview) -> Iterator[tuple[bytes, memoryview, int]]:
    """Yield kind, content and checksum of each chunk up to the last."""
    start, kind = len(SIGNATURE), b""
    while start + 12 <= len(stored) and kind != b"IEND":
        length = int.from_bytes(stored[start : start + 4], "big")
        kind, end = bytes(stored[start + 4 : start + 8]), start + 12 + length
        yield kind, stored[start + 8 : start + 8 + length], int.from_bytes(stored[end - 4 : end], "big")
        start = end


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
