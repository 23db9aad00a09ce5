"""Restore the mean brightness and colour of every neighbourhood from the noisy image.

Sensor noise has zero mean in linear light. A tone curve changes that, so a network that keeps the mean or
median of finished images makes shadows brighter or darker and shifts colours. The light in which the noise
has zero mean is estimated from the noise itself: by the exponent (gamma) at which it is symmetric.

Shape letters: H rows, W columns, C channels, P places, G gammas.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from src.trainer.finish.field import SmoothField, blur
from src.trainer.finish.flat_places import MIN_PLACES, FlatPlaces
from src.trainer.finish.strips import Pair
from src.util.images.light import from_light, to_light
from src.util.images.shrink import shrink

GAMMAS = np.linspace(1, 3, 21)
"""The gammas to try: 1 leaves the image as it is, 2.2 is about the linear light of sRGB."""

_StripValues = Callable[[np.ndarray, np.ndarray, int], Iterator[np.ndarray]]

_GRID = 4
"""Edge of the squares of a grid, px, on which the correction is computed: it is smooth."""
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


class LocalLight(NamedTuple):
    """What separates the local means of the noisy and of the denoised image.

    Attributes
    ----------
    correction : SmoothField
        What to add to the denoised image to restore the light of the noisy image.
    clipping : SmoothField
        What clipping added to the noisy image, estimated from both.
    """

    correction: SmoothField
    clipping: SmoothField


def local_light(pair: Pair, sigma: float, gamma: float) -> LocalLight:
    """Compare the light of neighbourhoods.

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
    """

    def light_of(noisy: np.ndarray, denoised: np.ndarray, top: int) -> Iterator[np.ndarray]:
        yield to_light(noisy, gamma)
        yield to_light(denoised, gamma)
        yield pair.clipped(noisy).astype(np.float32)

    def field(grid: np.ndarray) -> SmoothField:
        return SmoothField(grid, _GRID, (pair.noisy.shape[0], pair.noisy.shape[1]))

    light, result, clipped = _local_means(pair, sigma, light_of)
    by_mean = from_light(light, gamma) - from_light(result, gamma)
    weight = np.maximum(1 - _FADE * clipped, 0)
    if weight.min() == 1:
        return LocalLight(field(by_mean), field(np.zeros_like(by_mean)))
    (distance,) = _local_means(pair, sigma, lambda noisy, denoised, top: iter([np.abs(noisy - denoised)]))
    by_median = weight * by_mean
    for _ in range(_MEDIAN_STEPS):
        above, below = _local_means(pair, sigma, partial(_compare, field(by_median)))
        excess = np.maximum(2 * above - 1, 0) - np.maximum(2 * below - 1, 0)
        # Newton's step to the median of normal noise, whose mean absolute value is `distance`.
        by_median = by_median + np.float32(math.pi / 2) * distance * excess
    known = ((_UNKNOWN - clipped) / (_UNKNOWN - 0.5)).clip(0, 1)
    correction = weight * by_mean + (1 - weight) * known * by_median
    return LocalLight(field(correction), field(by_mean - correction))


def _compare(
    correction: SmoothField, noisy: np.ndarray, denoised: np.ndarray, top: int
) -> Iterator[np.ndarray]:
    """Yield where a strip of the noisy image is above and below that of the corrected image."""
    corrected = (denoised + correction.rows(top, top + len(noisy))).clip(0, 1)
    yield (noisy > corrected).astype(np.float32)
    yield (noisy < corrected).astype(np.float32)


def _local_means(pair: Pair, sigma: float, values: _StripValues) -> list[np.ndarray]:
    """Return means of values over neighbourhoods, on a grid of squares of `_GRID` px.

    `values` gets a strip of both images and its first row.
    """
    strips = [
        [shrink(each, _GRID) for each in values(*pair.strip(top, bottom), top)] for top, bottom in pair.strips
    ]
    return [blur(np.concatenate(parts), sigma / _GRID) for parts in zip(*strips, strict=True)]
