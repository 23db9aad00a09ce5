"""Images that were stored turned or mirrored, with a tag that says how: upright when read, and in the result.

The eight values are EXIF's (CIPA DC-008, tag 0x0112) and TIFF's (TIFF 6.0, tag 274).
"""

import re

import numpy as np

TAG = 0x0112
UPRIGHT = 1
_XMP = re.compile(rb"""(tiff:Orientation(?:\s*=\s*["']|\s*>)\s*)[2-8]""")


def checked(value: object) -> int:
    """The orientation that a tag says; upright where it says anything else."""
    return value if isinstance(value, int) and value in range(1, 9) else UPRIGHT


def swaps(orientation: int) -> bool:
    """Whether the height of what is stored is the width of what is seen."""
    return orientation >= 5


def upright(stored: np.ndarray, orientation: int) -> np.ndarray:
    """Turn an image as it is seen.

    Parameters
    ----------
    stored : ndarray, shape (H, W, ...)
        As its file holds it.
    orientation : int
        1 to 8: 2 to 4 mirror and turn by 180 degrees, 5 to 8 swap rows and columns, too.

    Returns
    -------
    ndarray
        A view.
    """
    if swaps(orientation):
        stored = stored.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return stored[::rows, ::columns]


def without_orientation_in_xmp(xmp: bytes) -> bytes:
    """XMP data, which may say it once more, of an image that stands upright now."""
    return _XMP.sub(rb"\g<1>1", xmp)
