"""From the numbers of a file to [0, 1]: images of other types than 8 bits."""

import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from src.data_handlers.datasets.base import Box, CropSource, Image, Source, place_of
from src.util.errors import DataError
from src.util.images.folder import raise_together
from src.util.images.io import ImageInfo, ImageWarning
from src.util.images.value_range import (
    ALL_NAN,
    DataRange,
    Hint,
    NanRule,
    checked_data_range,
    dark_hint,
    data_range_of,
    with_one_proposal,
)

LOOKED_AT = 8
"""Images whose values are looked at before a training starts; headers tell the rest."""

PART = 1024
"""Edge of what is looked at, px, where a source reads parts: whole images may take half a GB each."""


def scaled(image: Image, rule: DataRange, nan: NanRule = "stop") -> Image:
    """An image as a network can take it.

    Parameters
    ----------
    image : Image
        With the values of its file.
    rule : "auto" or float
        The data range.
    nan : "stop" or "keep"
        Whether NaN is refused.

    Returns
    -------
    Image
        uint8 where 255 is white stays as it is; all else becomes float32 of data range 1.

    Raises
    ------
    DataError
        When its values make no sense with `rule`.
    """

    def scale(values: np.ndarray, data_range: float) -> np.ndarray:
        if (values.dtype == np.uint8 and data_range == 255) or (
            values.dtype == np.float32 and data_range == 1
        ):
            return values
        return values.astype(np.float32) / np.float32(data_range)

    data_range = noisy_data_range(image, rule, image.name, nan)
    noisy, clean = scale(image.noisy, data_range), image.clean
    if clean is not None:
        clean = scale(clean, checked_data_range(clean, rule, image.name, image.clean_data_range, nan))
    return replace(image, noisy=noisy, clean=clean, dtype=image.noisy.dtype.name, data_range=data_range)


def noisy_data_range(image: Image, rule: DataRange, name: str, nan: NanRule = "stop") -> float:
    """`checked_data_range` of a noisy image, which a clean one of the same type must share.

    Parameters
    ----------
    image : Image
        With the values of its file.
    rule : "auto" or float
        The data range.
    name : str
        The image's, for messages.
    nan : "stop" or "keep"
        Whether NaN is refused.

    Returns
    -------
    float

    Raises
    ------
    DataError
        When the headers of the two files disagree, too.
    """
    noisy, clean = image.noisy, image.clean
    data_range = checked_data_range(noisy, rule, name, image.data_range, nan)
    if clean is not None and clean.dtype == noisy.dtype:
        other = data_range_of(clean.dtype, rule, image.clean_data_range)
        if other != data_range:
            raise DataError(
                f"{name}: by its header white is {data_range:g}, by the clean image's {other:g}; say which by"
                f" data_range={min(data_range, other):g}"
            )
    return data_range


def look_at_values(
    source: Source, infos: Mapping[int, ImageInfo], rule: DataRange, nan: NanRule = "stop"
) -> tuple[float, list[str], dict[int, str]]:
    """What the values of some images say, before the first step; images of 8 bits say nothing.

    Parameters
    ----------
    source : Source
        The images.
    infos : mapping
        Their headers, by number.
    rule : "auto" or float
        The data range.
    nan : "stop" or "keep"
        Whether NaN is refused.

    Returns
    -------
    (float, list of str, dict of int to str)
        White of most images, what the user should know, and why some images cannot be used.

    Raises
    ------
    DataError
        When none of the images that were looked at can be used: a line for each.
    """
    data_ranges = Counter(data_range_of(info.dtype, rule, info.data_range) for info in infos.values())
    hints = []
    if len(data_ranges) > 1:
        found = ", ".join(f"{data_range:g} in {count}" for data_range, count in data_ranges.most_common())
        hints.append(f"{source.where}: images of several ranges: white is {found}")
    deep = [number for number, info in infos.items() if info.dtype != "uint8"]
    problems: dict[int, DataError] = {}
    dark: list[Hint | None] = []
    for number in deep[:: max(1, len(deep) // LOOKED_AT)][:LOOKED_AT]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ImageWarning)
                image = _middle(source, number, infos[number])
            name = place_of(source.where, image.name)
            data_range = noisy_data_range(image, rule, name, nan)
        except DataError as error:
            problems[number] = error
            continue
        known = image.noisy[~np.isnan(image.noisy)]
        if not known.size:
            hints.append(f"{name}: {ALL_NAN}")
            continue
        hint = dark_hint(known, data_range)
        dark.append(hint and hint._replace(found=f"{name}: {hint.found}"))
    lines = dict(zip(problems, map(str, with_one_proposal(list(problems.values()))), strict=True))
    if not dark:  # the next ones will be no better
        raise_together(list(lines.values()))
    if dark and all(dark):  # one dark image is a dark image
        # The number that is proposed must hold the brightest, too.
        hints.append(max(filter(None, dark), key=lambda hint: hint.number).line)
    return data_ranges.most_common(1)[0][0], hints, lines


def _middle(source: Source, number: int, info: ImageInfo) -> Image:
    if not isinstance(source, CropSource):
        return source.read(number)
    height, width = min(info.height, PART), min(info.width, PART)
    return source.read_crop(
        number, Box((info.height - height) // 2, (info.width - width) // 2, height, width)
    )
