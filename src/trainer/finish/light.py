"""Restore the mean brightness and colour of every neighbourhood from the noisy image.

Sensor noise has zero mean in linear light. A tone curve changes that, so a network that keeps the mean or
median of finished images makes shadows brighter or darker and shifts colours. The light in which the noise
has zero mean is estimated from the noise itself: by the exponent (gamma) at which it is symmetric.

Shape letters: H rows, W columns, C channels, P places, G gammas.
"""

import math
from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np

from src.trainer.finish.flat_places import MIN_PLACES, FlatPlaces
from src.trainer.finish.strips import Pair
from src.util.images.light import from_light, to_light

GAMMAS = np.linspace(1, 3, 21)
"""The gammas to try: 1 leaves the image as it is, 2.2 is about the linear light of sRGB."""

_StripValues = Callable[[np.ndarray, np.ndarray, int], Iterator[np.ndarray]]

_COARSER = 4
_FADE = 3
"""Where the share of clipped values is above one in `_FADE`, light is restored by the median alone."""
_UNKNOWN = 0.6
"""Where this share is clipped, light is not restored: with half of the values, the median is clipped, too."""
_MEDIAN_STEPS = 2
_MOST_PLACES = 400
_CLEAR = 2.5
"""Smallest distance of a place from black and white, in standard deviations of the noise."""
_MIN_DEVIATION = 2.0
"""Smallest usable standard deviation of the noise, in steps of the values."""
_FALLBACK = 1.8
"""Gamma without enough usable places. Most such images are clipped nearly everywhere; for very weak noise the
choice makes no difference."""


def skewness(pair: Pair, places: FlatPlaces) -> np.ndarray:
    """Return the skewness of the noise in each usable flat place, for each gamma.

    Returns
    -------
    ndarray, shape (P * C, G)
        Third moment over the cube of the standard deviation; no rows if the noise is too weak everywhere.
    """
    deviation = np.sqrt(places.variance)
    usable = deviation > _MIN_DEVIATION * pair.step
    if pair.step:
        # Testing for clipped values instead would favour places whose noise happens to point the other way.
        usable &= (places.level > _CLEAR * deviation) & (places.level < 1 - _CLEAR * deviation)
    (numbers,) = np.nonzero(usable.any(axis=1))
    if not len(numbers):
        return np.empty((0, len(GAMMAS)), np.float32)
    numbers = numbers[:: -(-len(numbers) // _MOST_PLACES)]  # from all brightnesses
    noisy, denoised = pair.places(places.corners[numbers])
    return np.stack([_skewness(noisy, denoised, gamma)[usable[numbers]] for gamma in GAMMAS], axis=1)


def _skewness(noisy: np.ndarray, denoised: np.ndarray, gamma: float) -> np.ndarray:
    """Return the skewness (P, C) of the noise of places (P, N, C) for one gamma."""
    noise = to_light(noisy, gamma) - to_light(denoised, gamma)
    noise -= noise.mean(axis=1, keepdims=True)
    square = noise**2
    deviation = np.sqrt(square.mean(axis=1)) + np.float32(1e-12)
    return (square * noise).mean(axis=1) / deviation**3


def gamma_of(found: Iterable[np.ndarray]) -> float:
    """Estimate the gamma at which the median skewness over all places of one or several images is zero.

    Parameters
    ----------
    found : iterable of ndarray
        The result of `skewness` for each image.

    Returns
    -------
    float
        In the range of `GAMMAS`; `_FALLBACK` with too few places.
    """
    rows = [each for each in found if len(each)]
    if sum(map(len, rows)) < MIN_PLACES:
        return _FALLBACK
    median = np.median(np.concatenate(rows), axis=0)  # rises with gamma
    return round(float(np.interp(0, np.maximum.accumulate(median), GAMMAS)), 2)


class LightCorrection:
    """The values to add to a denoised image to restore the light of the noisy image.

    Parameters
    ----------
    pair : Pair
        The images.
    sigma : float
        Standard deviation of the Gaussian that weights neighbourhoods, px.
    gamma : float
        Exponent of the light.

    Notes
    -----
    Clipping at black or white changes the mean of the noise, but not its median, unless half of the values
    are clipped. So the more values of a neighbourhood are clipped, the more the correction balances how many
    noisy values lie above and below. Elsewhere the mean is more exact, also for noise that is not symmetric,
    such as counts.

    The correction is smooth and therefore computed on a grid that is `_COARSER` times coarser than the image.
    """

    def __init__(self, pair: Pair, sigma: float, gamma: float) -> None:
        self._shape = pair.noisy.shape[:2]

        def light_of(noisy: np.ndarray, denoised: np.ndarray, top: int) -> Iterator[np.ndarray]:
            yield to_light(noisy, gamma)
            yield to_light(denoised, gamma)
            yield pair.clipped(noisy).astype(np.float32)
            yield np.abs(noisy - denoised)

        light, result, clipped, distance = _local_means(pair, sigma, light_of)
        weight = np.maximum(1 - _FADE * clipped, 0)
        by_mean = self._grid = weight * (from_light(light, gamma) - from_light(result, gamma))
        if weight.min() == 1:
            return
        for _ in range(_MEDIAN_STEPS):
            above, below = _local_means(pair, sigma, self._compare)
            excess = np.maximum(2 * above - 1, 0) - np.maximum(2 * below - 1, 0)
            # Newton's step to the median of normal noise, whose mean absolute value is `distance`.
            self._grid = self._grid + np.float32(math.pi / 2) * distance * excess
        known = ((_UNKNOWN - clipped) / (_UNKNOWN - 0.5)).clip(0, 1)
        self._grid = by_mean + (1 - weight) * known * self._grid

    def _compare(self, noisy: np.ndarray, denoised: np.ndarray, top: int) -> Iterator[np.ndarray]:
        """Yield where a strip of the noisy image is above and below that of the corrected image."""
        corrected = (denoised + self.rows(top, top + len(noisy))).clip(0, 1)
        yield (noisy > corrected).astype(np.float32)
        yield (noisy < corrected).astype(np.float32)

    def rows(self, top: int, bottom: int) -> np.ndarray:
        """Return the correction of rows `top` to `bottom` (H, W, C); `top` is a multiple of `_COARSER`."""
        # With an extra grid row on either side, a strip is interpolated exactly like the whole image.
        first, last = max(0, top // _COARSER - 1), min(len(self._grid), -(-bottom // _COARSER) + 1)
        part = self._grid[first:last]
        size = part.shape[1] * _COARSER, part.shape[0] * _COARSER
        finer = cv2.resize(part, size, interpolation=cv2.INTER_LINEAR).reshape(size[1], size[0], -1)
        return finer[top - first * _COARSER : bottom - first * _COARSER, : self._shape[1]]


def _local_means(pair: Pair, sigma: float, values: _StripValues) -> list[np.ndarray]:
    """Return means of values over neighbourhoods, on the coarse grid.

    `values` gets a strip of both images and its first row.
    """
    strips = [
        [_coarse(each) for each in values(*pair.strip(top, bottom), top)] for top, bottom in pair.strips
    ]
    return [_blurred(np.concatenate(parts), sigma / _COARSER) for parts in zip(*strips, strict=True)]


def _coarse(values: np.ndarray) -> np.ndarray:
    """Return means over squares of `_COARSER` px; at the border over the part inside the image."""
    height, width, channels = values.shape
    missing = -height % _COARSER, -width % _COARSER
    if any(missing):
        values = np.pad(values, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
    size = values.shape[1] // _COARSER, values.shape[0] // _COARSER
    # For whole squares INTER_AREA is the mean, ten times faster than NumPy.
    return cv2.resize(values, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], channels)


def _blurred(values: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT).reshape(values.shape)
