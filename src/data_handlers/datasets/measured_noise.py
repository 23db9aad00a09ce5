"""Noise measured in real images: strength by brightness, and correlation of pixels and channels.

Shape letters: C channels, L brightness levels, R largest lag, H rows, W columns.

References
----------
.. [1] R. B. Blackman and J. W. Tukey, "The Measurement of Power Spectra from the Point of View of
   Communications Engineering", Bell System Technical Journal 37, 1958.
"""

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import BinaryIO

import numpy as np
from scipy.fft import irfft2, rfft2

from src.util.images.light import from_light, to_light

_CACHED = 128
"""Spectra that are kept, 0.6 MB each for crops of 128 px."""
_KERNELS = 512
"""Kernels that are kept, 0.15 MB each."""
_GRID = 64
"""Edge of a kernel, px: noise is correlated over shorter distances."""


@dataclass(frozen=True, eq=False)
class MeasuredNoise:
    """Gaussian noise in linear light, with a standard deviation that depends on the clean value.

    Attributes
    ----------
    gamma : float
        Exponent of the light in which the noise is symmetric, see `to_light`.
    levels : ndarray of float32, shape (C, L)
        Brightness levels of the image, ascending.
    deviations : ndarray of float32, shape (C, L)
        Standard deviation of the noise at each level, in light.
    shared : ndarray of float32, shape (2 R + 1, 2 R + 1, C, C)
        `shared[R + dy, R + dx, i, j]` is the correlation of channel i of a pixel with channel j of the pixel
        dy rows below and dx columns to the right.
    step : float
        Distance between two possible values of the images; 0 for floating-point images.
    """

    gamma: float
    levels: np.ndarray
    deviations: np.ndarray
    shared: np.ndarray
    step: float

    def added_to(self, clean: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
        """Return an image with this noise.

        Parameters
        ----------
        clean : ndarray of float32, shape (H, W, C)
            Image with data range 1.
        strength : float
            Factor of the standard deviation.
        rng : Generator
            Random numbers.

        Returns
        -------
        ndarray of float32, shape (H, W, C)
            Clipped and rounded to `step`, unless that is 0.
        """
        noise = self.pattern((clean.shape[0], clean.shape[1]), rng)
        for channel, curve in enumerate(zip(self.levels, self.deviations, strict=True)):
            noise[..., channel] *= np.float32(strength) * np.interp(clean[..., channel], *curve)
        noisy = from_light(to_light(clean, self.gamma) + noise, self.gamma)
        if not self.step:
            return noisy
        return np.rint(noisy.clip(0, 1) / np.float32(self.step)) * np.float32(self.step)

    def pattern(self, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        """Draw noise (H, W, C) with standard deviation 1 and the measured correlation."""
        white = rng.standard_normal((len(self.levels), *shape), np.float32)
        spectrum = np.einsum("hwij,jhw->ihw", _roots(self, *shape), rfft2(white))
        return np.ascontiguousarray(irfft2(spectrum, shape).transpose(1, 2, 0), np.float32)

    @property
    def tapered(self) -> np.ndarray:
        """The correlation `shared`, multiplied by a window that falls to 0 at large lags.

        Without the window, measurement errors at large lags add noise at all frequencies [1]_.
        """
        radius = len(self.shared) // 2
        window = np.cos(np.pi / 2 * np.arange(-radius, radius + 1) / (radius + 1)) ** 2
        return np.asarray(self.shared * np.outer(window, window)[..., None, None])

    def scaled(self, strength: float) -> "MeasuredNoise":
        """Return noise whose standard deviation is `strength` times as large."""
        return replace(self, deviations=self.deviations * np.float32(strength))

    def of_channels(self, channels: list[int]) -> "MeasuredNoise":
        """Return the noise of some channels. The result is cached."""
        return _of_channels(self, tuple(channels))

    def save(self, file: BinaryIO) -> None:
        """Write the noise to an .npz file."""
        np.savez(file, **{field.name: getattr(self, field.name) for field in fields(self)})


def load_measured_noise(file: BinaryIO) -> MeasuredNoise:
    """Read a file of `MeasuredNoise.save`."""
    with np.load(file) as content:
        gamma, levels, deviations, shared, step = (content[each.name] for each in fields(MeasuredNoise))
    return MeasuredNoise(float(gamma), levels, deviations, shared, float(step))


@lru_cache(maxsize=_CACHED)
def _of_channels(noise: MeasuredNoise, channels: tuple[int, ...]) -> MeasuredNoise:
    selected = list(channels)
    if selected == list(range(len(noise.levels))):
        return noise
    shared = noise.shared[..., selected, :][..., selected]
    return replace(noise, levels=noise.levels[selected], deviations=noise.deviations[selected], shared=shared)


@lru_cache(maxsize=_CACHED)
def _roots(noise: MeasuredNoise, height: int, width: int) -> np.ndarray:
    """Return square roots (H, W // 2 + 1, C, C) of the cross-spectrum, the filter for white noise."""
    lags = np.arange(-_GRID // 2, _GRID // 2)
    roots = _spectrum(_kernel(noise), lags, height, width)
    # rfft2 stores half of the spectrum, so all columns but the first and the middle one count twice.
    twice = np.where((np.arange(width // 2 + 1) % (width / 2)) == 0, 1, 2)
    variance = ((np.abs(roots) ** 2).sum(3) * twice[:, None]).mean(axis=0).sum(axis=0) / width
    return np.asarray(roots / np.sqrt(variance)[:, None], np.complex64)


@lru_cache(maxsize=_KERNELS)
def _kernel(noise: MeasuredNoise) -> np.ndarray:
    """Return the filter as a kernel (_GRID, _GRID, C, C), which does not depend on the size of an image."""
    radius = len(noise.shared) // 2
    spectrum = _spectrum(noise.tapered, np.arange(-radius, radius + 1), _GRID, _GRID).conj()
    # Measurement errors make some powers negative.
    powers, axes = np.linalg.eigh((spectrum + spectrum.conj().swapaxes(2, 3)) / 2)
    roots = (axes * np.sqrt(powers.clip(0))[..., None, :]) @ axes.conj().swapaxes(2, 3)
    return np.asarray(np.fft.fftshift(irfft2(roots, (_GRID, _GRID), axes=(0, 1)), (0, 1)), np.float32)


def _spectrum(values: np.ndarray, lags: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the spectrum (H, W // 2 + 1, C, C) of values at some lags, of periodic images."""
    wrapped = np.zeros((height, width, *values.shape[2:]), np.float32)
    np.add.at(wrapped, (lags[:, None] % height, lags % width), values)
    return np.asarray(rfft2(wrapped, axes=(0, 1)), np.complex64)
