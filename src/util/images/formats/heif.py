"""HEIC and AVIF, which are supported if their decoders are installed.

ISO/IEC 23008-12, High Efficiency Image File Format: the first box lists the brands of a file.
AOMedia: AV1 Codec ISO Media File Format Binding, 2.3, the box av1C.
"""

import struct
from pathlib import Path

from src.util.errors import DataError
from src.util.images.formats.known import AVIF, HEIC

_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}
_HEAD = 64
_HIGH_BITDEPTH = 0x40  # in the third byte of av1C


def pillow_format(head: bytes, path: Path) -> str | None:
    """Return Pillow's name of a HEIC or AVIF file's format; None for other files.

    Parameters
    ----------
    head : bytes
        The first 64 bytes of the file.
    path : Path
        The file, for the message.

    Raises
    ------
    DataError
        When its decoder is not installed.
    """
    if head[4:8] != b"ftyp":
        return None
    (end,) = struct.unpack_from(">I", head)
    brands = {head[start : start + 4] for start in range(8, min(end, _HEAD), 4)}
    if brands & _AVIF_BRANDS:
        kind, name = AVIF, "AVIF"
    elif brands & _HEIC_BRANDS:
        kind, name = HEIC, "HEIF"
    else:
        return None
    if not kind.is_here:
        raise DataError(f"{path}: {kind.hint}")
    if kind is HEIC:
        import pi_heif  # optional, and slow to load

        pi_heif.register_heif_opener()
    return name


def is_avif_beyond_8_bits(stored: memoryview) -> bool:
    """Return whether an AVIF has 10 or 12 bits, which Pillow reduces to 8."""
    _, _, configuration = bytes(stored).partition(b"av1C")
    return bool(configuration[2:3]) and bool(configuration[2] & _HIGH_BITDEPTH)
