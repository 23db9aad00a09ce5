"""Scaling of file values to [0, 1], and checks that they fit the data range."""

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

CHECKED_IMAGES = 8
"""Number of images whose values are checked before the first step. Headers are checked of all images."""

CHECKED_EDGE = 1024
"""Edge in px of the checked part, if a source can read parts: a whole image may take half a GB."""


def scaled(image: Image, option: DataRange, nan: NanRule = "stop") -> Image:
    """Return an image with the values that a network takes.

    Parameters
    ----------
    image : Image
        The values of its file.
    option : "auto" or float
        The option `data_range`.
    nan : "stop" or "keep"
        Whether NaN raises an error or is kept.

    Returns
    -------
    Image
        uint8 values with data range 255 are unchanged; all others become float32 with data range 1.

    Raises
    ------
    DataError
        When the values do not fit the data range.
    """

    def scale(values: np.ndarray, data_range: float) -> np.ndarray:
        if (values.dtype, data_range) in ((np.uint8, 255), (np.float32, 1)):
            return values
        return values.astype(np.float32) / np.float32(data_range)

    data_range = _noisy_data_range(image, option, image.name, nan)
    noisy, clean = scale(image.noisy, data_range), image.clean
    if clean is not None:
        clean = scale(clean, checked_data_range(clean, option, image.name, image.clean_data_range, nan))
    return replace(image, noisy=noisy, clean=clean, dtype=image.noisy.dtype.name, data_range=data_range)


def _noisy_data_range(image: Image, option: DataRange, name: str, nan: NanRule) -> float:
    """Return the data range of a noisy image, after checking its values and the clean image's header."""
    noisy, clean = image.noisy, image.clean
    data_range = checked_data_range(noisy, option, name, image.data_range, nan)
    if clean is not None and clean.dtype == noisy.dtype:
        other = data_range_of(clean.dtype, option, image.clean_data_range)
        if other != data_range:
            raise DataError(
                f"{name}: its header gives data range {data_range:g}, that of the clean image {other:g}; set"
                f" the right one, such as data_range={min(data_range, other):g}"
            )
    return data_range


def check_values(
    source: Source, infos: Mapping[int, ImageInfo], option: DataRange, nan: NanRule = "stop"
) -> tuple[float, list[str], dict[int, str]]:
    """Check the values of some images before the first step. 8-bit images need no check.

    Parameters
    ----------
    source : Source
        The images.
    infos : mapping
        Image number -> header.
    option, nan
        See `scaled`.

    Returns
    -------
    (float, list of str, dict of int to str)
        Data range of most images, hints for the user, and the problem of each unusable image.

    Raises
    ------
    DataError
        When no checked image is usable, one line for each.
    """
    data_ranges = Counter(data_range_of(info.dtype, option, info.data_range) for info in infos.values())
    hints = []
    if len(data_ranges) > 1:
        found = ", ".join(f"{data_range:g} in {count}" for data_range, count in data_ranges.most_common())
        hints.append(f"{source.where}: images of several data ranges: {found}")
    deep = [number for number, info in infos.items() if info.dtype != "uint8"]
    problems: dict[int, DataError] = {}
    dark: list[Hint | None] = []
    for number in deep[:: max(1, len(deep) // CHECKED_IMAGES)][:CHECKED_IMAGES]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ImageWarning)
                image = _read_centre(source, number, infos[number])
            name = place_of(source.where, image.name)
            data_range = _noisy_data_range(image, option, name, nan)
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
    if not dark:
        raise_together(list(lines.values()))
    if dark and all(dark):  # a single dark image needs no hint
        # The proposed data range must fit the brightest image.
        hints.append(max(filter(None, dark), key=lambda hint: hint.number).line)
    return data_ranges.most_common(1)[0][0], hints, lines


def _read_centre(source: Source, number: int, info: ImageInfo) -> Image:
    if not isinstance(source, CropSource):
        return source.read(number)
    height, width = min(info.height, CHECKED_EDGE), min(info.width, CHECKED_EDGE)
    return source.read_crop(
        number, Box((info.height - height) // 2, (info.width - width) // 2, height, width)
    )
