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
    checked_white,
    dark_hint,
    white_of,
    with_one_proposal,
)

LOOKED_AT = 8
"""Images whose values are looked at before a training starts; headers tell the rest."""

PART = 1024
"""Edge of what is looked at, px, where a source reads parts: whole images may take half a GB each."""


def scaled(image: Image, data_range: DataRange, nan: NanRule = "stop") -> Image:
    """An image as a network can take it.

    Parameters
    ----------
    image : Image
        With the values of its file.
    data_range : "auto" or float
        The number that is white.
    nan : "stop" or "keep"
        Whether NaN is refused.

    Returns
    -------
    Image
        uint8 where 255 is white stays as it is; all else becomes float32 where 1.0 is white.

    Raises
    ------
    DataError
        When its values make no sense with `data_range`.
    """

    def scale(values: np.ndarray, white: float) -> np.ndarray:
        if (values.dtype == np.uint8 and white == 255) or (values.dtype == np.float32 and white == 1):
            return values
        return values.astype(np.float32) / np.float32(white)

    white = noisy_white(image, data_range, image.name, nan)
    noisy, clean = scale(image.noisy, white), image.clean
    if clean is not None:
        clean = scale(clean, checked_white(clean, data_range, image.name, image.clean_white, nan))
    return replace(image, noisy=noisy, clean=clean, dtype=image.noisy.dtype.name, white=white)


def noisy_white(image: Image, data_range: DataRange, name: str, nan: NanRule = "stop") -> float:
    """`checked_white` of a noisy image, which a clean one of the same type must share.

    Parameters
    ----------
    image : Image
        With the values of its file.
    data_range : "auto" or float
        The number that is white.
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
    white = checked_white(noisy, data_range, name, image.white, nan)
    if clean is not None and clean.dtype == noisy.dtype:
        other = white_of(clean.dtype, data_range, image.clean_white)
        if other != white:
            raise DataError(
                f"{name}: by its header white is {white:g}, by the clean image's {other:g}; say which by"
                f" data_range={min(white, other):g}"
            )
    return white


def look_at_values(
    source: Source, infos: Mapping[int, ImageInfo], data_range: DataRange, nan: NanRule = "stop"
) -> tuple[float, list[str], dict[int, str]]:
    """What the values of some images say, before the first step; images of 8 bits say nothing.

    Parameters
    ----------
    source : Source
        The images.
    infos : mapping
        Their headers, by number.
    data_range : "auto" or float
        The number that is white.
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
    whites = Counter(white_of(info.dtype, data_range, info.white) for info in infos.values())
    hints = []
    if len(whites) > 1:
        found = ", ".join(f"{white:g} in {count}" for white, count in whites.most_common())
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
            white = noisy_white(image, data_range, name, nan)
        except DataError as error:
            problems[number] = error
            continue
        known = image.noisy[~np.isnan(image.noisy)]
        if not known.size:
            hints.append(f"{name}: {ALL_NAN}")
            continue
        hint = dark_hint(known, white)
        dark.append(hint and hint._replace(found=f"{name}: {hint.found}"))
    lines = dict(zip(problems, map(str, with_one_proposal(list(problems.values()))), strict=True))
    if not dark:  # the next ones will be no better
        raise_together(list(lines.values()))
    if dark and all(dark):  # one dark image is a dark image
        # The number that is proposed must hold the brightest, too.
        hints.append(max(filter(None, dark), key=lambda hint: hint.number).line)
    return whites.most_common(1)[0][0], hints, lines


def _middle(source: Source, number: int, info: ImageInfo) -> Image:
    if not isinstance(source, CropSource):
        return source.read(number)
    height, width = min(info.height, PART), min(info.width, PART)
    return source.read_crop(
        number, Box((info.height - height) // 2, (info.width - width) // 2, height, width)
    )
