"""Parts of the images to adapt to, and their denoised versions.

Shape letters: H rows, W columns, C channels.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from src.data_handlers.samples.samples import Samples
from src.trainer.finish import Finish, found_gamma
from src.trainer.finish.strips import Pair
from src.trainer.inference.pixels import denoised_pair
from src.trainer.network.whole_image import WholeImage
from src.util.images.formats.holes import without_nan
from src.util.images.io import middle

GAMMA_IMAGES = 16
"""Largest number of images that `noise_gamma` looks at."""
MIN_EDGE = 256
"""Smallest edge of a part where there are many images, px."""


class Part(NamedTuple):
    """The middle of an image: values (H, W, C), float32 of data range 1; `step` as in `Pair`."""

    name: str
    values: np.ndarray
    step: float


class Selection(NamedTuple):
    """Numbers of the selected images, and the edge of the part of each, px."""

    numbers: list[int]
    edge: int

    @property
    def gamma_stride(self) -> int:
        """Stride through the images that selects at most `GAMMA_IMAGES` of them."""
        return -(-len(self.numbers) // GAMMA_IMAGES)


def select_parts(samples: Samples, pixels: int) -> Selection:
    """Select images evenly from the dataset, so that their parts have `pixels` pixels together at most."""
    count = min(len(samples), max(1, pixels // MIN_EDGE**2))
    numbers = [number * len(samples) // count for number in range(count)]
    return Selection(numbers, math.isqrt(pixels // count))


def read_parts(samples: Samples, numbers: Iterable[int], edge: int) -> Iterator[Part]:
    """Yield the middles of images, at most `edge` px high and wide. Skip images that cannot be read."""
    for number in numbers:
        sample = samples[0, number]
        if "noisy" not in sample:  # unreadable, and the dataset's `unreadable` is `skip`
            continue
        values, _ = without_nan(np.ascontiguousarray(middle(sample["noisy"], edge).permute(1, 2, 0).numpy()))
        if values.shape[2] == 3 and (values == values[..., :1]).all():
            values = values[..., :1]
        step = 0.0 if np.dtype(sample["dtype"]).kind == "f" else 1 / sample["data_range"]
        yield Part(sample["name"], np.ascontiguousarray(values), step)


def denoise_part(network: WholeImage, part: Part) -> Pair:
    """Denoise a part. Channels go through the network one by one unless there are 1 or 3."""
    each_channel = part.values.shape[2] not in (1, 3)
    pair = denoised_pair(network, part.values, 1.0, part.name, each_channel)
    return replace(pair, step=part.step)


def noise_gamma(finish: Finish, pairs: Iterator[Pair]) -> float:
    """Return the exponent of the linear light in which noise is symmetric, from `finish` or the pairs."""
    return found_gamma(pairs) if finish.gamma == "auto" else finish.gamma
