"""Parts of the images that a network is adapted to, and what a network makes of them.

Shape letters: H rows, W columns, C channels.
"""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from src.data_handlers.samples.samples import Samples
from src.trainer.finish import Finish, found_gamma
from src.trainer.finish.strips import Pair
from src.trainer.inference.pixels import denoised_pair
from src.trainer.network.whole_image import WholeImage
from src.util.images.formats.holes import without_nan
from src.util.images.io import middle

LOOKED_AT = 16
"""Images that tell in which light the noise is fair."""
SMALLEST = 256
"""Edge of the parts that are taken of many images, px, at least."""


class Part(NamedTuple):
    """The middle of an image: values (H, W, C), float32 of data range 1; `step` as in `Pair`."""

    name: str
    values: np.ndarray
    step: float


class Chosen(NamedTuple):
    """Which images, by their numbers, and the edge of the part of each, px."""

    numbers: list[int]
    edge: int

    @property
    def every(self) -> int:
        """Every so many of them there are at most `LOOKED_AT`."""
        return -(-len(self.numbers) // LOOKED_AT)


def chosen_of(samples: Samples, pixels: int) -> Chosen:
    """Choose images, from all of the dataset, of whose middles so many pixels are taken together."""
    count = min(len(samples), max(1, pixels // SMALLEST**2))
    numbers = [number * len(samples) // count for number in range(count)]
    return Chosen(numbers, math.isqrt(pixels // count))


def parts_of(samples: Samples, numbers: Iterable[int], edge: int) -> Iterator[Part]:
    """The middles of images, at most `edge` px high and wide; none of an image that is lost."""
    for number in numbers:
        sample = samples[0, number]
        if "noisy" not in sample:  # lost, and `unreadable` says to go on
            continue
        values, _ = without_nan(np.ascontiguousarray(middle(sample["noisy"], edge).permute(1, 2, 0).numpy()))
        if values.shape[2] == 3 and (values == values[..., :1]).all():
            values = values[..., :1]
        step = 0.0 if np.dtype(sample["dtype"]).kind == "f" else 1 / sample["data_range"]
        yield Part(sample["name"], np.ascontiguousarray(values), step)


def pair_of(network: WholeImage, part: Part) -> Pair:
    """A part, and what the network makes of it."""
    apart = part.values.shape[2] not in (1, 3)
    pair = denoised_pair(network, part.values, 1.0, part.name, apart)
    return Pair(pair.noisy, pair.denoised, 1.0, part.step)


def fair_gamma(finish: Finish, pairs: Iterator[Pair]) -> float:
    """The power of the light in which the noise is fair: as `finish` says, or found in the pairs."""
    return found_gamma(pairs) if finish.gamma == "auto" else finish.gamma
