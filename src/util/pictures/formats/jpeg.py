"""JPEG, decoded so that a damaged file is refused, not completed in grey."""

import os
import re
import struct
from typing import BinaryIO

import numpy as np
import simplejpeg

# What cameras and phones write without any loss; every other warning of the decoder is of missing pixels.
# More bytes left over at the end mean lost codes. There is no checksum: some damage looks like a picture.
_HARMLESS = re.compile(r"\b[1-8] extraneous bytes before marker 0xd9|Invalid SOS parameters|Adobe|JFIF")


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
        if marker == 0xFFDA:
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
