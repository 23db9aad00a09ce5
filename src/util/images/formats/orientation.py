"""Turn images upright that are stored rotated or mirrored.

The eight values are those of EXIF (CIPA DC-008, tag 0x0112) and TIFF (TIFF 6.0, tag 274).
"""

import re

import numpy as np

TAG = 0x0112
UPRIGHT = 1
_XMP = re.compile(rb"""(tiff:Orientation(?:\s*=\s*["']|\s*>)\s*)[2-8]""")


def checked(value: object) -> int:
    """Return a tag's orientation, or upright if it is invalid."""
    return value if isinstance(value, int) and value in range(1, 9) else UPRIGHT


def swaps(orientation: int) -> bool:
    """Return whether an orientation swaps height and width."""
    return orientation >= 5


def upright(stored: np.ndarray, orientation: int) -> np.ndarray:
    """Return an upright view of a stored image (H, W, ...).

    Orientations 2 to 4 mirror it or turn it by 180 degrees, 5 to 8 also swap rows and columns.
    """
    if swaps(orientation):
        stored = stored.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return stored[::rows, ::columns]


def without_orientation_in_xmp(xmp: bytes) -> bytes:
    """Return XMP data with the orientation set to upright."""
    return _XMP.sub(rb"\g<1>1", xmp)
