"""JPEG, decoded so that a damaged file is refused, not completed in grey; its comments and IPTC data."""

import os
import re
import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import simplejpeg

# What cameras and phones write without any loss; every other warning of the decoder is of missing pixels.
# More bytes left over at the end mean lost codes. There is no checksum: some damage looks like a picture.
_HARMLESS = re.compile(r"\b[1-8] extraneous bytes before marker 0xd9|Invalid SOS parameters|Adobe|JFIF")

_COMMENT, _PHOTOSHOP, _SCAN = 0xFFFE, 0xFFED, 0xFFDA
_RESOURCES, _IPTC = b"Photoshop 3.0\0", 0x0404
_NAMES = {_COMMENT: "comment", _PHOTOSHOP: "IPTC data"}


def is_whole(file: BinaryIO) -> bool:
    """Whether the end mark is there; only headers are read where nothing follows it."""
    file.seek(-min(64, file.seek(0, os.SEEK_END)), os.SEEK_END)
    if file.read().rstrip(b"\0\r\n").endswith(b"\xff\xd9"):
        return True
    # Phones append a film or a depth map: look for the end mark behind the first scan. Segments before it (a
    # thumbnail) are skipped by their lengths; inside a scan the two bytes of a mark never occur as data.
    file.seek(2)
    while len(head := file.read(4)) == 4:
        marker, length = struct.unpack(">HH", head)
        if marker == _SCAN:
            return b"\xff\xd9" in file.read()
        file.seek(length - 2, os.SEEK_CUR)
    return False


def decode(stored: np.ndarray, channels: int) -> np.ndarray:
    """Decode a file to the last bit as OpenCV and Pillow do, which fill in what is missing.

    Parameters
    ----------
    stored : ndarray of uint8
        The file.
    channels : int
        1 or 3, as its header says.

    Returns
    -------
    ndarray of uint8, shape (H, W, C)
        Grey or RGB, as stored: not turned upright.

    Raises
    ------
    ValueError
        When something of the picture is noticeably missing or damaged, or of a kind that is not read.
    """
    colours = "GRAY" if channels == 1 else "RGB"
    try:
        return simplejpeg.decode_jpeg(stored, colours)
    except ValueError as error:
        if not _HARMLESS.search(str(error)):
            raise
    return simplejpeg.decode_jpeg(stored, colours, strict=False)


def kept_segments(stored: memoryview) -> bytes:
    """Comments and IPTC data; Photoshop's other resources, such as a thumbnail, are of the noisy picture."""
    kept = b""
    for marker, body in _segments(stored):
        if marker == _PHOTOSHOP and body.startswith(_RESOURCES):
            body = b"".join(
                b"8BIM" + struct.pack(">HHI", kind, 0, len(content)) + content + b"\0" * (len(content) % 2)
                for kind, content in _resources(body[len(_RESOURCES) :])
                if kind == _IPTC
            )
            kept += _segment(marker, _RESOURCES + body) if body else b""
        elif marker == _COMMENT:
            kept += _segment(marker, body)
    return kept


def named(segments: bytes) -> list[str]:
    """What `kept_segments` found, in words."""
    return sorted({_NAMES[marker] for marker, _ in _segments(memoryview(b"\xff\xd8" + segments))})


def with_segments(encoded: bytes, segments: bytes) -> bytes:
    """A JPEG with more segments, behind those of applications, of which the first must stay first."""
    behind = 2
    for marker, body in _segments(memoryview(encoded)):
        if not 0xFFE0 <= marker <= 0xFFEF:
            break
        behind += 4 + len(body)
    return encoded[:behind] + segments + encoded[behind:]


def _segments(stored: memoryview) -> Iterator[tuple[int, bytes]]:
    """Marker and content of each segment before the first scan."""
    start = 2
    while start + 4 <= len(stored):
        marker, length = struct.unpack_from(">HH", stored, start)
        if marker < 0xFFC0 or marker == _SCAN or length < 2:
            return
        yield marker, bytes(stored[start + 4 : start + 2 + length])
        start += 2 + length


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">HH", marker, 2 + len(body)) + body


def _resources(block: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and content of each of Photoshop's resources: each has a name, too, and ends on an even byte."""
    start = 0
    while block[start : start + 4] == b"8BIM" and start + 7 <= len(block):
        kind, name = struct.unpack_from(">HB", block, start + 4)
        start += 6 + (name + 2) // 2 * 2
        length = int.from_bytes(block[start : start + 4], "big")
        yield kind, block[start + 4 : start + 4 + length]
        start += 4 + (length + 1) // 2 * 2
