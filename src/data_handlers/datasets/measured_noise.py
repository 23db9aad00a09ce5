"""Noise as it was measured in real images: its strength by brightness, and what pixels and channels share.

Shape letters: I images, C channels, L brightnesses, R lags to either side, H rows, W columns.

References
----------
.. [1] R. B. Blackman and J. W. Tukey, "The Measurement of Power Spectra from the Point of View of
   Communications Engineering", Bell System Technical Journal 37, 1958.
"""

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import BinaryIO

import numpy as np

from src.util.images.light import from_light, to_light


@dataclass(frozen=True, eq=False)
class MeasuredNoise:
    """Noise that is Gaussian in light, with a standard deviation that depends on the clean value.

    Attributes
    ----------
    gamma : float
        The power of the light that the noise is symmetric in, see `to_light`.
    levels : ndarray of float32, shape (C, L)
        Brightnesses of the image, rising.
    deviations : ndarray of float32, shape (C, L)
        Standard deviation of the noise at each, in light.
    shared : ndarray of float32, shape (2 R + 1, 2 R + 1, C, C)
        Correlation of a pixel's first channel with the second of the pixel that lies so many rows below and
        columns to the right; R in the middle is the pixel itself.
    strengths : ndarray of float32, shape (I,)
        What the deviations of each of the measured images have to be multiplied by.
    step : float
        From one value that the images can have to the next; 0 for floating-point images.
    """

    gamma: float
    levels: np.ndarray
    deviations: np.ndarray
    shared: np.ndarray
    strengths: np.ndarray
    step: float

    def added_to(self, clean: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
        """Put noise onto an image.

        Parameters
        ----------
        clean : ndarray of float32, shape (H, W, C)
            Of data range 1. Left as it is.
        strength : float
            Factor of the deviation, such as one of `strengths`.
        rng : Generator
            Decides the draw.

        Returns
        -------
        ndarray of float32, shape (H, W, C)
            Clipped and rounded where the real images are.
        """
        noise = self.pattern((clean.shape[0], clean.shape[1]), rng)
        for channel, curve in enumerate(zip(self.levels, self.deviations, strict=True)):
            noise[..., channel] *= np.float32(strength) * np.interp(clean[..., channel], *curve)
        noisy = from_light(to_light(clean, self.gamma) + noise, self.gamma)
        if not self.step:
            return noisy
        return np.rint(noisy.clip(0, 1) / np.float32(self.step)) * np.float32(self.step)

    def pattern(self, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        """Noise (H, W, C) of standard deviation 1, shared by pixels and channels as measured."""
        white = rng.standard_normal((len(self.levels), *shape), np.float32)
        spectrum = np.einsum("hwij,jhw->ihw", _roots(self, *shape), np.fft.rfft2(white))
        return np.ascontiguousarray(np.fft.irfft2(spectrum, shape).transpose(1, 2, 0), np.float32)

    @property
    def tapered(self) -> np.ndarray:
        """What pixels share, less and less of it the farther they are.

        What far pixels share was measured with errors, which would add up to noise of all frequencies [1]_.
        """
        reach = len(self.shared) // 2
        window = np.cos(np.pi / 2 * np.arange(-reach, reach + 1) / (reach + 1)) ** 2
        return np.asarray(self.shared * np.outer(window, window)[..., None, None])

    def of_channels(self, channels: list[int]) -> "MeasuredNoise":
        """The noise of some of the channels; the same object for the same ones."""
        return _of_channels(self, tuple(channels))

    def save(self, file: BinaryIO) -> None:
        """Write all of it as an .npz file."""
        np.savez(file, **{field.name: getattr(self, field.name) for field in fields(self)})


def load_measured_noise(file: BinaryIO) -> MeasuredNoise:
    """Read what `MeasuredNoise.save` wrote."""
    with np.load(file) as content:
        gamma, levels, deviations, shared, strengths, step = (
            content[each.name] for each in fields(MeasuredNoise)
        )
    return MeasuredNoise(float(gamma), levels, deviations, shared, strengths, float(step))


@lru_cache(maxsize=32)
def _of_channels(noise: MeasuredNoise, channels: tuple[int, ...]) -> MeasuredNoise:
    some = list(channels)
    if some == list(range(len(noise.levels))):
        return noise
    shared = noise.shared[..., some, :][..., some]
    return replace(noise, levels=noise.levels[some], deviations=noise.deviations[some], shared=shared)


@lru_cache(maxsize=32)
def _roots(noise: MeasuredNoise, height: int, width: int) -> np.ndarray:
    """Square roots (H, W // 2 + 1, C, C) of the cross-spectrum, which give white noise its correlation."""
    reach, channels = len(noise.shared) // 2, len(noise.levels)
    lags = np.arange(-reach, reach + 1)
    around = np.zeros((height, width, channels, channels))
    np.add.at(around, (lags[:, None] % height, lags % width), noise.tapered)
    spectrum = np.fft.rfft2(around, axes=(0, 1)).conj()
    # As measured it is no spectrum to the last digit: some powers come out below 0.
    powers, axes = np.linalg.eigh((spectrum + spectrum.conj().swapaxes(2, 3)) / 2)
    roots = (axes * np.sqrt(powers.clip(0))[..., None, :]) @ axes.conj().swapaxes(2, 3)
    # Of a real signal's spectrum half is stored, and all but the first and the middle column count twice.
    twice = np.where((np.arange(width // 2 + 1) % (width / 2)) == 0, 1, 2)
    variance = ((np.abs(roots) ** 2).sum(3) * twice[:, None]).mean(axis=0).sum(axis=0) / width
    return np.asarray(roots / np.sqrt(variance)[:, None], np.complex64)
