"""PNG: whether all its chunks are there and intact, pixels of the usual kind, and what is no pixel.

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
from src.util.images.formats.orientation import (
    UPRIGHT,
    swaps,
    without_orientation_in_xmp,
)

SIGNATURE = b"\x89PNG\r\n\x1a\n"

# Colours, resolution, EXIF data, text; true of the result as of the source.
_KEPT = {
    b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP", b"mDCV", b"cLLI",
    b"pHYs", b"eXIf", b"tEXt", b"zTXt", b"iTXt",
}  # fmt: skip
# Nothing is lost with these: when it was last changed, how often colours occur, a colour to put behind it.
_IDLE = {b"tIME", b"hIST", b"bKGD"}
_NAMES = {"sBIT": "number of significant bits", "oFFs": "offset"}
_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_INCH = 0.0254  # metres
_COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}  # by the number of channels
_SUB = 1
_TRIED = 4096  # bytes of the first rows, which tell the filters of most others


def is_whole(file: BinaryIO) -> bool:
    """Whether the last chunk is there; only headers are read."""
    end = b"\0\0\0\0IEND\xaeB`\x82"
    file.seek(-min(len(end), file.seek(0, os.SEEK_END)), os.SEEK_END)
    if file.read() == end:
        return True
    # Bytes may follow the last chunk: walk the chunks by their lengths.
    file.seek(len(SIGNATURE))
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            return len(file.read(4)) == 4
        file.seek(length + 4, os.SEEK_CUR)
    return False


def checksums_agree(stored: memoryview) -> bool:
    """Check each chunk; OpenCV 4 returns what it could decode of a damaged image."""
    checksum_of: Any = imagecodecs.deflate_crc32  # a tenth of zlib's time; its stub knows no memoryview
    return all(checksum_of(body, zlib.crc32(kind)) == checksum for kind, body, checksum in _chunks(stored))


def decode(stored: memoryview, info: ImageInfo) -> np.ndarray | None:
    """Decode the images that OpenCV writes, and so ours, in half of libpng's time.

    Their 8-bit rows all hold differences from the pixel on the left (the filter Sub), which leaves nothing to
    do but unpacking and a running sum.

    Parameters
    ----------
    stored : memoryview
        The file, its checksums checked.
    info : ImageInfo
        What its header said; nothing larger is unpacked.

    Returns
    -------
    ndarray of uint8, shape (H, W, C), or None
        As its rows are stored. None when it is of another kind, or damaged.
    """
    height, width = info.stored_size
    usual = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPE[info.channels], 0, 0, 0)
    if stored[16:29] != usual:
        return None
    row = 1 + width * info.channels  # the filter's number stands first
    packed = b"".join(body for kind, body, _ in _chunks(stored) if kind == b"IDAT")
    try:
        first = zlib.decompressobj().decompress(packed[:_TRIED], _TRIED)
        if any(number != _SUB for number in first[::row]):
            return None
        rows = np.frombuffer(imagecodecs.deflate_decode(packed, out=height * row), np.uint8)
        rows = rows.reshape(height, row)
    except (zlib.error, imagecodecs.DeflateError, ValueError):
        return None
    del packed  # as large as the file
    if (rows[:, 0] != _SUB).any():
        return None
    pixels: np.ndarray = imagecodecs.delta_decode(rows[:, 1:].reshape(-1, width, info.channels), axis=1)
    return pixels


def without_remarks(stored: memoryview) -> np.ndarray:
    """The file without its profiles, texts and the like, at faults in which libpng writes to the console."""
    kept = [_chunk(kind, bytes(body)) for kind, body, _ in _chunks(stored) if kind in _PIXELS]
    return np.frombuffer(SIGNATURE + b"".join(kept), np.uint8)


def depth_and_channels(file: BinaryIO) -> tuple[int, int]:
    """Bits of a value, and channels without transparency: 1 or 3, as a palette has."""
    file.seek(24)
    depth, colour_type = file.read(2)
    return depth, 1 if colour_type in (_COLOUR_TYPE[1], _COLOUR_TYPE[2]) else 3


def kept_chunks(stored: memoryview, orientation: int) -> bytes:
    """The chunks of a PNG that are kept: as they are, but for what is not true of the result."""
    kept = ((kind, bytes(body)) for kind, body, _ in _chunks(stored) if kind in _KEPT)
    return b"".join(_chunk(kind, _of_result(kind, body, orientation)) for kind, body in kept)


def lost_chunks(stored: memoryview) -> tuple[str, ...]:
    """Names of what else a PNG carries."""
    kinds = {kind.decode("latin-1") for kind, _, _ in _chunks(stored) if kind not in _KEPT | _PIXELS | _IDLE}
    return tuple(sorted(_NAMES.get(kind, f"{kind} chunk") for kind in kinds))


def _of_result(kind: bytes, body: bytes, orientation: int) -> bytes:
    if kind == b"eXIf":
        return exif.of_result(body)
    if kind == b"iTXt" and orientation != UPRIGHT:
        return without_orientation_in_xmp(body)
    if kind == b"pHYs" and swaps(orientation):
        return body[4:8] + body[:4] + body[8:]
    return body


def chunks_of(metadata: Metadata) -> bytes:
    """The chunks that carry what came with an image of another format."""
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
    """A PNG with more chunks, behind its header."""
    behind_header = len(SIGNATURE) + 25
    return encoded[:behind_header] + chunks + encoded[behind_header:]


def encode_plainly(image: np.ndarray) -> bytes:
    """An image (H, W, 1 to 4) of uint8 or uint16 as PNG; for grey with alpha, which OpenCV cannot write."""
    height, width, channels = image.shape
    depth = 8 * image.dtype.itemsize
    header = struct.pack(">IIBBBBB", width, height, depth, _COLOUR_TYPE[channels], 0, 0, 0)
    rows = image.astype(image.dtype.newbyteorder(">")).reshape(height, -1).view(np.uint8)
    unfiltered = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1)
    return (
        SIGNATURE
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(unfiltered.tobytes()))
        + _chunk(b"IEND", b"")
    )


def _chunks(stored: memoryview) -> Iterator[tuple[bytes, memoryview, int]]:
    """Kind, content and checksum of each chunk up to the last."""
    start, kind = len(SIGNATURE), b""
    while start + 12 <= len(stored) and kind != b"IEND":
        length = int.from_bytes(stored[start : start + 4], "big")
        kind, end = bytes(stored[start + 4 : start + 8]), start + 12 + length
        yield kind, stored[start + 8 : start + 8 + length], int.from_bytes(stored[end - 4 : end], "big")
        start = end


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
