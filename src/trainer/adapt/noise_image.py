"""The noise that was measured in images, to look at.

Shape letters: C channels, E edge of a place in px, F frequencies.
"""

import math
from typing import NamedTuple

import numpy as np

from src.data_handlers.datasets.measured_noise import MeasuredNoise
from src.trainer.adapt.measure import cut, less_plane
from src.trainer.adapt.noise_table import Measurement
from src.trainer.report.chart import Curve, chart
from src.trainer.report.panel import GAP, enlarged, panel
from src.util.images.conversion import to_uint8
from src.util.seed import numpy_generator

EDGES = 64, 32
"""Edge of the place that is shown, px: the first of which there is a flat one."""
SHOWN = 256
"""To which it is enlarged, px."""
FREQUENCIES = 64

_FLAT = 0.2
"""Variance of the denoised image over the noisy one's, up to which a place is flat."""
_CLIPPED = 0.1
"""Share of clipped values that counts like a variance as large as the noise's."""
_DEVIATIONS = 4
"""Of the noise, from mid-grey to black or white."""
_DECADES = 2
"""Of power, from white noise to black or white."""
_NAME = 36
"""Characters of an image's name that find room."""
_COLOURS = {"R": "#c62828", "G": "#2e7d32", "B": "#1565c0"}
_OTHERS = ("#000000", "#e65100", "#6a1b9a", "#00838f", "#827717")


class Example(NamedTuple):
    """Noise of one place, real and simulated.

    Attributes
    ----------
    name : str
        Of the image.
    brightness : float
        Mean of the place, grey levels of 255.
    real, simulated : ndarray, shape (E, E, C)
        data range 1; each less the plane that fits it best.
    """

    name: str
    brightness: float
    real: np.ndarray
    simulated: np.ndarray


class _Place(NamedTuple):
    """A place of an image: its number, and how far the place is from flat; both parts (E, E, C)."""

    number: int
    unfit: float
    noise: np.ndarray
    clean: np.ndarray


def example(measured: Measurement) -> Example:
    """A flat place of the noisiest image that has one, and noise as measured at the same brightness."""
    places = [
        _flattest(measured, number, edge) for number in reversed(measured.by_strength) for edge in EDGES
    ]
    place = next(
        (place for place in places if place.unfit <= _FLAT), min(places, key=lambda place: place.unfit)
    )
    edge, channels = place.clean.shape[0], place.clean.shape[2]
    # Drawn larger: noise is drawn so that it goes on at the far side.
    around = np.pad(place.clean.clip(0, 1), ((0, edge), (0, edge), (0, 0)), mode="edge")
    noise = measured.noise.of_channels(list(range(channels)))
    noisy = noise.added_to(around, float(noise.strengths[place.number]), numpy_generator(0))
    simulated = _square(less_plane(cut(noisy[:edge, :edge], edge))[0])
    return Example(measured.names[place.number], 255 * float(place.clean.mean()), place.noise, simulated)


def _flattest(measured: Measurement, number: int, edge: int) -> _Place:
    pair = measured.pairs[number]
    edge = min(edge, *pair.noisy.shape[:2])
    noisy, denoised = (cut(values, edge) for values in pair.strip(0, len(pair.noisy)))
    noise = less_plane(noisy)
    variance, structure = (values.var(axis=2).mean(axis=1) for values in (noise, less_plane(denoised)))
    unfit = structure / variance.clip(1e-12) + pair.clipped(noisy).mean(axis=(1, 2)) / _CLIPPED
    unfit = np.where(variance > pair.step**2 / 4, unfit, np.inf)
    best = int(np.argmin(unfit))
    return _Place(number, float(unfit[best]), _square(noise[best]), _square((noisy - noise)[best]))


def _square(place: np.ndarray) -> np.ndarray:
    """(E, E, C) of (C, E * E)."""
    edge = math.isqrt(place.shape[1])
    return np.ascontiguousarray(place.reshape(-1, edge, edge).transpose(1, 2, 0))


def spectrum(noise: MeasuredNoise) -> np.ndarray:
    """Power of the channels' mean, that of white noise is 1.

    Returns
    -------
    ndarray, shape (F, F)
        By frequency along columns and rows, -1/2 to 1/2 cycles a pixel; 0 in the middle.
    """
    shared = noise.tapered.mean(axis=(2, 3))
    reach = len(shared) // 2
    power = np.fft.fft2(shared / shared[reach, reach], (FREQUENCIES, FREQUENCIES))
    return np.asarray(np.fft.fftshift(np.abs(power)))


def noise_image(measured: Measurement) -> np.ndarray:
    """Draw the noise by brightness, what pixels share of it, and a real place beside a simulated one.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
    """
    shown = example(measured)
    gain = 0.5 / (_DEVIATIONS * max(float(shown.real.std()), 1e-6))
    images = {"real": shown.real, "simulated": shown.simulated}
    tiles = [
        (f"{name}, deviation {255 * noise.std():.1f}", _tile(0.5 + gain * _seen(noise)))
        for name, noise in images.items()
    ]
    power = np.log10(spectrum(measured.noise).clip(1e-9))
    tiles.append(("spectrum (mid-grey: white noise)", _tile(0.5 + power[..., None] / (2 * _DECADES))))
    place = f"Flat place of brightness {shown.brightness:.0f}, contrast x{gain:.1f}, of {shown.name[-_NAME:]}"
    return panel([[("Noise by brightness", _curves(measured))], [(place, panel([tiles]))]])


def _curves(measured: Measurement) -> np.ndarray:
    curves = []
    for channel, name in enumerate(measured.channels):
        levels = measured.noise.levels[channel]
        colour = _COLOURS.get(name, _OTHERS[channel % len(_OTHERS)])
        curves.append(Curve(name, colour, 255 * levels, measured.deviation(levels, channel)))
    size = 3 * SHOWN + 2 * GAP, 300
    return chart(curves, "brightness, of 255", "standard deviation, of 255", 255, size)


def _seen(noise: np.ndarray) -> np.ndarray:
    """The first three channels, or the first."""
    return noise[..., : 3 if noise.shape[2] >= 3 else 1]


def _tile(values: np.ndarray) -> np.ndarray:
    """A small image (H, W, 1 or 3), 0 to 1, enlarged."""
    pixels = to_uint8(values.transpose(2, 0, 1))
    return enlarged(np.broadcast_to(pixels, (*pixels.shape[:2], 3)), SHOWN)
