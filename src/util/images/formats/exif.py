"""Update EXIF data for the denoised image."""

import struct

from src.util.images.formats.orientation import TAG, UPRIGHT

_ENTRY = 12  # bytes


def of_result(exif: bytes) -> bytes:
    """Return EXIF data, from their byte order mark on, with upright orientation and without thumbnail.

    The thumbnail shows the noisy image. No data are moved, since makers' notes contain offsets.
    """
    changed = bytearray(exif)
    try:
        order = {b"II": "<", b"MM": ">"}[exif[:2]]
        (start,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, start)
        end = start + 2 + _ENTRY * count
        for entry in range(start + 2, end, _ENTRY):
            if struct.unpack_from(order + "H", exif, entry) == (TAG,):
                struct.pack_into(order + "H", changed, entry + 8, UPRIGHT)
        struct.pack_into(order + "I", changed, end, 0)  # the offset of the thumbnail's directory
    except (KeyError, struct.error):  # damaged data are kept as they are
        return exif
    return bytes(changed)
