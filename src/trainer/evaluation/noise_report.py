"""Report how far the noise of training images is correlated, and whether the masker hides as much."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from src.data_handlers.samples.samples import Samples
from src.masker.base import Masker
from src.trainer.evaluation.noise_correlation import MAX_LAG, SHARED, NoiseCorrelation, noise_correlation
from src.util.images.io import middle
from src.util.logger import progress_bar

MOST_IMAGES = 32
"""Most images that are measured, spread over the dataset."""
MOST_PIXELS = 8_000_000
"""Most pixels in all, from the middle of each image."""
FEW_PLACES = 30
"""With fewer places, the result is mostly chance or the images' own structure."""


def noise_report(samples: Samples, masker: Masker) -> str:
    """Measure the noise of the training images.

    Parameters
    ----------
    samples : Samples
        The whole noisy images.
    masker : Masker
        The training's masker.

    Returns
    -------
    str
        A few lines: the noise's standard deviation, its autocorrelation along rows and columns, how far it
        reaches, what the masker hides, and a setting to use if hiding single pixels is not enough.

    Raises
    ------
    DataError
        If an image cannot be read.
    """
    found = noise_correlation(_images(samples))
    if found is None:
        return (
            f"{samples.source.where}: no noise was found: all places are constant, clipped or below 40 px\n"
        )
    return "\n".join([*_measured(samples, found), *_advice(found.reach, masker)]) + "\n"


def _images(samples: Samples) -> Iterator[tuple[np.ndarray, float]]:
    """Yield the middle of some images, and the step between two of their levels."""
    count = min(MOST_IMAGES, len(samples))
    edge = math.isqrt(MOST_PIXELS // count)
    with progress_bar(count, "image") as bar:
        for number in range(count):
            sample: dict[str, Any] = samples[0, number * len(samples) // count]
            if "noisy" in sample:
                level = 0.0 if np.dtype(sample["dtype"]).kind == "f" else 1 / sample["data_range"]
                yield middle(sample["noisy"], edge).numpy(), level
            bar.update()


def _measured(samples: Samples, found: NoiseCorrelation) -> Iterator[str]:
    count = min(MOST_IMAGES, len(samples))
    yield (
        f"{samples.source.where}: noise in {found.places} flat places of {count} images, standard deviation"
        f" {255 * found.deviation:.1f} of 255; it is shared by pixels"
    )
    yield "px apart       " + "".join(f"{lag:6d}" for lag in range(1, MAX_LAG + 1))
    for name, values in (("along rows", found.along_rows), ("along columns", found.along_columns)):
        yield f"{name:15}" + "".join(f"{value:6.2f}" for value in values[1:])
    if found.places < FEW_PLACES:
        yield f"Fewer than {FEW_PLACES} places tell little: measure more images."


def _advice(reach: tuple[int, int], masker: Masker) -> Iterator[str]:
    down, right = reach
    yield (
        f"It reaches {right} px along rows and {down} px along columns (correlation of {SHARED:g} or more);"
        f" {masker.hidden[1]} px and {masker.hidden[0]} px on each side of a blind spot are hidden."
    )
    farthest = max(reach)
    if farthest == 0 and max(masker.hidden):
        yield "Noise of neighbouring pixels is independent: hiding single pixels is enough (-c n2v_folder)."
    elif farthest > 0 and max(masker.hidden) == 0:
        yield (
            "A pixel's neighbours tell its noise; NL-N2V, better on camera noise, hides them with it:"
            " --set masker.masker_type=Masker"
        )
    if farthest == MAX_LAG:
        yield f"What reaches {MAX_LAG} px may be the images' own structure, where they are nowhere flat."
