"""Measure the noise of images in their flat places.

Shape letters: P places, C channels, E edge of a place in px, I images, L brightness levels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from src.data_handlers.datasets.measured_noise import MeasuredNoise
from src.trainer.finish.strips import Pair
from src.util.images.light import slope_of_light, to_light
from src.util.images.places import cut_places, remove_plane

EDGE = 32
"""Edge of a place, px."""
MAX_LAG = 20
"""Largest distance at which the correlation of noise is measured, px."""
MIN_PLACES = 8
"""Fewer places are too few for a measurement."""

_BRIGHTNESS_BINS = 8
_FLATTEST_OF_BIN = 0.3
_FLATTEST_OF_ALL = 0.1
_FLAT, _FLAT_OF_FEW = 0.5, 0.15
"""Largest variance of the denoised image, as a share of the noisy image's, at which a place counts as flat.

The rest may be noise that the network left, or texture. Few images may have texture everywhere.
"""
_FEW_IMAGES = 4
_PLACES_PER_IMAGE = 64
_CLIPPED, _MAX_CLIPPED = 0.02, 0.4
_ROUNDS = 30


@dataclass(frozen=True)
class NoisePlaces:
    """Flat places of one or more images. Variances are in linear light.

    Attributes
    ----------
    level : ndarray, shape (P, C)
        Mean of the denoised image.
    structure : ndarray, shape (P,)
        Variance of the denoised image over that of the noisy image.
    removed : ndarray, shape (P, C)
        Variance of what the network removed.
    residual : ndarray, shape (P, C, E, E)
        What the network removed, in linear light.
    noise : ndarray, shape (P, C, E, E)
        Noisy image in linear light, minus the plane that fits it best.
    """

    level: np.ndarray
    structure: np.ndarray
    removed: np.ndarray
    residual: np.ndarray
    noise: np.ndarray

    def __len__(self) -> int:
        return len(self.level)

    def __getitem__(self, index: np.ndarray) -> "NoisePlaces":
        """Select places by their numbers or by a mask."""
        return NoisePlaces(*(getattr(self, field.name)[index] for field in fields(self)))

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.level.shape[1]

    def with_channels(self, channels: int) -> "NoisePlaces":
        """Return grey places as places of equal channels, and places that have these channels as they are."""

        def repeated(values: np.ndarray) -> np.ndarray:
            return np.broadcast_to(values, (len(values), channels, *values.shape[2:]))

        return NoisePlaces(
            repeated(self.level), self.structure, *map(repeated, (self.removed, self.residual, self.noise))
        )


class PooledNoise(NamedTuple):
    """Noise of several images: one correlation and one curve over brightness.

    Attributes
    ----------
    noise : MeasuredNoise
        What the images share.
    strengths : ndarray of float32, shape (I,)
        Factor of the noise's standard deviation in each image.
    """

    noise: MeasuredNoise
    strengths: np.ndarray

    def of_image(self, number: int) -> MeasuredNoise:
        """Return the noise of one of the images."""
        return self.noise.scaled(float(self.strengths[number]))


def noise_places(pair: Pair, gamma: float) -> NoisePlaces:
    """Find the flattest places of an image at each brightness.

    Parameters
    ----------
    pair : Pair
        The image before and after a network.
    gamma : float
        Exponent of the linear light in which the noise is measured, see `to_light`.

    Returns
    -------
    NoisePlaces
        About `_PLACES_PER_IMAGE` at most. Empty if the image is clipped, constant or smaller than a place.
    """
    places = _join([_strip_places(pair, gamma, *strip) for strip in pair.strips])
    bins = np.array_split(np.argsort(places.level.mean(axis=1), kind="stable"), _BRIGHTNESS_BINS)
    flattest = np.concatenate(
        [
            own[np.argsort(places.structure[own], kind="stable")][: math.ceil(_FLATTEST_OF_BIN * len(own))]
            for own in bins
        ]
    )
    return places[flattest[:: max(1, -(-len(flattest) // _PLACES_PER_IMAGE))]]


def _join(parts: Sequence[NoisePlaces]) -> NoisePlaces:
    channels = max(part.channels for part in parts)
    parts = [part.with_channels(channels) for part in parts]
    return NoisePlaces(
        *(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(NoisePlaces))
    )


def _strip_places(pair: Pair, gamma: float, top: int, bottom: int) -> NoisePlaces:
    noisy, denoised = (cut_places(values, EDGE) for values in pair.strip(top, bottom))
    light, denoised_light = to_light(noisy, gamma), to_light(denoised, gamma)
    residual = light - denoised_light
    removed = _variance(residual, noisy)
    noise, content = remove_plane(light), remove_plane(denoised_light)
    level, variance = denoised.mean(axis=2), noise.var(axis=2)
    step = slope_of_light(level, gamma) * pair.step
    clipped = pair.clipped(noisy).mean(axis=(1, 2))
    usable = (clipped <= _MAX_CLIPPED) & (variance > step**2 / 4).all(axis=1) & (removed > 0).all(axis=1)
    structure = content.var(axis=2).mean(axis=1) / variance.mean(axis=1).clip(1e-12)
    residual, noise = (values.reshape(*values.shape[:2], EDGE, EDGE) for values in (residual, noise))
    return NoisePlaces(level, structure, removed, residual, noise)[usable]


def _variance(noise: np.ndarray, noisy: np.ndarray) -> np.ndarray:
    """Return the variance (P, C) of noise (P, C, E * E).

    Where values are clipped at one end, use the noise on the other side of the median alone.
    """
    deviation = noise - np.median(noise, axis=2, keepdims=True)
    black, white = (noisy <= 0).mean(axis=2), (noisy >= 1).mean(axis=2)
    unclipped = np.where((black > white)[..., None], deviation > 0, deviation < 0)
    one_sided = (deviation**2 * unclipped).sum(axis=2) / unclipped.sum(axis=2).clip(1)
    return np.where(black + white > _CLIPPED, one_sided, noise.var(axis=2))


def measure_noise(found: Sequence[NoisePlaces], gamma: float, step: float) -> PooledNoise | None:
    """Measure strength and correlation of the noise of several images.

    Parameters
    ----------
    found : sequence of NoisePlaces
        The places of each image, from `noise_places`.
    gamma : float
        Exponent of the linear light in which they were measured.
    step : float
        See `MeasuredNoise`.

    Returns
    -------
    PooledNoise or None
        None if there are fewer than `MIN_PLACES` places.

    Notes
    -----
    The variance of what the network removed is hardly affected by texture, but a network leaves part of
    coarse noise in the image. The flattest places of the noisy image show how large this part is, and how
    pixels are correlated. Only a plane is removed there, so that coarse noise stays. Where even these places
    are not flat, texture would count as noise, so the noise is what the network removed.
    """
    places = _join(found)
    if len(places) < MIN_PLACES:
        return None
    image = np.repeat(np.arange(len(found)), [len(each) for each in found])
    flattest = _flattest(places)
    noise, left = flattest.residual, 1.0
    if np.median(flattest.structure) < (_FLAT_OF_FEW if len(found) < _FEW_IMAGES else _FLAT):
        noise = flattest.noise
        left = max(1.0, _noise_ratio(flattest))
    rounding = (slope_of_light(places.level, gamma) * step) ** 2 / 12
    variance = np.maximum(places.removed * left - rounding, 1e-12)
    levels, variances, strengths = _fit_curves(places, variance, image, len(found))
    noise_of_all = MeasuredNoise(gamma, levels, np.sqrt(variances), _correlation(noise), step)
    return PooledNoise(noise_of_all, np.sqrt(strengths))


def noise_ratio(found: Sequence[NoisePlaces]) -> float | None:
    """Return the variance of the noise over that of what the network removed, in the flattest places.

    It is 1 if the network removes all noise, and None if there are fewer than `MIN_PLACES` places. Where even
    the flattest places are not flat, texture counts as noise.
    """
    places = _join(found)
    return _noise_ratio(_flattest(places)) if len(places) >= MIN_PLACES else None


def _noise_ratio(flattest: NoisePlaces) -> float:
    return float(np.median(flattest.noise.var(axis=(2, 3)) / flattest.removed))


def is_flat(places: NoisePlaces) -> bool:
    """Return whether the flattest places of one image show nothing but noise."""
    return len(places) >= MIN_PLACES and bool(np.median(_flattest(places).structure) < _FLAT_OF_FEW)


def correlation(places: NoisePlaces) -> np.ndarray:
    """Return the correlation of the noise of one image that is flat; see `MeasuredNoise.shared`."""
    return _correlation(_flattest(places).noise)


def _flattest(places: NoisePlaces) -> NoisePlaces:
    order = np.argsort(places.structure, kind="stable")
    return places[order[: max(MIN_PLACES, int(_FLATTEST_OF_ALL * len(places)))]]


def _fit_curves(
    places: NoisePlaces, variance: np.ndarray, image: np.ndarray, images: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit variance by brightness, as levels and values (C, L), and a factor for each image (I,)."""
    own = [np.flatnonzero(image == number) for number in range(images)]
    own = [each[np.argsort(places.structure[each])][: max(4, len(each) // 3)] for each in own]
    chosen = np.concatenate(own)
    factors = np.ones(images)
    count = min(_BRIGHTNESS_BINS, max(1, len(chosen) // 4))
    order = chosen[np.argsort(places.level[chosen], axis=0, kind="stable")]
    bins = np.array_split(order, count)
    levels = np.stack([np.take_along_axis(places.level, each, axis=0).mean(axis=0) for each in bins], axis=1)
    for _ in range(_ROUNDS):
        scaled = variance / factors[image][:, None]
        values = np.stack(
            [np.median(np.take_along_axis(scaled, each, axis=0), axis=0) for each in bins], axis=1
        )
        channels = enumerate(zip(levels, values, strict=True))
        curve = np.stack([np.interp(places.level[:, c], *line) for c, line in channels], axis=1)
        ratios = [variance[each] / curve[each] for each in own]
        known = [float(np.median(ratio)) if len(ratio) > 1 else math.nan for ratio in ratios]
        factors = np.nan_to_num(known, nan=float(np.nanmedian(known)) if np.isfinite(known).any() else 1.0)
    return levels.astype(np.float32), values.astype(np.float32), factors.astype(np.float32)


def _correlation(noise: np.ndarray) -> np.ndarray:
    """Return the correlation of noise in places (P, C, E, E); see `MeasuredNoise.shared`."""
    noise = noise / noise.std(axis=(2, 3), keepdims=True)
    padded = (2 * EDGE, 2 * EDGE)
    spectra = np.fft.rfft2(noise, padded)
    power = np.einsum("pihw,pjhw->ijhw", spectra.conj(), spectra, optimize=True) / len(noise)
    pairs = np.abs(np.fft.rfft2(np.ones((EDGE, EDGE)), padded)) ** 2
    lags = np.arange(-MAX_LAG, MAX_LAG + 1)
    sums, counts = (np.fft.irfft2(each, padded)[..., lags[:, None], lags] for each in (power, pairs))
    return np.asarray((sums / counts).transpose(2, 3, 0, 1), np.float32)
