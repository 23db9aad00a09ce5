"""What of an image is shown: crop, flip, turn, noise, and how often."""

from typing import Annotated, Literal

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
        description="training only: so many of an image's crops follow each other, for which it is decoded"
        " once; for large images without a cache, with `repeat_times` a multiple of it",
    ),
]
Cache = Annotated[
    Literal["ram", "disk"] | None,
    Field(
        description="training only: where all images are kept decoded: `ram`, as long as the run lives, or"
        " `disk`, for later runs, too; None = nowhere"
    ),
]
CacheFolder = Annotated[
    str | None,
    Field(
        description="where `cache: disk` keeps them, outside `data_dir`; None = nl-n2v in the user's folder"
        " of caches (XDG_CACHE_HOME, or ~/.cache)"
    ),
]


class View:
    """How images of any source are turned into samples; these are keys of every `dataset_args`.

    Training sees random crops, flips and turns; validation and test see each image once, its centre if
    there is a crop size, and the same simulated noise at every visit.

    Parameters
    ----------
    crop_size, augmentations, add_noise, n_data, repeat_times, crops_at_a_time, unreadable, \
    cache, cache_folder
        See their descriptions.

    Raises
    ------
    ValueError
        When an image could change its shape by a turn, or an augmentation is unknown.
    """

    def __init__(
        self,
        crop_size: Annotated[
            Edge | tuple[Edge, Edge] | None,
            Field(description="edge of the crop, or its [height, width], in px; None = whole images"),
        ] = None,
        augmentations: Annotated[
            list[Augmentation] | Augmentation | None,
            Field(
                description="training only: `flip` (none, horizontal, vertical or both) and `rotate` (by 0,"
                " 90, 180 or 270 degrees), each drawn at random"
            ),
        ] = None,
        add_noise: Annotated[
            NoiseOptions | None,
            Field(
                description="simulated noise; the image without it (the clean one, where there is a pair)"
                " becomes the ground truth. None = the images are noisy already"
            ),
        ] = None,
        n_data: Annotated[
            int | None, Field(ge=1, description="use the first so many images; None = all of them")
        ] = None,
        repeat_times: Annotated[
            int | None,
            Field(
                ge=1,
                description="training only: crops of each image in an epoch; None = as many as make 2,880",
            ),
        ] = 1,
        crops_at_a_time: CropsAtATime = 1,
        unreadable: Annotated[
            Literal["stop", "skip"],
            Field(
                description="images that are damaged or missing: before the first step, `stop` lists them,"
                " `skip` lists them and goes on without them; later, `stop` saves and stops, `skip` names"
                " them and trains on the next image in their place"
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
        """Where a training sample is cut out.

        Parameters
        ----------
        shape : (int, int)
            Height and width of its image, at least the crop's.
        seed, epoch, index : int
            The draw is a function of these: the run's seed, the epoch, the sample.

        Returns
        -------
        Box
            All of the image if there is no crop size.
        """
        if not self.crop:
            return Box(0, 0, *shape)
        generator = make_generator(seed, "crop", epoch, index)
        free = [whole - part + 1 for whole, part in zip(shape, self.crop, strict=True)]
        return Box(_draw(free[0], generator), _draw(free[1], generator), *self.crop)

    def central_box(self, shape: tuple[int, int]) -> Box:
        """What of an image is scored: its centre, no larger than the crop size if there is one."""
        height, width = (min(whole, part) for whole, part in zip(shape, self.crop or shape, strict=True))
        return Box((shape[0] - height) // 2, (shape[1] - width) // 2, height, width)

    def augment(self, image: Image, seed: int, epoch: int, index: int) -> Image:
        """A training sample flipped and turned at random, noisy and clean alike; see `random_box`.

        Returns
        -------
        Image
            Views of the arrays, not copies.
        """
        generator = make_generator(seed, "augment", epoch, index)
        if "flip" in self.augmentations:
            rows, columns = (1 - 2 * _draw(2, generator) for _ in range(2))
            image = image.map(lambda values: values[::rows, ::columns])
        if "rotate" in self.augmentations:
            image = image.turn(_draw(4, generator))
        return image


def _as_tuple(augmentations: list[Augmentation] | Augmentation | None) -> tuple[str, ...]:
    names = (augmentations,) if isinstance(augmentations, str) else tuple(augmentations or ())
    for name in names:
        if name not in ("flip", "rotate"):
            raise ValueError(f"augmentations: expected `flip` or `rotate`, got {name!r}")
    return names


def _draw(below: int, generator: torch.Generator) -> int:
    return int(torch.randint(below, (), generator=generator))
