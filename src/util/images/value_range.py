"""What an image's numbers mean: which one is white.

White is said once, by `data_range` of the configuration: a number is white itself (4095 for 12 bits in 16-bit
files, 10000 for reflectances); `auto` takes it from the image's header where that says it, else from its
type.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from src.util.errors import ConfigError, DataError

DataRange = Literal["auto"] | float
"""`auto`, or the data range."""
NanRule = Literal["stop", "keep"]
"""What NaN is: a mistake, or a value that there is none of (`keep`), which stays so and is never counted."""

ALL_NAN = "all of it is NaN, so nothing of it is counted or denoised"

# Floating-point images within these limits are taken for [0, 1] with some noise on top.
_ABOUT_0_TO_1 = (-0.5, 1.5)
# Of floats, and the largest numbers of 8, 10, 12, 14 and 16 bits, and of reflectances.
_USUAL_RANGES = (1, 255, 1023, 4095, 10_000, 16_383, 65_535)
# An image whose largest value lies below this part of white uses too little of its range to be meant so.
_FAR_BELOW = 1 / 16
# An image that leaves so many bits of its type unused most likely comes from a sensor of fewer.
_UNUSED_BITS = 2
# Nobody's white, but the largest number of the narrowest type that is wider than any image needs.
_WIDE = 2**31 - 1


class Hint(NamedTuple):
    """What to consider about an image's range.

    Attributes
    ----------
    found : str
        What there is to say of the image.
    number : float
        What it is about: the white that is proposed, or the one that does not fit.
    is_proposed : bool
        Whether it is the former.
    """

    found: str
    number: float
    is_proposed: bool = False

    @property
    def line(self) -> str:
        """To be said behind the image's name."""
        bits = int(self.number).bit_length()
        proposal = f"; if its data has {bits} bits, say data_range={self.number}"
        return self.found + (proposal if self.is_proposed else "")


class RangeError(DataError):
    """Nobody said which number is white in an image, and its type does not tell either.

    Parameters
    ----------
    question : str
        What was found and is to be said, before the number.
    number : float
        The white that is proposed.
    remark : str
        Behind the number.
    """

    def __init__(self, question: str, number: float, remark: str = "") -> None:
        super().__init__(question, number, remark)  # with which it comes out of another process
        self.question, self.number, self.remark = question, number, remark

    def __str__(self) -> str:
        return f"{self.question} data_range={self.number}{self.remark}"


def with_one_proposal(errors: Sequence[DataError]) -> list[DataError]:
    """What is wrong with the images of a folder, with one white proposed to all: of the brightest."""
    number = max((error.number for error in errors if isinstance(error, RangeError)), default=0)
    return [
        RangeError(error.question, number, error.remark) if isinstance(error, RangeError) else error
        for error in errors
    ]


def checked_range(data_range: object) -> DataRange:
    """A `data_range` that comes from Python, once it is known to be one.

    Parameters
    ----------
    data_range : object
        What was given for it.

    Returns
    -------
    "auto" or float
        As given.

    Raises
    ------
    ConfigError
        When it is neither `auto` nor a finite number above 0.
    """
    if isinstance(data_range, str) and data_range == "auto":
        return "auto"
    if isinstance(data_range, int | float | np.integer | np.floating) and not isinstance(data_range, bool):
        if 0 < data_range < math.inf:
            return float(data_range)
    raise ConfigError(
        f"data_range: expected 'auto' or the data range, finite and above 0; got {data_range!r:.60}"
    )


def checked_nan(nan: object) -> NanRule:
    """A `nan` that comes from Python, once it is known to be one; ConfigError otherwise."""
    if nan == "stop":
        return "stop"
    if nan == "keep":
        return "keep"
    raise ConfigError(f"nan: expected 'stop' or 'keep', got {nan!r:.60}")


def data_range_of(dtype: DTypeLike, rule: DataRange = "auto", said: float | None = None) -> float:
    """The data range of images of a type.

    Parameters
    ----------
    dtype : dtype
        Whole or floating-point numbers.
    rule : "auto" or float
        Of the configuration. A number that the type cannot hold (4095 for uint8) counts as `auto`.
    said : float, optional
        By the image's header, see `ImageInfo.data_range`.

    Returns
    -------
    float
        `rule`, else what the header said, else 255 for uint8, 65535 for uint16, 1.0 for floating point.

    Raises
    ------
    ConfigError
        When `rule` is none, see `checked_range`.
    ValueError
        When the type holds no such numbers.
    """
    dtype, rule = np.dtype(dtype), checked_range(rule)
    if dtype.kind not in "uif":
        raise ValueError(f"dtype: expected whole or floating-point numbers, got {dtype}")
    largest = float(np.finfo(dtype).max if dtype.kind == "f" else np.iinfo(dtype).max)
    if rule != "auto" and rule <= largest:
        return rule
    if said is not None:
        return said
    return 1.0 if dtype.kind == "f" else largest


def checked_data_range(
    image: np.ndarray, rule: DataRange, name: str, said: float | None = None, nan: NanRule = "stop"
) -> float:
    """`data_range_of` an image, once its values are known to make sense with it.

    Parameters
    ----------
    image : ndarray
        Of any shape.
    rule : "auto" or float
        Of the configuration.
    name : str
        The image's, for messages.
    said : float, optional
        By the image's header.
    nan : "stop" or "keep"
        Whether NaN is refused.

    Returns
    -------
    float

    Raises
    ------
    DataError
        When a value is infinite, or NaN unless that is kept. `RangeError` when nobody said what white is
        and the type does not tell either: floating-point values far from [0, 1], whole numbers of 32 or 64
        bits that use little of their range.
    """
    data_range = data_range_of(image.dtype, rule, said)
    if data_range >= _WIDE and data_range not in (rule, said) and (hint := dark_hint(image, data_range)):
        raise RangeError(f"{name}, {image.dtype}: {hint.found}; if its data has fewer bits, say", hint.number)
    if image.dtype.kind != "f" or not image.size:
        return data_range
    ends = (np.min, np.max) if nan == "stop" else (np.fmin.reduce, np.fmax.reduce)  # which pass over NaN
    low, high = (float(end(image, axis=None)) for end in ends)
    if np.isinf([low, high]).any() or (nan == "stop" and math.isnan(low)):
        raise DataError(f"{name}: {_not_finite(image, nan)}; fill them in first")
    if rule == "auto" and (low < _ABOUT_0_TO_1[0] or high > _ABOUT_0_TO_1[1]):
        below = f"; 0 is black, values below it are kept (add {-low:g} first if {low:g} is black)"
        raise RangeError(
            f"{name}: floating-point values from {low:g} to {high:g}, not about 0 to 1; say which number is"
            " white, such as", _likely_range(max(-low, high)), below if low < 0 else "",
        )  # fmt: skip
    return data_range


def _not_finite(image: np.ndarray, nan: NanRule) -> str:
    if nan == "keep":
        return f"{np.count_nonzero(np.isinf(image))} of {image.size} values are infinite"
    hint = " (nan=keep leaves NaN as it is, uncounted)" if np.isnan(image).any() else ""
    return f"{np.count_nonzero(~np.isfinite(image))} of {image.size} values are NaN or infinite{hint}"


def _likely_range(largest: float) -> int:
    """The usual white that fits a largest value, noise included; where none does the next whole number."""
    fitting = (usual for usual in _USUAL_RANGES if usual * _FAR_BELOW <= largest <= _ABOUT_0_TO_1[1] * usual)
    return next(fitting, math.ceil(largest))


def dark_hint(image: np.ndarray, data_range: float) -> Hint | None:
    """What to consider when an image uses little of its range: it may have fewer bits than its file.

    Parameters
    ----------
    image : ndarray
        Of any shape.
    data_range : float
        As it is taken to be.

    Returns
    -------
    Hint or None
        None when there is nothing to say, as for any image of 8 bits.
    """
    high = float(image.max()) if image.size else data_range
    if image.dtype.itemsize == 1 or (high <= 0 and data_range < _WIDE):
        return None
    found = f"its largest value, {high:g}, is far"
    if high > 4 * data_range:
        return Hint(f"{found} above white ({data_range:g}); data_range says what white is", data_range)
    below = f"{found} below white ({data_range:g})"
    if image.dtype.kind == "f" or data_range < np.iinfo(np.int16).max:
        return Hint(below, data_range) if high < data_range * _FAR_BELOW else None
    bits = max(8, int(high).bit_length())
    if int(data_range).bit_length() - bits < _UNUSED_BITS:
        return None
    return Hint(below, 2**bits - 1, is_proposed=True)
