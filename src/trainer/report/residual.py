"""Display and measure the residual, which is what a network removed from an image.

H, W: height and width in pixels; C: channels.
"""

from typing import NamedTuple

import numpy as np

# Residuals are a few grey levels: amplified around mid-grey, their structure becomes visible.
RESIDUAL_GAIN = 4.0
MAX_LAG = 10


class Autocorrelation(NamedTuple):
    """Autocorrelation of a residual.

    Attributes
    ----------
    rows, columns : list of float
        Values at lags of 0 to `MAX_LAG` px along the rows (to the right) and along the columns (down). 1 at
        lag 0, NaN at lags as long as the image or longer, and NaN everywhere if the residual is constant.
    """

    rows: list[float]
    columns: list[float]


def amplified(residual: np.ndarray) -> np.ndarray:
    """Amplify a residual (H, W, C) of images in [0, 1] around 0.5 by `RESIDUAL_GAIN`; clip to [0, 1]."""
    return np.clip(0.5 + RESIDUAL_GAIN * residual, 0, 1)


def autocorrelation(residual: np.ndarray) -> Autocorrelation:
    """Compute the autocorrelation of a residual along its rows and along its columns.

    Each value is the mean product over all pairs of pixels at that lag, divided by the variance. The mean of
    each channel is subtracted first, and channels are averaged. Independent noise gives 1 at lag 0, else 0.

    Parameters
    ----------
    residual : ndarray of float, shape (H, W, C)
        Not modified. Pairs with a NaN are not counted.

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
    # A residual that is constant up to rounding has no autocorrelation.
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
