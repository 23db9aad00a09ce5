"""Checks of all images before the first step, and warnings about the conversions that they need."""

import warnings
from collections import defaultdict

from src.data_handlers.samples.levels import check_values
from src.data_handlers.samples.samples import Samples
from src.util.errors import DataError
from src.util.images.folder import raise_together
from src.util.images.io import ImageInfo, ImageWarning, channels_message, suits


def check_images(samples: Samples, batch_size: int = 1) -> int:
    """Check all images before the first step, set the data range, and warn about necessary conversions.

    Parameters
    ----------
    samples : Samples
        Its `data_range` is set. With `unreadable: skip`, unreadable images are left out.
    batch_size : int
        Number of samples in a batch. If it is above 1, all must have the same size.

    Returns
    -------
    int
        Largest number of channels of an image.

    Raises
    ------
    DataError
        When images are damaged, of the wrong kind, or smaller than the crop, one line for each.
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
    samples.data_range, hints, unusable = check_values(
        samples.source, infos, samples.data_range_option, samples.nan
    )
    if not _leave_out(samples, unusable):
        raise_together(list(unusable.values()))
    _warn_of_conversions(samples, infos)
    for hint in hints:
        warnings.warn(hint, ImageWarning, stacklevel=2)
    return max(info.channels for info in infos.values())


def _inspect(samples: Samples) -> tuple[dict[int, ImageInfo], list[str]]:
    """Read the headers. Return them, and the problems of images that may not be left out."""
    infos: dict[int, ImageInfo] = {}
    problems: dict[int, str] = {}
    for number in samples.used.numbers:
        try:
            infos[number] = samples.source.inspect(number)
        except DataError as error:
            problems[number] = str(error)
    return infos, [] if _leave_out(samples, problems) else list(problems.values())


def _leave_out(samples: Samples, problems: dict[int, str]) -> bool:
    """Leave out the images with problems, if `unreadable: skip` is set and other images remain."""
    rest = [number for number in samples.used.numbers if number not in problems]
    if not rest or samples.view.unreadable != "skip":
        return False
    if problems:
        left_out = "\n".join(problems.values())
        count = f"{len(problems)} of {samples.images} images cannot be read and are left out"
        warnings.warn(f"{samples.source.where}: {count}:\n{left_out}", ImageWarning, stacklevel=4)
        samples.used.numbers = rest
    return True


def _wrong_channels(samples: Samples, infos: dict[int, ImageInfo]) -> list[str]:
    wrong = [n for n, info in infos.items() if not suits(info.channels, samples.channels)]
    if not wrong:
        return []
    first = infos[wrong[0]]
    message = channels_message(first.channels, samples.channels, first.alpha)
    return [f"{samples.place(wrong[0])}: {message}; this affects {len(wrong)} of {samples.images} images"]


def _mixed_sizes(samples: Samples, infos: dict[int, ImageInfo]) -> list[str]:
    sizes = {info.size: number for number, info in infos.items()}
    if samples.training and "rotate" in samples.view.augmentations:
        sizes.update({f"{info.width}x{info.height}": number for number, info in infos.items()})
    if len(sizes) < 2:
        return []
    (one, first), (other, second) = list(sizes.items())[:2]
    return [
        "crop_size: expected one, because images of different sizes cannot be stacked into a batch"
        f" ({samples.place(first)}: {one}, {samples.place(second)}: {other})"
    ]


def _warn_of_conversions(samples: Samples, infos: dict[int, ImageInfo]) -> None:
    conversions = defaultdict(list)
    for number, info in infos.items():
        if info.change:
            conversions[info.change].append(number)
        if info.channels < samples.channels:
            conversions[f"grey is repeated into {samples.channels} equal channels"].append(number)
    for conversion, numbers in conversions.items():
        count = f"{len(numbers)} of {samples.images} images, first {samples.place(numbers[0])}"
        warnings.warn(f"{conversion} in {count}", ImageWarning, stacklevel=3)
    if samples.decoding_dominates(infos):
        warnings.warn(
            f"{samples.source.where}: large images are decoded again for each crop; `cache: disk` decodes"
            " them once, `repeat_times: 16` with `crops_at_a_time: 16` once for 16 crops",
            ImageWarning, stacklevel=3,
        )  # fmt: skip
