"""PSNR and SSIM of 8-bit pictures, as the field's tables give them.

Both compare pictures of uint8, so a network's output passes `src.util.image_io.to_uint8` first: it is
rounded, not truncated as in the original, which is worth 0.03 to 0.1 dB, and NaN never reaches a score.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

SSIM_WINDOW = 7
"""Edge of SSIM's uniform window in pixels; smaller pictures have no SSIM."""


class MeanScore(NamedTuple):
    """A mean and what it is made of.

    Attributes
    ----------
    mean : float
        Mean of the finite scores; NaN when there is none.
    used, total : int
        How many scores are in the mean, of how many. Identical pictures (infinite PSNR) and pictures too
        small for SSIM (NaN) are left out.
    """

    mean: float
    used: int
    total: int


def psnr(clean: np.ndarray, test: np.ndarray) -> float:
    """Peak signal-to-noise ratio, for a peak of 255.

    Parameters
    ----------
    clean, test : ndarray of uint8, shape (H, W, C)

    Returns
    -------
    float
        In dB; infinite for identical pictures.

    Raises
    ------
    ValueError
        When shapes or types are others.
    """
    _check(clean, test)
    with np.errstate(divide="ignore"):  # identical pictures
        return float(peak_signal_noise_ratio(clean, test, data_range=255))


def ssim(clean: np.ndarray, test: np.ndarray) -> float:
    """Structural similarity with a uniform 7x7 window, mean over pixels and channels.

    Parameters
    ----------
    clean, test : ndarray of uint8, shape (H, W, C)

    Returns
    -------
    float
        At most 1; NaN when an edge is below 7 px: `mean_score` leaves it out.

    Raises
    ------
    ValueError
        When shapes or types are others.

    References
    ----------
    Wang, Bovik, Sheikh, Simoncelli: Image quality assessment: from error visibility to structural similarity.
    IEEE Transactions on Image Processing 13(4), 2004. https://doi.org/10.1109/TIP.2003.819861
    """
    _check(clean, test)
    if min(clean.shape[:2]) < SSIM_WINDOW:
        return math.nan
    return float(structural_similarity(clean, test, win_size=SSIM_WINDOW, channel_axis=2, data_range=255))


def mean_score(scores: Iterable[float]) -> MeanScore:
    """Mean of the scores that are finite, and their count.

    Parameters
    ----------
    scores : iterable of float
        From `psnr` or `ssim`.

    Returns
    -------
    MeanScore
    """
    values = list(scores)
    finite = [value for value in values if math.isfinite(value)]
    return MeanScore(sum(finite) / len(finite) if finite else math.nan, len(finite), len(values))


def _check(clean: np.ndarray, test: np.ndarray) -> None:
    if clean.dtype != np.uint8 or test.dtype != np.uint8:
        raise ValueError(f"expected two uint8 pictures, got {clean.dtype} and {test.dtype}")
    if clean.ndim != 3 or clean.shape != test.shape:
        raise ValueError(f"expected two pictures of one shape (H, W, C), got {clean.shape} and {test.shape}")
