"""Find flat places of an image, where the difference to the denoised image is only noise.

Shape letters: P places, C channels.
"""

import math
from dataclasses import dataclass

import numpy as np

from src.trainer.finish.strips import EDGE, Pair
from src.util.images.places import cut_places

MIN_PLACES = 16
"""With fewer places the noise counts as unknown."""

_FLAT = 0.3
_BINS = 8
_QUANTILE = 0.3
_LOWEST = 0.05


@dataclass(frozen=True)
class FlatPlaces:
    """The flattest squares of `EDGE` px of an image, the same number for each brightness."""

    corners: np.ndarray
    """(P, 2) int, row and column of the upper left corners, px."""
    level: np.ndarray
    """(P, C), mean of the denoised image."""
    variance: np.ndarray
    """(P, C), variance of noisy minus denoised image."""


def flat_places(pair: Pair) -> FlatPlaces:
    """Find the places where the denoised image varies least among places of similar brightness."""
    parts = [_strip_places(pair, *strip) for strip in pair.strips]
    corners, level, structure, variance = (np.concatenate(part) for part in zip(*parts, strict=True))
    by_level = np.array_split(np.argsort(level.mean(axis=1), kind="stable"), _BINS)
    varies = structure.mean(axis=1)
    flattest = np.concatenate(
        [like[np.argsort(varies[like], kind="stable")][: math.ceil(_FLAT * len(like))] for like in by_level]
    )
    return FlatPlaces(corners[flattest], level[flattest], variance[flattest])


def _strip_places(pair: Pair, top: int, bottom: int) -> tuple[np.ndarray, ...]:
    """Return corner (P, 2), and level, structure and noise variance (P, C) of all places of a strip."""
    noisy, denoised = pair.strip(top, bottom)
    rows, columns = (bottom - top) // EDGE, noisy.shape[1] // EDGE
    down, across = np.divmod(np.arange(rows * columns), max(columns, 1))
    corners = np.stack([down * EDGE + top, across * EDGE], axis=1)
    level, removed = (cut_places(values, EDGE) for values in (denoised, noisy - denoised))
    return corners, level.mean(axis=2), level.var(axis=2), removed.var(axis=2)


class NoiseCurve:
    """The noise variance as a function of brightness, for each channel.

    Parameters
    ----------
    places : FlatPlaces
        At least `MIN_PLACES`.
    least : float
        Lower limit of the variance.

    Attributes
    ----------
    evenness : float
        A low quantile of the variance of all places, relative to the curve. It is above 0.9 for white
        noise. Correlated noise varies more from place to place, which lowers it; removed texture hardly does.

    Notes
    -----
    Where the network removed texture, the difference varies more than the noise. The curve therefore follows
    a low quantile of the places of similar brightness, not their mean.
    """

    def __init__(self, places: FlatPlaces, least: float) -> None:
        order = np.argsort(places.level, axis=0, kind="stable")
        variance = np.maximum(places.variance, least)
        levels, variances = (
            np.array_split(np.take_along_axis(values, order, axis=0), _BINS)
            for values in (places.level, variance)
        )
        self._levels = np.stack([part.mean(axis=0) for part in levels], axis=1)
        self._variances = np.stack([np.quantile(part, _QUANTILE, axis=0) for part in variances], axis=1)
        ratios = variance / self(places.level[np.newaxis])[0]
        self.evenness = float(np.quantile(ratios.mean(axis=1), _LOWEST))

    def __call__(self, denoised: np.ndarray) -> np.ndarray:
        """Return the noise variance at each value of an image (H, W, C), float32."""
        channels = zip(self._levels, self._variances, strict=True)
        curves = [np.interp(denoised[..., c], *curve) for c, curve in enumerate(channels)]
        return np.stack(curves, axis=2).astype(np.float32)
