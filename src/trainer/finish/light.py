"""Light given back: the mean brightness and colour of every neighbourhood as the noisy image has it.

A sensor's noise is fair in linear light: its mean is zero there. A tone curve bends that, so a network that
keeps the mean of finished images, or their median, makes shadows brighter or darker and shifts colours. Which
light an image's noise is fair in is told by the noise itself: by the power at which it is symmetric.

Shape letters: H rows, W columns, C channels, P places, G powers.
"""

from collections.abc import Iterable

import cv2
import numpy as np

from src.trainer.finish.flat_places import FEWEST, FlatPlaces
from src.trainer.finish.strips import Pair
from src.util.images.light import from_light, to_light

GAMMAS = np.linspace(1, 3, 21)
"""The powers that are tried: 1 is the image as it is, 2.2 about linear light of sRGB."""

_COARSER = 4
_PLACES = 400
_FAR = 2.5
"""How many standard deviations black and white must be away."""
_ENOUGH = 2.0
"""Noise of a standard deviation under so many steps of the values says nothing of its shape."""
_UNTOLD = 1.8
"""Most often noise that is clipped nearly everywhere; where it is too weak to tell, all powers are alike."""


def skewness(pair: Pair, places: FlatPlaces) -> np.ndarray:
    """How far from symmetric the noise is in each flat place, in the light of each power.

    Returns
    -------
    ndarray, shape (P * C, G)
        Third moment over the cube of the standard deviation; no rows where the noise is too weak to tell.
    """
    deviation = np.sqrt(places.variance)
    usable = deviation > _ENOUGH * pair.step
    if pair.step:
        # Not by whether values are clipped: that would keep places whose noise goes the other way by chance.
        usable &= (places.level > _FAR * deviation) & (places.level < 1 - _FAR * deviation)
    (numbers,) = np.nonzero(usable.any(axis=1))
    if not len(numbers):
        return np.empty((0, len(GAMMAS)), np.float32)
    numbers = numbers[:: -(-len(numbers) // _PLACES)]  # of all brightnesses
    noisy, denoised = pair.places(places.corners[numbers])
    return np.stack([_skewness(noisy, denoised, gamma)[usable[numbers]] for gamma in GAMMAS], axis=1)


def _skewness(noisy: np.ndarray, denoised: np.ndarray, gamma: float) -> np.ndarray:
    """Of places (P, N, C) in one light, shape (P, C)."""
    noise = to_light(noisy, gamma) - to_light(denoised, gamma)
    noise -= noise.mean(axis=1, keepdims=True)
    square = noise**2
    deviation = np.sqrt(square.mean(axis=1)) + np.float32(1e-12)
    return (square * noise).mean(axis=1) / deviation**3


def gamma_of(found: Iterable[np.ndarray]) -> float:
    """The power at which noise is symmetric, in the median over all places of one image or several.

    Parameters
    ----------
    found : iterable of ndarray
        What `skewness` gave for each image.

    Returns
    -------
    float
        In `GAMMAS`' range; where there are too few places to tell, `_UNTOLD`.
    """
    rows = [each for each in found if len(each)]
    if sum(map(len, rows)) < FEWEST:
        return _UNTOLD
    median = np.median(np.concatenate(rows), axis=0)  # rises with the power
    return round(float(np.interp(0, np.maximum.accumulate(median), GAMMAS)), 2)


class LightGivenBack:
    """What has to be added to a denoised image for its light to be the noisy one's again.

    Parameters
    ----------
    pair : Pair
        The images.
    sigma : float
        Of the Gaussian that neighbourhoods are weighed by, px.
    gamma : float
        The power of the light.

    Notes
    -----
    Where values are clipped at black or white the mean of what is left is not the noise's; the correction
    fades there. It is smooth, and computed on a grid `_COARSER` times coarser than the image.
    """

    def __init__(self, pair: Pair, sigma: float, gamma: float) -> None:
        height, width, channels = pair.noisy.shape
        self._shape = height, width
        grid = -(-height // _COARSER), -(-width // _COARSER)
        light, result, clipped = (np.empty((*grid, channels), np.float32) for _ in range(3))
        for top, bottom in pair.strips:
            noisy, denoised = pair.strip(top, bottom)
            rows = slice(top // _COARSER, -(-bottom // _COARSER))
            light[rows] = _coarse(to_light(noisy, gamma))
            result[rows] = _coarse(to_light(denoised, gamma))
            clipped[rows] = _coarse(pair.clipped(noisy).astype(np.float32))
        light, result, clipped = (_blurred(each, sigma / _COARSER) for each in (light, result, clipped))
        weight = np.maximum(1 - 3 * clipped, 0)
        self._grid = weight * (from_light(light, gamma) - from_light(result, gamma))

    def rows(self, top: int, bottom: int) -> np.ndarray:
        """The correction of some rows (H, W, C); `top` is a multiple of 4."""
        # With a row more on either side, counted from a multiple of the grid, a strip is interpolated as it
        # would be in the whole.
        first, last = max(0, top // _COARSER - 1), min(len(self._grid), -(-bottom // _COARSER) + 1)
        part = self._grid[first:last]
        size = part.shape[1] * _COARSER, part.shape[0] * _COARSER
        finer = cv2.resize(part, size, interpolation=cv2.INTER_LINEAR).reshape(size[1], size[0], -1)
        return finer[top - first * _COARSER : bottom - first * _COARSER, : self._shape[1]]


def _coarse(values: np.ndarray) -> np.ndarray:
    """Means of squares of `_COARSER` px; those at the border of what there is of them."""
    height, width, channels = values.shape
    missing = -height % _COARSER, -width % _COARSER
    if any(missing):
        values = np.pad(values, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
    size = values.shape[1] // _COARSER, values.shape[0] // _COARSER
    # Of whole squares the area's mean, in a tenth of NumPy's time.
    return cv2.resize(values, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], channels)


def _blurred(values: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT).reshape(values.shape)
