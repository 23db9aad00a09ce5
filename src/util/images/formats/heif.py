"""HEIC and AVIF, which are read where what decodes them is installed.

ISO/IEC 23008-12, High Efficiency Image File Format: the first box names the brands that a file is of.
AOMedia: AV1 Codec ISO Media File Format Binding, 2.3, the box av1C.
"""

import struct
from pathlib import Path

from src.util.errors import DataError
from src.util.images.formats.known import AVIF, HEIC

_OF_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"}
_OF_AVIF = {b"avif", b"avis"}
_HEAD = 64
_HIGH_BITDEPTH = 0x40  # in the third byte of av1C


def pillows_name(head: bytes, path: Path) -> str | None:
    """What Pillow calls the format of a file; None where it is neither of these two.

    Parameters
    ----------
    head : bytes
        How the file begins.
    path : Path
        For the message.

    Raises
    ------
    DataError
        When it is one of them, and what decodes it is not installed.
    """
    if head[4:8] != b"ftyp":
        return None
    (end,) = struct.unpack_from(">I", head)
    brands = {head[start : start + 4] for start in range(8, min(end, _HEAD), 4)}
    if brands & _OF_AVIF:
        kind, name = AVIF, "AVIF"
    elif brands & _OF_HEIC:
        kind, name = HEIC, "HEIF"
    else:
        return None
    if not kind.is_here:
        raise DataError(f"{path}: {kind.hint}")
    if kind is HEIC:
        import pi_heif  # heavy, and not always there

        pi_heif.register_heif_opener()
    return name


def is_avif_beyond_8_bits(stored: memoryview) -> bool:
    """Whether an AVIF has 10 or 12 bits, of which Pillow gives 8 and does not say so."""
    _, _, configuration = bytes(stored).partition(b"av1C")
    return bool(configuration[2:3]) and bool(configuration[2] & _HIGH_BITDEPTH)
