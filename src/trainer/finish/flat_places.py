"""Flat places of an image, where all that differs from the denoised image is noise.

Shape letters: P places, C channels, N pixels of a place.
"""

from dataclasses import dataclass

import numpy as np

from src.trainer.finish.strips import EDGE, Pair

FEWEST = 16
"""With fewer places nothing is concluded."""

_FLATTEST = 0.1


@dataclass(frozen=True)
class FlatPlaces:
    """The flattest tenth of an image's places of `EDGE` px squared, those without clipped values first.

    Attributes
    ----------
    corners : ndarray of int, shape (P, 2)
        Row and column of each, flattest first.
    level : ndarray, shape (P, C)
        Mean of the denoised image.
    variance : ndarray, shape (P, C)
        Of noisy minus denoised.
    unclipped : ndarray of bool, shape (P,)
    """

    corners: np.ndarray
    level: np.ndarray
    variance: np.ndarray
    unclipped: np.ndarray


def flat_places(pair: Pair) -> FlatPlaces:
    """Find the flat places; of an image smaller than one there are none."""
    parts = [_of_strip(pair, *strip) for strip in pair.strips]
    corners, level, structure, variance, unclipped = (np.concatenate(p) for p in zip(*parts, strict=True))
    flatness = structure.mean(axis=1) / np.maximum(variance.mean(axis=1), pair.rounding + 1e-12)
    count = max(FEWEST, round(_FLATTEST * len(corners)))
    flattest = np.lexsort((flatness, ~unclipped))[:count]
    return FlatPlaces(corners[flattest], level[flattest], variance[flattest], unclipped[flattest])


def _of_strip(pair: Pair, top: int, bottom: int) -> tuple[np.ndarray, ...]:
    noisy, denoised = pair.strip(top, bottom)
    rows, columns, channels = (bottom - top) // EDGE, noisy.shape[1] // EDGE, noisy.shape[2]
    down, across = np.divmod(np.arange(rows * columns), max(columns, 1))
    corners = np.stack([down * EDGE + top, across * EDGE], axis=1)

    def places(values: np.ndarray) -> np.ndarray:
        """(P, C, N)."""
        cut = values[: rows * EDGE, : columns * EDGE].reshape(rows, EDGE, columns, EDGE, channels)
        return cut.transpose(0, 2, 4, 1, 3).reshape(rows * columns, channels, EDGE * EDGE)

    level = places(denoised)
    unclipped = np.asarray(~places(pair.clipped(noisy)).any(axis=(1, 2)))
    return corners, level.mean(axis=2), level.var(axis=2), places(noisy - denoised).var(axis=2), unclipped


def noise_variance(places: FlatPlaces, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Variance of the noise as a line over brightness, fitted to the flat places by least squares.

    Parameters
    ----------
    places : FlatPlaces
        At least `FEWEST`.
    least : float
        No variance is taken for smaller than this.

    Returns
    -------
    (ndarray, ndarray)
        Offset and slope, shape (C,); the slope is not negative, nor the line anywhere below `least`.
    """
    level, variance = places.level.astype(np.float64), places.variance.astype(np.float64)
    spread = level - level.mean(axis=0)
    slope = (spread * variance).sum(axis=0) / np.maximum((spread**2).sum(axis=0), 1e-9)
    slope = np.maximum(slope, 0)
    offset = np.maximum(variance.mean(axis=0) - slope * level.mean(axis=0), least)
    return offset.astype(np.float32), slope.astype(np.float32)
