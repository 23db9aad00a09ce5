"""The options of every dataset: crops, flips, rotations, noise, number of images, cache."""

from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field

from src.data_handlers.datasets.base import Box, Image
from src.data_handlers.datasets.noise import NoiseOptions
from src.util.seed import make_generator

Augmentation = Literal["flip", "rotate"]
Edge = Annotated[int, Field(ge=1)]
CropsAtATime = Annotated[
    int,
    Field(
        ge=1,
        description="training only: number of consecutive crops of an image, for which it is decoded once;"
        " for large images without a cache; `repeat_times` should be a multiple of it",
    ),
]
Cache = Annotated[
    Literal["ram", "disk"] | None,
    Field(
        description="training only: keep all images decoded, in `ram` for this run or on `disk` also for"
        " later runs; None = no cache"
    ),
]
CacheFolder = Annotated[
    str | None,
    Field(
        description="folder for `cache: disk`, outside `data_dir`; None = nl-n2v in the user's cache folder"
        " (XDG_CACHE_HOME or ~/.cache)"
    ),
]


class View:
    """How images are turned into samples. These options are keys of every `dataset_args`.

    Training uses random crops, flips and rotations. Validation and test use each image once (its centre if
    there is a crop size), with the same simulated noise in every epoch.

    Raises
    ------
    ValueError
        When an augmentation is unknown, or `rotate` is used with a crop that is not square.
    """

    def __init__(
        self,
        crop_size: Annotated[
            Edge | tuple[Edge, Edge] | None,
            Field(description="edge or [height, width] of the crop in px; None = whole images"),
        ] = None,
        augmentations: Annotated[
            list[Augmentation] | Augmentation | None,
            Field(
                description="training only: random `flip` (none, horizontal, vertical or both) and `rotate`"
                " (by 0, 90, 180 or 270 degrees)"
            ),
        ] = None,
        add_noise: Annotated[
            NoiseOptions | None,
            Field(
                description="simulated noise, added to the clean image if there is one, otherwise to the"
                " image; that becomes the ground truth. None = the images are noisy already"
            ),
        ] = None,
        n_data: Annotated[
            int | None, Field(ge=1, description="use only the first images; None = all")
        ] = None,
        repeat_times: Annotated[
            int | None,
            Field(
                ge=1,
                description="training only: crops of each image in an epoch; None = enough for 2,880 crops",
            ),
        ] = 1,
        crops_at_a_time: CropsAtATime = 1,
        unreadable: Annotated[
            Literal["stop", "skip"],
            Field(
                description="damaged or missing images: before the first step, `stop` lists them and ends,"
                " `skip` lists them and continues without them; later, `stop` saves and ends, `skip` logs"
                " them and uses the next image instead"
            ),
        ] = "stop",
        cache: Cache = None,
        cache_folder: CacheFolder = None,
    ) -> None:
        self.crop = (crop_size, crop_size) if isinstance(crop_size, int) else crop_size and tuple(crop_size)
        self.augmentations = _as_tuple(augmentations)
        self.noise = add_noise
        self.n_data = n_data
        self.repeat_times = repeat_times
        self.crops_at_a_time = crops_at_a_time
        self.unreadable = unreadable
        self.cache = cache
        self.cache_folder = cache_folder
        if "rotate" in self.augmentations and self.crop and self.crop[0] != self.crop[1]:
            raise ValueError(
                f"augmentations: `rotate` needs a square crop_size, got {list(self.crop)}:"
                " a batch would mix two shapes"
            )

    def random_box(self, shape: tuple[int, int], seed: int, epoch: int, index: int) -> Box:
        """Draw the crop of a training sample.

        Parameters
        ----------
        shape : (int, int)
            Height and width of the image, at least those of the crop.
        seed, epoch, index : int
            Seed of the run, epoch, and index of the sample, on which the draw depends.

        Returns
        -------
        Box
            The whole image if there is no crop size.
        """
        if not self.crop:
            return Box(0, 0, *shape)
        generator = make_generator(seed, "crop", epoch, index)
        free = [whole - part + 1 for whole, part in zip(shape, self.crop, strict=True)]
        return Box(_draw(free[0], generator), _draw(free[1], generator), *self.crop)

    def central_box(self, shape: tuple[int, int]) -> Box:
        """Return the centre of an image that is scored, or all of it if there is no crop size."""
        height, width = (min(whole, part) for whole, part in zip(shape, self.crop or shape, strict=True))
        return Box((shape[0] - height) // 2, (shape[1] - width) // 2, height, width)

    def augment(self, image: Image, seed: int, epoch: int, index: int) -> Image:
        """Flip and rotate a training sample at random, as views of its arrays; see `random_box`."""
        generator = make_generator(seed, "augment", epoch, index)
        if "flip" in self.augmentations:
            rows, columns = (1 - 2 * _draw(2, generator) for _ in range(2))
            image = image.map(lambda values: values[::rows, ::columns])
        if "rotate" in self.augmentations:
            quarters = _draw(4, generator)
            image = image.map(lambda values: np.rot90(values, quarters))
        return image


def _as_tuple(augmentations: list[Augmentation] | Augmentation | None) -> tuple[str, ...]:
    names = (augmentations,) if isinstance(augmentations, str) else tuple(augmentations or ())
    for name in names:
        if name not in ("flip", "rotate"):
            raise ValueError(f"augmentations: expected `flip` or `rotate`, got {name!r}")
    return names


def _draw(below: int, generator: torch.Generator) -> int:
    return int(torch.randint(below, (), generator=generator))
