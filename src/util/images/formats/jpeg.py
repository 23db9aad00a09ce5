"""JPEG, decoded so that a damaged file is refused, not completed in grey; its comments and IPTC data.

ITU-T T.81 for the frame header and what may stand before it.
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

# What cameras and phones write without any loss; every other warning of the decoder is of missing pixels.
# More bytes left over at the end mean lost codes. There is no checksum: some damage looks like an image.
_HARMLESS = re.compile(r"\b[1-8] extraneous bytes before marker 0xd9|Invalid SOS parameters|Adobe|JFIF")

_COMMENT, _PHOTOSHOP, _ADOBE, _SCAN = 0xFFFE, 0xFFED, 0xFFEE, 0xFFDA
_FRAMES = set(range(0xFFC0, 0xFFD0)) - {0xFFC4, 0xFFC8, 0xFFCC}  # these are tables
_COLOURS = {1: "GRAY", 3: "RGB", 4: "CMYK"}
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


def bits(file: BinaryIO) -> int:
    """Bits of a value: 8 in a photo, up to 16 in a medical image; 8 where it is no JPEG at all."""
    place = _precision(file)
    if place is None:
        return 8
    file.seek(place)
    return file.read(1)[0]


def as_of_8_bits(file: BinaryIO) -> BinaryIO:
    """The file with a header that Pillow reads, which knows no other number of bits."""
    place = _precision(file)
    if place is None or bits(file) == 8:
        return file
    file.seek(0)
    stored = bytearray(file.read())
    stored[place] = 8
    return BytesIO(stored)


def _precision(file: BinaryIO) -> int | None:
    """Where the number of bits stands."""
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
    """Decode a file to the last bit as OpenCV and Pillow do, which fill in what is missing.

    Parameters
    ----------
    stored : ndarray of uint8
        The file.
    channels : int
        1, 3 or 4, as its header says.
    wide : bool
        Whether it has more than 8 bits; of damage in such a file the decoder says little.

    Returns
    -------
    ndarray of uint8 or uint16, shape (H, W, C)
        Grey, RGB, or inks of which 0 is none; as stored: not turned upright.

    Raises
    ------
    ValueError
        When something of the image is noticeably missing or damaged, or of a kind that is not read.
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
    # Adobe's programs, which leave their mark, store paper, not ink.
    return 255 - pixels if channels == 4 and _is_of_adobe(stored.data) else pixels


def _is_of_adobe(stored: memoryview) -> bool:
    return any(marker == _ADOBE and body.startswith(b"Adobe") for marker, body in _segments(stored))


def kept_segments(stored: memoryview) -> bytes:
    """Comments and IPTC data; Photoshop's other resources, such as a thumbnail, are of the noisy image."""
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
