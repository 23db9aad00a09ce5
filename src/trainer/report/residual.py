"""The residual, what a network took out of an image, made visible and measured.

H, W: height and width in pixels; C: channels.
"""

from typing import NamedTuple

import numpy as np

# Residuals are a few grey levels; shown around mid-grey and amplified, structure in them can be seen.
RESIDUAL_GAIN = 4.0
MAX_LAG = 10


class Autocorrelation(NamedTuple):
    """How alike a residual is to itself, shifted.

    Attributes
    ----------
    rows, columns : list of float
        At lags of 0 to `MAX_LAG` px along the rows (to the right) and along the columns (down); 1 at lag 0.
        NaN at a lag as long as the image, and everywhere when the residual is constant.
    """

    rows: list[float]
    columns: list[float]


def amplified(residual: np.ndarray) -> np.ndarray:
    """A residual as an image: `RESIDUAL_GAIN` times the difference around mid-grey.

    Parameters
    ----------
    residual : ndarray of float, shape (H, W, C)
        Noisy - denoised, of images in [0, 1]; left as it is.

    Returns
    -------
    ndarray of float, shape (H, W, C)
        In [0, 1].
    """
    return np.clip(0.5 + RESIDUAL_GAIN * residual, 0, 1)


def autocorrelation(residual: np.ndarray) -> Autocorrelation:
    """Correlation coefficients of a residual with itself, shifted along its rows and along its columns.

    Each is the mean over all pairs of pixels that far apart, divided by the variance; the mean of each
    channel is taken out before, and the channels are averaged. Independent noise has 1 at lag 0, else 0.

    Parameters
    ----------
    residual : ndarray of float, shape (H, W, C)
        Left as it is. Pairs with a NaN are not counted.

    Returns
    -------
    Autocorrelation
    """
    known = ~np.isnan(residual)
    residual = np.where(known, residual, 0)
    mean = residual.sum(axis=(0, 1), dtype=np.float64) / np.maximum(known.sum(axis=(0, 1)), 1)
    planes, known = (
        np.ascontiguousarray(values.transpose(2, 0, 1), dtype=np.float32)
        for values in (np.where(known, residual - mean, 0), known)
    )
    variance = float(np.sum(planes * planes)) / max(float(np.sum(known)), 1)
    # A residual that is constant but for rounding has no structure to speak of.
    if variance <= (1e-6 * max(1.0, float(np.abs(residual).max()))) ** 2:
        nothing = [float("nan")] * (MAX_LAG + 1)
        return Autocorrelation(nothing, nothing)
    return Autocorrelation(*(_along(axis, planes, known, variance) for axis in (2, 1)))


def _along(axis: int, planes: np.ndarray, known: np.ndarray, variance: float) -> list[float]:
    values, weights = np.moveaxis(planes, axis, 0), np.moveaxis(known, axis, 0)
    found = []
    for lag in range(MAX_LAG + 1):
        near, far = slice(0, max(0, len(values) - lag)), slice(lag, None)
        pairs = float(np.sum(weights[near] * weights[far]))
        total = float(np.sum(values[near] * values[far]))
        found.append(total / pairs / variance if pairs else float("nan"))
    return found
