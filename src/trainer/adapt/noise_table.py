"""The noise that was measured in images, as a table.

Shape letters: C channels, L brightnesses, K columns.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from src.data_handlers.datasets.measured_noise import MeasuredNoise
from src.trainer.adapt.measure import NoisePlaces
from src.trainer.finish.strips import Pair
from src.util.images.light import slope_of_light

_APART = 8 / 255
"""Brightnesses that lie closer are one column."""


@dataclass(frozen=True)
class Measurement:
    """Noise, and what it was measured in; the lists have an element for each image.

    Attributes
    ----------
    noise : MeasuredNoise
        See there.
    names : list of str
        Of the images.
    pairs : list of Pair
        The images before and after the network.
    places : list of NoisePlaces
        Their flat places, in all of them together at least as many as are needed.
    """

    noise: MeasuredNoise
    names: list[str]
    pairs: list[Pair]
    places: list[NoisePlaces]

    @property
    def by_strength(self) -> list[int]:
        """Numbers of the images from the weakest noise to the strongest; without those that tell of none."""
        known = [number for number, places in enumerate(self.places) if len(places) > 1]
        if not known:  # all together tell enough
            known = [number for number, places in enumerate(self.places) if len(places)]
        return sorted(known, key=lambda number: float(self.noise.strengths[number]))

    @property
    def middle(self) -> float:
        """Strength of the noise in the image that has as many weaker as stronger ones."""
        return float(np.median(self.noise.strengths[self.by_strength]))

    @property
    def channels(self) -> list[str]:
        """What the channels are called."""
        count = len(self.noise.levels)
        return {1: ["grey"], 3: ["R", "G", "B"]}.get(count, [str(number + 1) for number in range(count)])

    def deviation(self, values: np.ndarray, channel: int) -> np.ndarray:
        """Standard deviation of the noise in the image, grey levels of 255, at clean values of 0 to 1.

        It is that of an image of the `middle` strength.
        """
        light = np.interp(values, self.noise.levels[channel], self.noise.deviations[channel])
        return np.asarray(255 * self.middle * light / slope_of_light(values, self.noise.gamma))


def table(measured: Measurement) -> Iterator[str]:
    """The lines of the table: brightness in columns, channels in rows, then how the images differ."""
    noise, order = measured.noise, measured.by_strength
    images = f"the middle one of {len(order)} images" if len(order) > 1 else "the image"
    yield (
        f"Standard deviation of the noise in {images}, of 255 like the brightness; symmetric in light of"
        f" gamma {noise.gamma:.1f}"
    )
    columns = _columns(noise.levels)
    yield f"{'brightness':15}" + "".join(f"{255 * np.mean(column):6.0f}" for column in columns)
    for channel, name in enumerate(measured.channels):
        cells = [_cell(measured, column, channel) for column in columns]
        yield f"{name:15}" + "".join(f"{cell:>6}" for cell in cells)
    if len(order) > 1:
        (weakest, weak), (strongest, strong) = (
            (measured.names[number], noise.strengths[number] / measured.middle)
            for number in (order[0], order[-1])
        )
        yield (
            f"The weakest image has {weak:.2f} times that ({weakest}),"
            f" the strongest {strong:.2f} ({strongest})."
        )


def _columns(levels: np.ndarray) -> list[np.ndarray]:
    """Brightnesses (C, L) of all channels in at most L groups, each of like ones."""
    order = np.sort(levels, axis=None)
    count = min(levels.shape[1], 1 + int((order[-1] - order[0]) / _APART))
    return [column for column in np.array_split(order, count) if len(column)]


def _cell(measured: Measurement, column: np.ndarray, channel: int) -> str:
    """A dash where the channel was not measured at such a brightness."""
    first, last = measured.noise.levels[channel, [0, -1]]
    if last < column[0] or first > column[-1]:
        return "-"
    return f"{float(measured.deviation(np.mean(column).clip(first, last), channel)):.1f}"
