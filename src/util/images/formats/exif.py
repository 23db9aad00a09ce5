"""EXIF data that are true of the result."""

import struct

from src.util.images.formats.orientation import TAG, UPRIGHT

_ENTRY = 12  # bytes


def of_result(exif: bytes) -> bytes:
    """EXIF data, from their byte order mark on, of an image that stands upright now and has no thumbnail.

    The thumbnail would show the noisy image. Nothing is moved: makers' notes point into the data.
    """
    changed = bytearray(exif)
    try:
        order = {b"II": "<", b"MM": ">"}[exif[:2]]
        (start,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, start)
        behind = start + 2 + _ENTRY * count
        for entry in range(start + 2, behind, _ENTRY):
            if struct.unpack_from(order + "H", exif, entry) == (TAG,):
                struct.pack_into(order + "H", changed, entry + 8, UPRIGHT)
        struct.pack_into(order + "I", changed, behind, 0)  # where the thumbnail's directory was
    except (KeyError, struct.error):  # damaged; readers will find what they can
        return exif
    return bytes(changed)
