"""PSNR and SSIM of images, as published tables report them.

Both compare images as they are stored, so a network's output first passes
`src.util.images.conversion.from_float`. It is rounded, not truncated as in the original, which gains 0.03 to
0.1 dB. NaN never reaches a score.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

SSIM_WINDOW = 7
"""Edge of SSIM's uniform window in pixels; smaller images have no SSIM."""


class MeanScore(NamedTuple):
    """A mean over the scores of several images.

    Attributes
    ----------
    mean : float
        Mean of the finite scores. Without finite scores, infinity if an image is identical, else NaN.
    used, total : int
        Number of scores in the mean, and of all scores. Identical images (infinite PSNR) and images without a
        score (NaN: too small for SSIM, or all values missing) are left out.
    identical : int
        Number of left-out images that are identical to the clean image. The mean may fall when a result
        becomes perfect.
    """

    mean: float
    used: int
    total: int
    identical: int = 0

    @property
    def of(self) -> str:
        """Describe which images the mean covers; empty if it covers all."""
        if self.used in (0, self.total):
            return ""
        perfect = f" ({self.identical} identical to the clean one left out)" if self.identical else ""
        return f" of {self.used} images{perfect}"


def psnr(
    clean: np.ndarray, test: np.ndarray, data_range: float | None = None, known: np.ndarray | None = None
) -> float:
    """Compute the peak signal-to-noise ratio.

    Parameters
    ----------
    clean, test : ndarray, shape (H, W, C)
        uint8 images, or images of one other type if `data_range` is given.
    data_range : float, optional
        The peak. None means 255 and requires uint8.
    known : ndarray of bool, shape (H, W, C), optional
        The values to count; None counts all.

    Returns
    -------
    float
        PSNR in dB; infinite for identical images, NaN if no value is counted.

    Raises
    ------
    ValueError
        If shapes or types differ or do not suit.
    """
    from skimage.metrics import peak_signal_noise_ratio  # imports scipy.stats, which takes half a second

    clean, test, peak = _checked(clean, test, data_range)
    if known is not None:
        if not known.any():
            return math.nan
        clean, test = clean[known], test[known]
    with np.errstate(divide="ignore"):  # identical images
        return float(peak_signal_noise_ratio(clean, test, data_range=peak))


def ssim(
    clean: np.ndarray, test: np.ndarray, data_range: float | None = None, known: np.ndarray | None = None
) -> float:
    """Compute the structural similarity with a uniform 7x7 window, averaged over pixels and channels.

    Parameters
    ----------
    clean, test, data_range, known
        See `psnr`. A window counts if all its values do.

    Returns
    -------
    float
        SSIM, at most 1; NaN if an edge is below 7 px or no window is counted.

    Raises
    ------
    ValueError
        If shapes or types differ or do not suit.

    References
    ----------
    Wang, Bovik, Sheikh, Simoncelli: Image quality assessment: from error visibility to structural similarity.
    IEEE Transactions on Image Processing 13(4), 2004. https://doi.org/10.1109/TIP.2003.819861
    """
    from skimage.metrics import structural_similarity

    clean, test, peak = _checked(clean, test, data_range)
    if min(clean.shape[:2]) < SSIM_WINDOW:
        return math.nan
    how = {"win_size": SSIM_WINDOW, "channel_axis": 2, "data_range": peak}
    if known is None:
        return float(structural_similarity(clean, test, **how))
    counted = known
    for axis in (0, 1):
        windows = np.lib.stride_tricks.sliding_window_view(counted, SSIM_WINDOW, axis)
        counted = np.asarray(windows.all(axis=-1))
    inner = slice(SSIM_WINDOW // 2, -(SSIM_WINDOW // 2))  # where windows lie inside the image
    of_windows = structural_similarity(clean, test, full=True, **how)[1][inner, inner]
    return float(of_windows[counted].mean()) if counted.any() else math.nan


def mean_score(scores: Iterable[float]) -> MeanScore:
    """Average the finite scores; see `MeanScore` for the others."""
    values = list(scores)
    finite = [value for value in values if math.isfinite(value)]
    identical = sum(value == math.inf for value in values)
    without = math.inf if identical else math.nan
    return MeanScore(sum(finite) / len(finite) if finite else without, len(finite), len(values), identical)


def _checked(
    clean: np.ndarray, test: np.ndarray, data_range: float | None
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return both images and the peak. Types other than uint8 become float64, for the precision."""
    if clean.dtype != test.dtype or (data_range is None and clean.dtype != np.uint8):
        raise ValueError(f"expected two uint8 images, got {clean.dtype} and {test.dtype}")
    if clean.ndim != 3 or clean.shape != test.shape:
        raise ValueError(f"expected two images of one shape (H, W, C), got {clean.shape} and {test.shape}")
    if clean.dtype == np.uint8:
        return clean, test, 255.0 if data_range is None else data_range
    if data_range is None or not (np.isfinite(clean).all() and np.isfinite(test).all()):
        raise ValueError("expected finite values, and the data range")
    return clean.astype(np.float64), test.astype(np.float64), data_range
