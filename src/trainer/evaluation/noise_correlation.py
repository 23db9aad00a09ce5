"""Measure how far noise is correlated between neighbouring pixels, in flat places of images.

H, W: height and width in pixels; C: channels.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from src.util.images.places import cut_places, remove_plane

MAX_LAG = 10
"""Largest lag, px."""
SHARED = 0.1
"""Noise counts as shared from this correlation on."""

_EDGE = 40  # edge of a place, px
_MEANS = 10  # edge of the squares in a place whose means tell structure from noise, px
_FLATTEST = 0.1
_CLIPPED = 0.1  # a place is clipped if a larger share of its values is at its minimum or maximum


class NoiseCorrelation(NamedTuple):
    """Correlation of the noise of neighbouring pixels.

    Attributes
    ----------
    table : ndarray, shape (2 * MAX_LAG + 1, 2 * MAX_LAG + 1)
        Correlation coefficient of two pixels by their distance in rows and columns; lag 0 is in the middle.
    deviation : float
        Standard deviation of the noise for a data range of 1; the median over the places.
    places : int
        Number of flat squares of 40x40 px.
    """

    table: np.ndarray
    deviation: float
    places: int

    @property
    def along_rows(self) -> np.ndarray:
        """Correlation at 0 to `MAX_LAG` px to the right."""
        return self.table[MAX_LAG, MAX_LAG:]

    @property
    def along_columns(self) -> np.ndarray:
        """Correlation at 0 to `MAX_LAG` px down."""
        return self.table[MAX_LAG:, MAX_LAG]

    @property
    def reach(self) -> tuple[int, int]:
        """Distance down and to the right up to which noise is shared, px. `MAX_LAG` means that or more."""
        down, right = (
            int(np.argmin(np.append(values >= SHARED, False))) - 1
            for values in (self.along_columns, self.along_rows)
        )
        return down, right


def noise_correlation(images: Iterable[tuple[np.ndarray, float]]) -> NoiseCorrelation | None:
    """Measure noise in the flattest tenth of images.

    The mean and slope of each place of 40x40 px are subtracted. A place is flat if its means of 10x10 px vary
    little compared with its pixels; the image itself adds little there.

    Parameters
    ----------
    images : iterable of (ndarray of float, shape (C, H, W), float)
        Each image, for a data range of 1, and the step between two of its levels (0 if it has none). Consumed
        one at a time.

    Returns
    -------
    NoiseCorrelation or None
        None if no place holds noise: all are clipped, constant or smaller than 40 px.

    Notes
    -----
    This is a heuristic. Fine structure that covers all images, such as fabric, is taken for noise.
    Long correlations are underestimated, since they look like the image: 7 px are measured as 5 px.
    """
    found = [_places(image, level) for image, level in images]
    residuals = np.concatenate([one for one, _ in found]) if found else np.empty((0, 1, _EDGE, _EDGE))
    if not len(residuals):
        return None
    structure = np.concatenate([one for _, one in found])
    flat = residuals[np.argsort(structure, kind="stable")[: max(1, round(_FLATTEST * len(residuals)))]]
    variance = np.mean(flat**2, axis=(1, 2, 3))
    normalised = flat / np.sqrt(variance)[:, None, None, None]
    return NoiseCorrelation(_correlation(normalised), float(np.sqrt(np.median(variance))), len(flat))


def _places(image: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the residuals (N, C, 40, 40) of places that hold noise, and the structure (N,) of each."""
    channels = len(image)
    places = cut_places(image.astype(np.float32).transpose(1, 2, 0), _EDGE)
    if not len(places):
        return places.reshape(0, channels, _EDGE, _EDGE), np.empty(0)
    ends = places.min(2, keepdims=True), places.max(2, keepdims=True)
    clipped = np.mean((places == ends[0]) | (places == ends[1]), axis=(1, 2))
    residuals = remove_plane(places.reshape(-1, _EDGE**2)).reshape(-1, channels, _EDGE, _EDGE)
    variance = np.mean(residuals**2, axis=(1, 2, 3))
    # Rounding to levels alone has a variance of a twelfth of the squared step.
    noisy = (clipped <= _CLIPPED) & (variance > max(level**2 / 4, 1e-12))
    residuals, variance = residuals[noisy], variance[noisy]
    squares = residuals.reshape(-1, channels, _EDGE // _MEANS, _MEANS, _EDGE // _MEANS, _MEANS)
    return residuals, np.mean(squares.mean(axis=(3, 5)) ** 2, axis=(1, 2, 3)) / variance


def _correlation(residuals: np.ndarray) -> np.ndarray:
    """Return the mean product of all pairs of pixels at each lag, divided by the variance."""
    padded = (2 * _EDGE, 2 * _EDGE)
    power = np.mean(np.abs(np.fft.rfft2(residuals, padded)) ** 2, axis=(0, 1))
    pairs = np.abs(np.fft.rfft2(np.ones((_EDGE, _EDGE)), padded)) ** 2
    lags = np.arange(-MAX_LAG, MAX_LAG + 1)
    sums, counts = (np.fft.irfft2(of, padded)[np.ix_(lags, lags)] for of in (power, pairs))
    products = sums / counts
    return np.asarray(products / products[MAX_LAG, MAX_LAG])
