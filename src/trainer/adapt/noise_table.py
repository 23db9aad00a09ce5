"""Table of the noise measured in images.

Shape letters: C channels, L brightness levels.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from src.data_handlers.datasets.measured_noise import MeasuredNoise
from src.trainer.adapt.measure import NoisePlaces
from src.trainer.finish.strips import Pair
from src.util.images.light import slope_of_light

_MIN_DISTANCE = 8 / 255
"""Smallest mean distance of the brightnesses of two columns."""


@dataclass(frozen=True)
class Measurement:
    """Noise, and the images in which it was measured. The lists have one element for each image.

    Attributes
    ----------
    noise : MeasuredNoise
        The measured noise.
    strengths : ndarray
        Factor of its standard deviation in each image.
    names : list of str
        Names of the images.
    pairs : list of Pair
        The images before and after the network.
    places : list of NoisePlaces
        Their flat places.
    """

    noise: MeasuredNoise
    strengths: np.ndarray
    names: list[str]
    pairs: list[Pair]
    places: list[NoisePlaces]

    @property
    def by_strength(self) -> list[int]:
        """Numbers of the images, from the weakest noise to the strongest. Skips images with few places."""
        known = [number for number, places in enumerate(self.places) if len(places) > 1]
        if not known:
            known = [number for number, places in enumerate(self.places) if len(places)]
        return sorted(known, key=lambda number: float(self.strengths[number]))

    @property
    def median_strength(self) -> float:
        """Median of the images' noise strengths."""
        return float(np.median(self.strengths[self.by_strength]))

    @property
    def channels(self) -> list[str]:
        """Names of the channels."""
        count = len(self.noise.levels)
        return {1: ["grey"], 3: ["R", "G", "B"]}.get(count, [str(number + 1) for number in range(count)])

    def deviation(self, values: np.ndarray, channel: int) -> np.ndarray:
        """Return the noise's standard deviation at clean values of data range 1, in grey levels of 255.

        It is that of an image of median strength.
        """
        light = np.interp(values, self.noise.levels[channel], self.noise.deviations[channel])
        return np.asarray(255 * self.median_strength * light / slope_of_light(values, self.noise.gamma))


def table(measured: Measurement) -> Iterator[str]:
    """Yield the table's lines. Brightnesses are columns, channels are rows."""
    noise, order = measured.noise, measured.by_strength
    images = f"the median of {len(order)} images" if len(order) > 1 else "the image"
    yield (
        f"Standard deviation of the noise in {images} by brightness, both in grey levels of 255; symmetric in"
        f" light of gamma {noise.gamma:.1f}"
    )
    columns = _columns(noise.levels)
    yield f"{'brightness':15}" + "".join(f"{255 * np.mean(column):6.0f}" for column in columns)
    for channel, name in enumerate(measured.channels):
        cells = [_cell(measured, column, channel) for column in columns]
        yield f"{name:15}" + "".join(f"{cell:>6}" for cell in cells)
    if len(order) > 1:
        (weakest, weak), (strongest, strong) = (
            (measured.names[number], measured.strengths[number] / measured.median_strength)
            for number in (order[0], order[-1])
        )
        yield (
            f"The weakest image has {weak:.2f} times that ({weakest}),"
            f" the strongest {strong:.2f} ({strongest})."
        )


def _columns(levels: np.ndarray) -> list[np.ndarray]:
    """Group the sorted brightnesses (C, L) of all channels into at most L columns."""
    order = np.sort(levels, axis=None)
    count = min(levels.shape[1], 1 + int((order[-1] - order[0]) / _MIN_DISTANCE))
    return [column for column in np.array_split(order, count) if len(column)]


def _cell(measured: Measurement, column: np.ndarray, channel: int) -> str:
    """Format a deviation, or a dash if the channel was not measured at this brightness."""
    first, last = measured.noise.levels[channel, [0, -1]]
    if last < column[0] or first > column[-1]:
        return "-"
    return f"{float(measured.deviation(np.mean(column).clip(first, last), channel)):.1f}"
