"""The noise of images, measured where they are flat.

Shape letters: P places, C channels, E edge of a place in px, I images.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np

from src.data_handlers.datasets.measured_noise import MeasuredNoise
from src.trainer.finish.strips import Pair
from src.util.images.light import slope_of_light, to_light

EDGE = 32
"""Edge of the places, px."""
REACH = 20
"""Lags up to which noise is followed, px."""
FEWEST = 8
"""With fewer places nothing is concluded."""

_BRIGHTNESSES = 8
_FLATTEST = 0.3
_OF_ALL = 0.1
_FLAT = 0.5
"""Variance of the denoised image over the noise's, above which what varies is taken for the image."""
_KEPT = 64
_CLIPPED, _MOST_CLIPPED = 0.02, 0.4
_ROUNDS = 30


@dataclass(frozen=True)
class NoisePlaces:
    """Flat places of one image or several.

    Attributes
    ----------
    level : ndarray, shape (P, C)
        Mean of the denoised image.
    structure : ndarray, shape (P,)
        Variance of the denoised image over that of the noisy one.
    removed : ndarray, shape (P, C)
        Variance of what the network took off, in light.
    noise : ndarray, shape (P, C, E, E)
        The noisy image in light, less the plane that fits it best.
    """

    level: np.ndarray
    structure: np.ndarray
    removed: np.ndarray
    noise: np.ndarray

    def __len__(self) -> int:
        return len(self.level)

    def __getitem__(self, which: np.ndarray) -> "NoisePlaces":
        """Those of these numbers, or where it is True."""
        return NoisePlaces(*(getattr(self, field.name)[which] for field in fields(self)))

    def of_channels(self, channels: int) -> "NoisePlaces":
        """Those of a grey image among colour images, as if of three equal channels."""
        if self.level.shape[1] == channels:
            return self
        level, removed, noise = (
            np.repeat(values, channels, axis=1) for values in (self.level, self.removed, self.noise)
        )
        return NoisePlaces(level, self.structure, removed, noise)


def noise_places(pair: Pair, gamma: float) -> NoisePlaces:
    """The flattest places of an image, of each brightness alike.

    Parameters
    ----------
    pair : Pair
        The image before and after a network.
    gamma : float
        The power of the light in which the noise is measured.

    Returns
    -------
    NoisePlaces
        At most about `_KEPT`; none where the image is clipped, constant or smaller than a place.
    """
    parts = [_of_strip(pair, gamma, *strip) for strip in pair.strips]
    places = _joined([NoisePlaces(*part) for part in parts])
    by_level = np.array_split(np.argsort(places.level.mean(axis=1), kind="stable"), _BRIGHTNESSES)
    flattest = np.concatenate(
        [
            like[np.argsort(places.structure[like], kind="stable")][: math.ceil(_FLATTEST * len(like))]
            for like in by_level
        ]
    )
    return places[flattest[:: max(1, -(-len(flattest) // _KEPT))]]


def _joined(parts: Sequence[NoisePlaces]) -> NoisePlaces:
    channels = max(part.level.shape[1] for part in parts)
    parts = [part.of_channels(channels) for part in parts]
    return NoisePlaces(
        *(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(NoisePlaces))
    )


def _of_strip(pair: Pair, gamma: float, top: int, bottom: int) -> Iterator[np.ndarray]:
    noisy, denoised = (cut(values, EDGE) for values in pair.strip(top, bottom))
    light, denoised_light = to_light(noisy, gamma), to_light(denoised, gamma)
    removed = _variance(light - denoised_light, noisy)
    noise, structure = less_plane(light), less_plane(denoised_light)
    level, variance = denoised.mean(axis=2), noise.var(axis=2)
    step = slope_of_light(level, gamma) * pair.step
    clipped = pair.clipped(noisy).mean(axis=(1, 2))
    usable = (clipped <= _MOST_CLIPPED) & (variance > step**2 / 4).all(axis=1) & (removed > 0).all(axis=1)
    share = structure.var(axis=2).mean(axis=1) / variance.mean(axis=1).clip(1e-12)
    noise = noise.reshape(*noise.shape[:2], EDGE, EDGE)
    return (values[usable] for values in (level, share, removed, noise))


def cut(values: np.ndarray, edge: int) -> np.ndarray:
    """Places (P, C, edge * edge) of a strip (H, W, C)."""
    rows, columns = (length // edge for length in values.shape[:2])
    places = values[: rows * edge, : columns * edge].reshape(rows, edge, columns, edge, values.shape[2])
    return places.transpose(0, 2, 4, 1, 3).reshape(rows * columns, values.shape[2], edge * edge)


def _variance(noise: np.ndarray, noisy: np.ndarray) -> np.ndarray:
    """Variance (P, C) of noise (P, C, N); where one side is clipped, of the other, about the median."""
    away = noise - np.median(noise, axis=2, keepdims=True)
    black, white = (noisy <= 0).mean(axis=2), (noisy >= 1).mean(axis=2)
    side = np.where((black > white)[..., None], away > 0, away < 0)
    one_sided = (away**2 * side).sum(axis=2) / side.sum(axis=2).clip(1)
    return np.where(black + white > _CLIPPED, one_sided, noise.var(axis=2))


def less_plane(places: np.ndarray) -> np.ndarray:
    """Places (P, C, edge * edge), each less the plane that fits it best."""
    planes = _planes(math.isqrt(places.shape[2]))
    return places - (places @ planes) @ planes.T


@lru_cache
def _planes(edge: int) -> np.ndarray:
    """Orthonormal planes over a place, (edge * edge, 3): constant, along its columns, along its rows."""
    rows, columns = np.mgrid[:edge, :edge] - (edge - 1) / 2
    planes = np.stack([np.ones(edge * edge), rows.ravel(), columns.ravel()], axis=1)
    return (planes / np.linalg.norm(planes, axis=0)).astype(np.float32)


def measure_noise(found: Sequence[NoisePlaces], gamma: float, step: float) -> MeasuredNoise | None:
    """The noise of several images: what pixels share of it in common, its strength for each image.

    Parameters
    ----------
    found : sequence of NoisePlaces
        Of each image, by `noise_places`.
    gamma : float
        The power of the light they were measured in.
    step : float
        See `MeasuredNoise`.

    Returns
    -------
    MeasuredNoise or None
        None where there are too few places.

    Notes
    -----
    How strong the noise is shows in what the network took off, which texture disturbs little. But of coarse
    noise a network leaves a part: where the images are flattest the noisy image alone tells how much, and
    what its pixels share. A plane is all that is taken off there, so noise that reaches far stays.
    """
    places = _joined(found)
    if len(places) < FEWEST:
        return None
    image = np.repeat(np.arange(len(found)), [len(each) for each in found])
    first = np.argsort(places.structure, kind="stable")[: max(FEWEST, int(_OF_ALL * len(places)))]
    flattest = places[first]
    whole = flattest.noise.var(axis=(2, 3))
    left = 1.0
    if np.median(flattest.structure) < _FLAT:
        left = max(1.0, float(np.median(whole / flattest.removed)))
    rounding = (slope_of_light(places.level, gamma) * step) ** 2 / 12
    variance = np.maximum(places.removed * left - rounding, 1e-12)
    levels, variances, strengths = _curves(places, variance, image, len(found))
    shared = _shared(flattest.noise / np.sqrt(whole)[..., None, None])
    return MeasuredNoise(gamma, levels, np.sqrt(variances), shared, np.sqrt(strengths), step)


def _curves(
    places: NoisePlaces, variance: np.ndarray, image: np.ndarray, images: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Variance by brightness, levels and values (C, L), and the factor of each image (I,)."""
    own = [np.flatnonzero(image == number) for number in range(images)]
    own = [each[np.argsort(places.structure[each])][: max(4, len(each) // 3)] for each in own]
    chosen = np.concatenate(own)
    factors = np.ones(images)
    count = min(_BRIGHTNESSES, max(1, len(chosen) // 4))
    order = chosen[np.argsort(places.level[chosen], axis=0, kind="stable")]
    parts = np.array_split(order, count)
    levels = np.stack([np.take_along_axis(places.level, part, axis=0).mean(axis=0) for part in parts], axis=1)
    for _ in range(_ROUNDS):
        alike = variance / factors[image][:, None]
        values = np.stack(
            [np.median(np.take_along_axis(alike, part, axis=0), axis=0) for part in parts], axis=1
        )
        channels = enumerate(zip(levels, values, strict=True))
        curve = np.stack([np.interp(places.level[:, c], *line) for c, line in channels], axis=1)
        ratios = [variance[each] / curve[each] for each in own]
        known = [float(np.median(ratio)) if len(ratio) > 1 else math.nan for ratio in ratios]
        factors = np.nan_to_num(known, nan=float(np.nanmedian(known)) if np.isfinite(known).any() else 1.0)
    return levels.astype(np.float32), values.astype(np.float32), factors.astype(np.float32)


def _shared(noise: np.ndarray) -> np.ndarray:
    """Correlation in places (P, C, E, E) of noise of deviation 1; see `MeasuredNoise.shared`."""
    padded = (2 * EDGE, 2 * EDGE)
    spectra = np.fft.rfft2(noise, padded)
    power = np.einsum("pihw,pjhw->ijhw", spectra.conj(), spectra, optimize=True) / len(noise)
    pairs = np.abs(np.fft.rfft2(np.ones((EDGE, EDGE)), padded)) ** 2
    lags = np.arange(-REACH, REACH + 1)
    sums, counts = (np.fft.irfft2(of, padded)[..., lags[:, None], lags] for of in (power, pairs))
    return np.asarray((sums / counts).transpose(2, 3, 0, 1), np.float32)
