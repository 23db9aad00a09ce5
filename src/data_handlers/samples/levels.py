"""From the numbers of a file to [0, 1]: pictures of other types than 8 bits."""

import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from src.data_handlers.datasets.base import Box, CropSource, Picture, Source, place_of
from src.util.errors import DataError
from src.util.pictures.folder import raise_together
from src.util.pictures.io import PictureInfo, PictureWarning
from src.util.pictures.value_range import ALL_NAN, DataRange, NanRule, checked_white, dark_hint, white_of

LOOKED_AT = 8
"""Pictures whose values are looked at before a training starts; headers tell the rest."""

PART = 1024
"""Edge of what is looked at, px, where a source reads parts: whole pictures may take half a GB each."""


def scaled(picture: Picture, data_range: DataRange, nan: NanRule = "stop") -> Picture:
    """A picture as a network can take it.

    Parameters
    ----------
    picture : Picture
        With the values of its file.
    data_range : "auto" or float
        The number that is white.
    nan : "stop" or "keep"
        Whether NaN is refused.

    Returns
    -------
    Picture
        uint8 where 255 is white stays as it is; all else becomes float32 where 1.0 is white.

    Raises
    ------
    DataError
        When its values make no sense with `data_range`.
    """

    def scale(values: np.ndarray) -> np.ndarray:
        white = checked_white(values, data_range, picture.name, nan)
        if (values.dtype == np.uint8 and white == 255) or (values.dtype == np.float32 and white == 1):
            return values
        return values.astype(np.float32) / np.float32(white)

    white = white_of(picture.noisy.dtype, data_range)
    return replace(picture.map(scale), dtype=picture.noisy.dtype.name, white=white)


def look_at_values(
    source: Source, infos: Mapping[int, PictureInfo], data_range: DataRange, nan: NanRule = "stop"
) -> tuple[float, list[str], dict[int, str]]:
    """What the values of some pictures say, before the first step; pictures of 8 bits say nothing.

    Parameters
    ----------
    source : Source
        The pictures.
    infos : mapping
        Their headers, by number.
    data_range : "auto" or float
        The number that is white.
    nan : "stop" or "keep"
        Whether NaN is refused.

    Returns
    -------
    (float, list of str, dict of int to str)
        White of most pictures, what the user should know, and why some pictures cannot be used.

    Raises
    ------
    DataError
        When none of the pictures that were looked at can be used: a line for each.
    """
    whites = Counter(white_of(info.dtype, data_range) for info in infos.values())
    hints = []
    if len(whites) > 1:
        found = ", ".join(f"{white:g} in {count}" for white, count in whites.most_common())
        hints.append(f"{source.where}: pictures of several ranges: white is {found}")
    deep = [number for number, info in infos.items() if info.dtype != "uint8"]
    problems: dict[int, str] = {}
    dark: list[tuple[float, str]] = []
    for number in deep[:: max(1, len(deep) // LOOKED_AT)][:LOOKED_AT]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", PictureWarning)
                picture = _middle(source, number, infos[number])
            white = checked_white(picture.noisy, data_range, place_of(source.where, picture.name), nan)
        except DataError as error:
            problems[number] = str(error)
            continue
        known = picture.noisy[~np.isnan(picture.noisy)]
        if not known.size:
            hints.append(f"{place_of(source.where, picture.name)}: {ALL_NAN}")
            continue
        hint = dark_hint(known, white)
        line = f"{place_of(source.where, picture.name)}: {hint}" if hint else ""
        dark.append((float(known.max()) / white, line))
    if not dark:  # the next ones will be no better
        raise_together(list(problems.values()))
    if dark and all(line for _, line in dark):  # one dark picture is a dark picture
        hints.append(max(dark)[1])  # the number that is proposed must hold the brightest, too
    return whites.most_common(1)[0][0], hints, problems


def _middle(source: Source, number: int, info: PictureInfo) -> Picture:
    if not isinstance(source, CropSource):
        return source.read(number)
    height, width = min(info.height, PART), min(info.width, PART)
    return source.read_crop(
        number, Box((info.height - height) // 2, (info.width - width) // 2, height, width)
    )
