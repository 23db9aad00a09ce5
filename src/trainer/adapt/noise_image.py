"""Image of the noise measured in images: curves, a real and a simulated example, and the spectrum.

Shape letters: C channels, E edge of a place in px, F frequencies.
"""

import math
from typing import NamedTuple

import numpy as np

from src.data_handlers.datasets.measured_noise import MeasuredNoise
from src.trainer.adapt.noise_table import Measurement
from src.trainer.report.chart import Curve, chart
from src.trainer.report.panel import GAP, enlarged, panel
from src.util.images.conversion import to_uint8
from src.util.images.places import cut_places, remove_plane
from src.util.seed import numpy_generator

EDGES = 64, 32
"""Edges of the place to show, px. The second is used if no place of the first is flat."""
SHOWN = 256
"""Edge of a tile of the image, px."""
FREQUENCIES = 64

_FLAT = 0.2
"""A place is flat up to this ratio of the denoised image's variance to the noise's."""
_CLIPPED = 0.1
"""Share of clipped values that makes a place as unsuitable as a ratio of 1."""
_DEVIATIONS = 4
"""Standard deviations of the noise from mid-grey to black or white."""
_DECADES = 2
"""Decades of power from mid-grey, the power of white noise, to black or white."""
_NAME_LENGTH = 36
_COLOURS = {"R": "#c62828", "G": "#2e7d32", "B": "#1565c0"}
_OTHERS = ("#000000", "#e65100", "#6a1b9a", "#00838f", "#827717")


class Example(NamedTuple):
    """Real noise of one place, and simulated noise of the same brightness.

    Attributes
    ----------
    name : str
        Name of the image.
    brightness : float
        Mean of the place, grey levels of 255.
    real, simulated : ndarray, shape (E, E, C)
        Noise of data range 1, minus the plane that fits it best.
    """

    name: str
    brightness: float
    real: np.ndarray
    simulated: np.ndarray


class _Place(NamedTuple):
    """A place of image `number`: `unfit` grows with structure and clipping; the arrays are (E, E, C)."""

    number: int
    unfit: float
    noise: np.ndarray
    clean: np.ndarray


def example(measured: Measurement) -> Example:
    """Take a flat place of the noisiest image that has one, and simulate noise of the same brightness."""
    places = [
        _flattest(measured, number, edge) for number in reversed(measured.by_strength) for edge in EDGES
    ]
    place = next(
        (place for place in places if place.unfit <= _FLAT), min(places, key=lambda place: place.unfit)
    )
    edge, channels = place.clean.shape[0], place.clean.shape[2]
    # Simulated noise is periodic, so draw it on a larger place and crop.
    padded = np.pad(place.clean.clip(0, 1), ((0, edge), (0, edge), (0, 0)), mode="edge")
    noise = measured.noise.of_channels(list(range(channels)))
    noisy = noise.added_to(padded, float(measured.strengths[place.number]), numpy_generator(0))
    simulated = _square(remove_plane(cut_places(noisy[:edge, :edge], edge))[0])
    return Example(measured.names[place.number], 255 * float(place.clean.mean()), place.noise, simulated)


def _flattest(measured: Measurement, number: int, edge: int) -> _Place:
    pair = measured.pairs[number]
    edge = min(edge, *pair.noisy.shape[:2])
    noisy, denoised = (cut_places(values, edge) for values in pair.strip(0, len(pair.noisy)))
    noise = remove_plane(noisy)
    variance, structure = (values.var(axis=2).mean(axis=1) for values in (noise, remove_plane(denoised)))
    unfit = structure / variance.clip(1e-12) + pair.clipped(noisy).mean(axis=(1, 2)) / _CLIPPED
    unfit = np.where(variance > pair.step**2 / 4, unfit, np.inf)
    best = int(np.argmin(unfit))
    return _Place(number, float(unfit[best]), _square(noise[best]), _square((noisy - noise)[best]))


def _square(place: np.ndarray) -> np.ndarray:
    """Reshape a place (C, E * E) to (E, E, C)."""
    edge = math.isqrt(place.shape[1])
    return np.ascontiguousarray(place.reshape(-1, edge, edge).transpose(1, 2, 0))


def spectrum(noise: MeasuredNoise) -> np.ndarray:
    """Return the noise's power spectrum, averaged over channels; white noise has power 1.

    Returns
    -------
    ndarray, shape (F, F)
        Power by frequency along columns and rows, from -1/2 to 1/2 cycles per pixel. Frequency 0 is in the
        middle.
    """
    shared = noise.tapered.mean(axis=(2, 3))
    lag = len(shared) // 2
    power = np.fft.fft2(shared / shared[lag, lag], (FREQUENCIES, FREQUENCIES))
    return np.asarray(np.fft.fftshift(np.abs(power)))


def noise_image(measured: Measurement) -> np.ndarray:
    """Draw noise by brightness, a real place beside a simulated one, and the spectrum.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
    """
    shown = example(measured)
    gain = 0.5 / (_DEVIATIONS * max(float(shown.real.std()), 1e-6))
    tiles = [
        (f"{name}, deviation {255 * noise.std():.1f}", _tile(0.5 + gain * noise))
        for name, noise in (("real", shown.real), ("simulated", shown.simulated))
    ]
    power = np.log10(spectrum(measured.noise).clip(1e-9))
    tiles.append(("spectrum (mid-grey: white noise)", _tile(0.5 + power[..., None] / (2 * _DECADES))))
    name = shown.name[-_NAME_LENGTH:]
    place = f"Flat place of brightness {shown.brightness:.0f}, contrast x{gain:.1f}, of {name}"
    return panel([[("Noise by brightness", _curves(measured))], [(place, panel([tiles]))]])


def _curves(measured: Measurement) -> np.ndarray:
    curves = []
    for channel, name in enumerate(measured.channels):
        levels = measured.noise.levels[channel]
        colour = _COLOURS.get(name, _OTHERS[channel % len(_OTHERS)])
        curves.append(Curve(name, colour, 255 * levels, measured.deviation(levels, channel)))
    size = 3 * SHOWN + 2 * GAP, 300
    return chart(curves, "brightness, of 255", "standard deviation, of 255", 255, size)


def _tile(values: np.ndarray) -> np.ndarray:
    """Enlarge a small image of data range 1 to `SHOWN` px: its first three channels, or its first."""
    pixels = to_uint8(values[..., : 3 if values.shape[2] >= 3 else 1].transpose(2, 0, 1))
    return enlarged(np.broadcast_to(pixels, (*pixels.shape[:2], 3)), SHOWN)
