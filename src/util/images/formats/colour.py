"""Images in other colours than grey and RGB: inks (CMYK), luma and chroma (YCbCr), CIELab, all read as RGB.

Profiles are applied by Little CMS, which imagecodecs brings along for 8 and 16 bits, relatively colorimetric.

ICC.1:2022, Image technology colour management. TIFF, Revision 6.0, sections 16, 21 and 23. T.871 for YCbCr.
"""

import struct
from collections.abc import Sequence

import imagecodecs
import numpy as np

CMYK, YCBCR, LAB = "CMYK", "YCbCr", "CIELab"
_RELATIVE = 1
_ROWS = 256  # at a time, so that numbers of 32 bits do not take many times the image


def is_read_as_rgb(space: str) -> str:
    """What becomes of colours, in words."""
    return f"{space} is converted to RGB"


def lost(space: str) -> str:
    """The same where a result is written."""
    return f"{space} (it is RGB)"


def from_cmyk(inks: np.ndarray, icc: bytes) -> np.ndarray:
    """RGB of an image that is printed.

    Parameters
    ----------
    inks : ndarray of uint8 or uint16, shape (H, W, 4)
        Cyan, magenta, yellow, black; 0 = none of it.
    icc : bytes
        The printer's profile; where it is none, or damaged, each ink takes its share of one primary.

    Returns
    -------
    ndarray, shape (H, W, 3)
        Of the same type; sRGB where there is a profile.
    """
    if icc:
        try:
            return _by_profile(inks, icc, "cmyk", inks.dtype)
        except RuntimeError:
            return from_cmyk(inks, b"")
    full = np.iinfo(inks.dtype).max
    rgb = np.empty((*inks.shape[:2], 3), inks.dtype)
    for top in range(0, len(inks), _ROWS):
        paper = full - inks[top : top + _ROWS].astype(np.float32)
        rgb[top : top + _ROWS] = np.rint(paper[..., :3] * paper[..., 3:] / full)
    return rgb


def from_ycbcr(ycc: np.ndarray, luma: Sequence[float], reference: Sequence[float]) -> np.ndarray:
    """RGB of luma and chroma.

    Parameters
    ----------
    ycc : ndarray of uint8, shape (H, W, 3)
        Y, Cb, Cr.
    luma : sequence of 3 floats
        Shares of red, green and blue in Y.
    reference : sequence of 6 floats
        Black and white of Y; nothing and most of Cb and of Cr.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
    """
    red, green, blue = luma
    zero, white = np.asarray(reference, np.float32).reshape(3, 2).T
    scale = np.asarray((255, 127, 127), np.float32) / (white - zero)
    rgb = np.empty_like(ycc)
    for top in range(0, len(ycc), _ROWS):
        y, cb, cr = np.moveaxis((ycc[top : top + _ROWS] - zero) * scale, 2, 0)
        r, b = cr * (2 - 2 * red) + y, cb * (2 - 2 * blue) + y
        g = (y - blue * b - red * r) / green
        rgb[top : top + _ROWS] = np.rint(np.stack((r, g, b), 2)).clip(0, 255)
    return rgb


def from_lab(lab: np.ndarray) -> np.ndarray:
    """RGB of CIELab under D50.

    Parameters
    ----------
    lab : ndarray of uint8 or uint16, shape (H, W, 3)
        L* from 0 to the type's largest number (of 16 bits: 0xFF00), a* and b* beside its middle, as profiles
        have it.

    Returns
    -------
    ndarray, shape (H, W, 3)
        Of sRGB and of the same type.
    """
    wide = lab.astype(np.uint16) << 8 if lab.dtype == np.uint8 else lab  # of 8 bits it rounds too early
    return _by_profile(wide, imagecodecs.cms_profile("lab2"), "labv2", lab.dtype)


def profile_of_rgb(space: str, icc: bytes) -> bytes:
    """The profile that is true of what an image is read as.

    Parameters
    ----------
    space : str
        `CMYK`, `YCBCR` or `LAB`; empty where nothing is converted.
    icc : bytes
        The profile of its file, or nothing.

    Returns
    -------
    bytes
        That of the file, which is of RGB; sRGB where one was applied; nothing where none was or could be.
    """
    if not icc or space in ("", YCBCR):
        return icc
    if space == CMYK:
        try:
            _by_profile(np.zeros((1, 1, 4), np.uint8), icc, "cmyk", np.dtype(np.uint8))
        except RuntimeError:
            return b""
    return _srgb()


def _by_profile(pixels: np.ndarray, icc: bytes, space: str, dtype: np.dtype) -> np.ndarray:
    rgb: np.ndarray = imagecodecs.cms_transform(
        np.ascontiguousarray(pixels), icc, _srgb(), colorspace=space, outcolorspace="rgb",
        outdtype=dtype.name, intent=_RELATIVE,
    )  # fmt: skip
    return rgb


def _srgb() -> bytes:
    """A profile of sRGB that says nothing of today, so that the same image is always the same file."""
    profile = imagecodecs.cms_profile("srgb")
    return profile[:24] + struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + profile[36:]
