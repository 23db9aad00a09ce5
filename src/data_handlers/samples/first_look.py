"""The look at all images before the first step: what is wrong with them, and what will be adapted."""

import warnings
from collections import defaultdict
from typing import Protocol

from src.data_handlers.datasets.base import Source
from src.data_handlers.samples.levels import look_at_values
from src.data_handlers.samples.used import UsedImages
from src.data_handlers.samples.view import View
from src.util.errors import DataError
from src.util.images.folder import raise_together
from src.util.images.io import ImageInfo, ImageWarning, channels_message, suits
from src.util.images.value_range import DataRange, NanRule


class Seen(Protocol):
    """What is asked of `src.data_handlers.samples.samples.Samples`, which says what it means."""

    view: View
    used: UsedImages
    channels: int
    training: bool
    rule: DataRange
    nan: NanRule
    data_range: float

    @property
    def source(self) -> Source:
        """The images."""
        ...

    @property
    def images(self) -> int:
        """How many images are used."""
        ...

    def too_small(self, number: int, shape: tuple[int, int]) -> str | None:
        """Why an image gives no training crop, or None."""
        ...

    def decodes_much(self, infos: dict[int, ImageInfo]) -> bool:
        """Whether decoding is what loading a training crop costs."""
        ...

    def place(self, number: int) -> str:
        """Where an image of the source is."""
        ...


def look_at_all(samples: Seen, batch_size: int) -> int:
    """Look at every image's header, and tell what will be adapted; see `Samples.check`.

    Parameters
    ----------
    samples : Seen
        Are told which of their images are left out, and what number is white.
    batch_size : int
        Images that are stacked.

    Returns
    -------
    int
        Channels of the images themselves.

    Raises
    ------
    DataError
        One line for every problem.
    """
    infos, problems = _inspect(samples)
    problems += [
        line
        for number, info in infos.items()
        if (line := samples.too_small(number, (info.height, info.width)))
    ]
    problems += _wrong_channels(samples, infos)
    if batch_size > 1 and samples.view.crop is None:
        problems += _mixed_sizes(samples, infos)
    raise_together(problems)
    samples.data_range, hints, unusable = look_at_values(samples.source, infos, samples.rule, samples.nan)
    if not _leave_out(samples, unusable):
        raise_together(list(unusable.values()))
    _tell(samples, infos)
    for hint in hints:
        warnings.warn(hint, ImageWarning, stacklevel=2)
    return max(info.channels for info in infos.values())


def _inspect(samples: Seen) -> tuple[dict[int, ImageInfo], list[str]]:
    """What the headers say, and what is wrong; images that are to be left out are."""
    infos: dict[int, ImageInfo] = {}
    problems: dict[int, str] = {}
    for number in samples.used.numbers:
        try:
            infos[number] = samples.source.inspect(number)
        except DataError as error:
            problems[number] = str(error)
    return infos, [] if _leave_out(samples, problems) else list(problems.values())


def _leave_out(samples: Seen, problems: dict[int, str]) -> bool:
    """Leave out the images that have problems, where that is asked for and others remain."""
    rest = [number for number in samples.used.numbers if number not in problems]
    if not rest or samples.view.unreadable != "skip":
        return False
    if problems:
        left_out = "\n".join(problems.values())
        count = f"{len(problems)} of {samples.images} images cannot be read and are left out"
        warnings.warn(f"{samples.source.where}: {count}:\n{left_out}", ImageWarning, stacklevel=4)
        samples.used.numbers = rest
    return True


def _wrong_channels(samples: Seen, infos: dict[int, ImageInfo]) -> list[str]:
    wrong = [n for n, info in infos.items() if not suits(info.channels, samples.channels)]
    if not wrong:
        return []
    first = infos[wrong[0]]
    message = channels_message(first.channels, samples.channels, first.alpha)
    count = f"{len(wrong)} of {samples.images}"
    return [f"{samples.place(wrong[0])}: {message}; {count} images are like it"]


def _mixed_sizes(samples: Seen, infos: dict[int, ImageInfo]) -> list[str]:
    sizes = {info.size: number for number, info in infos.items()}
    if samples.training and "rotate" in samples.view.augmentations:
        sizes.update({f"{info.width}x{info.height}": number for number, info in infos.items()})
    if len(sizes) < 2:
        return []
    (one, first), (other, second) = list(sizes.items())[:2]
    return [
        "crop_size: expected one for a batch of images that come in several sizes"
        f" ({samples.place(first)}: {one}, {samples.place(second)}: {other})"
    ]


def _tell(samples: Seen, infos: dict[int, ImageInfo]) -> None:
    told = defaultdict(list)
    for number, info in infos.items():
        if info.change:
            told[info.change].append(number)
        if info.channels < samples.channels:
            told[f"grey is repeated into {samples.channels} equal channels"].append(number)
    for change, numbers in told.items():
        count = f"{len(numbers)} of {samples.images} images, first {samples.place(numbers[0])}"
        warnings.warn(f"{change} in {count}", ImageWarning, stacklevel=3)
    if samples.decodes_much(infos):
        warnings.warn(
            f"{samples.source.where}: large images are decoded anew for each crop; `cache: disk` decodes"
            " them once, `repeat_times: 16` with `crops_at_a_time: 16` once for 16 crops",
            ImageWarning, stacklevel=3,
        )  # fmt: skip
