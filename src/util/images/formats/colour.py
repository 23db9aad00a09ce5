"""Convert CMYK, YCbCr and CIELab to RGB.

Little CMS, as part of imagecodecs, applies colour profiles with the relative colorimetric intent.

ICC.1:2022, Image technology colour management. TIFF, Revision 6.0, sections 16, 21 and 23. T.871 for YCbCr.
"""

import struct
from collections.abc import Sequence

import imagecodecs
import numpy as np

CMYK, YCBCR, LAB = "CMYK", "YCbCr", "CIELab"
_RELATIVE = 1
_ROWS = 256  # converted at a time, to limit the memory for 32-bit values


def is_read_as_rgb(space: str) -> str:
    """Describe the conversion on reading."""
    return f"{space} is converted to RGB"


def lost(space: str) -> str:
    """Describe the conversion on writing."""
    return f"{space} (it is RGB)"


def from_cmyk(inks: np.ndarray, icc: bytes) -> np.ndarray:
    """Convert CMYK to RGB.

    Parameters
    ----------
    inks : ndarray of uint8 or uint16, shape (H, W, 4)
        Cyan, magenta, yellow, black; 0 is no ink.
    icc : bytes
        The printer's profile. If it is empty, damaged or not for CMYK, each ink absorbs one primary.

    Returns
    -------
    ndarray, shape (H, W, 3)
        Of the same type; sRGB if there is a profile.
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
    """Convert YCbCr to RGB.

    Parameters
    ----------
    ycc : ndarray of uint8, shape (H, W, 3)
        Y, Cb, Cr.
    luma : sequence of 3 floats
        Weights of red, green and blue in Y.
    reference : sequence of 6 floats
        Zero and largest value of Y, Cb and Cr.

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
    """Convert CIELab (D50) to sRGB.

    Parameters
    ----------
    lab : ndarray of uint8 or uint16, shape (H, W, 3)
        Encoded as in ICC profiles: L* from 0 to the type's largest number (0xFF00 for 16 bits), a* and b*
        around its middle.

    Returns
    -------
    ndarray of the same type, shape (H, W, 3)
        sRGB.
    """
    wide = lab.astype(np.uint16) << 8 if lab.dtype == np.uint8 else lab  # Little CMS rounds 8 bits too early
    return _by_profile(wide, imagecodecs.cms_profile("lab2"), "labv2", lab.dtype)


def profile_of_rgb(space: str, icc: bytes) -> bytes:
    """Return the colour profile of an image after its conversion to RGB.

    Parameters
    ----------
    space : str
        `CMYK`, `YCBCR` or `LAB`; empty if the image is not converted.
    icc : bytes
        The profile in its file, or empty.

    Returns
    -------
    bytes
        The file's profile if it is for RGB, sRGB if a profile was applied, else empty.
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
    """Return an sRGB profile with a fixed date, so that the same image gives the same file."""
    profile = imagecodecs.cms_profile("srgb")
    return profile[:24] + struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + profile[36:]
