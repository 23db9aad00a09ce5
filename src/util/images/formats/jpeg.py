"""JPEG: strict decoding, which refuses damaged files instead of filling in grey; comments and IPTC data.

ITU-T T.81 defines the frame header and the segments before it.
"""

import os
import re
import struct
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO

import imagecodecs
import numpy as np
import simplejpeg

# Warnings about intact files of cameras and phones. Every other warning means missing pixels, also more than
# 8 extraneous bytes. JPEG has no checksum, so some damage goes unnoticed.
_HARMLESS = re.compile(r"\b[1-8] extraneous bytes before marker 0xd9|Invalid SOS parameters|Adobe|JFIF")

_COMMENT, _PHOTOSHOP, _ADOBE, _SCAN = 0xFFFE, 0xFFED, 0xFFEE, 0xFFDA
_FRAMES = set(range(0xFFC0, 0xFFD0)) - {0xFFC4, 0xFFC8, 0xFFCC}  # without the tables
_COLOURS = {1: "GRAY", 3: "RGB", 4: "CMYK"}
_RESOURCES, _IPTC = b"Photoshop 3.0\0", 0x0404
_NAMES = {_COMMENT: "comment", _PHOTOSHOP: "IPTC data"}


def is_whole(file: BinaryIO) -> bool:
    """Return whether a file has its end marker; of an ordinary file only the last bytes are read."""
    file.seek(-min(64, file.seek(0, os.SEEK_END)), os.SEEK_END)
    if file.read().rstrip(b"\0\r\n").endswith(b"\xff\xd9"):
        return True
    # Phones append a video or a depth map, so look for the end marker after the first scan. Segments before
    # the scan may contain one in a thumbnail; within a scan its two bytes do not occur as data.
    file.seek(2)
    while len(head := file.read(4)) == 4:
        marker, length = struct.unpack(">HH", head)
        if marker == _SCAN:
            return b"\xff\xd9" in file.read()
        file.seek(length - 2, os.SEEK_CUR)
    return False


def bits(file: BinaryIO) -> int:
    """Return the bits of a value: 8 in a photo, up to 16 in a medical image; 8 if it is not a JPEG."""
    place = _precision(file)
    if place is None:
        return 8
    file.seek(place)
    return file.read(1)[0]


def as_8_bits(file: BinaryIO) -> BinaryIO:
    """Return the file with a header of 8 bits, the only one that Pillow reads."""
    place = _precision(file)
    if place is None or bits(file) == 8:
        return file
    file.seek(0)
    stored = bytearray(file.read())
    stored[place] = 8
    return BytesIO(stored)


def _precision(file: BinaryIO) -> int | None:
    """Return the offset of the number of bits in the header, or None."""
    file.seek(0)
    if file.read(2) != b"\xff\xd8":
        return None
    while len(head := file.read(5)) == 5:
        marker, length = struct.unpack_from(">HH", head)
        if marker in _FRAMES:
            return file.tell() - 1
        if marker < min(_FRAMES) or marker == _SCAN or length < 2:
            return None
        file.seek(length - 3, os.SEEK_CUR)
    return None


def decode(stored: np.ndarray, channels: int, wide: bool = False) -> np.ndarray:
    """Decode a file to the same values as OpenCV and Pillow, but refuse damaged data.

    Parameters
    ----------
    stored : ndarray of uint8
        The file's bytes.
    channels : int
        1, 3 or 4, as in its header.
    wide : bool
        Whether it has more than 8 bits. The decoder detects less damage in such a file.

    Returns
    -------
    ndarray of uint8 or uint16, shape (H, W, C)
        Grey, RGB or CMYK (0 is no ink), in the stored orientation.

    Raises
    ------
    ValueError
        When the image is damaged or of an unsupported kind.
    """
    if wide:
        try:
            pixels = np.asarray(imagecodecs.jpeg_decode(stored.tobytes()))
        except RuntimeError as error:
            raise ValueError(str(error)) from None
        return pixels.reshape(*pixels.shape[:2], channels)
    try:
        pixels = simplejpeg.decode_jpeg(stored, _COLOURS[channels])
    except ValueError as error:
        if not _HARMLESS.search(str(error)):
            raise
        pixels = simplejpeg.decode_jpeg(stored, _COLOURS[channels], strict=False)
    is_inverted = channels == 4 and any(  # Adobe's programs store CMYK inverted
        marker == _ADOBE and body.startswith(b"Adobe") for marker, body in _segments(stored.data)
    )
    return 255 - pixels if is_inverted else pixels


def kept_segments(stored: memoryview) -> bytes:
    """Return comments and IPTC data, without Photoshop's other resources, such as a thumbnail."""
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


def names_of(segments: bytes) -> list[str]:
    """Return the names of what `kept_segments` found."""
    return sorted({_NAMES[marker] for marker, _ in _segments(memoryview(b"\xff\xd8" + segments))})


def with_segments(encoded: bytes, segments: bytes) -> bytes:
    """Insert segments into a JPEG after its application segments, the first of which must stay first."""
    place = 2
    for marker, body in _segments(memoryview(encoded)):
        if not 0xFFE0 <= marker <= 0xFFEF:
            break
        place += 4 + len(body)
    return encoded[:place] + segments + encoded[place:]


def _segments(stored: memoryview) -> Iterator[tuple[int, bytes]]:
    """Yield marker and content of each segment before the first scan."""
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
    """Yield number and content of each Photoshop resource; they also have names and even lengths."""
    start = 0
    while block[start : start + 4] == b"8BIM" and start + 7 <= len(block):
        kind, name = struct.unpack_from(">HB", block, start + 4)
        start += 6 + (name + 2) // 2 * 2
        length = int.from_bytes(block[start : start + 4], "big")
        yield kind, block[start + 4 : start + 4 + length]
        start += 4 + (length + 1) // 2 * 2
