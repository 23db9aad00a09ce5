"""Find the data range of an image: the value of white.

It comes from `data_range` in the configuration. A number is the data range itself (4095 for 12 bits in 16-bit
files, 10000 for reflectances). `auto` takes it from the image's header, else from the type.
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
"""`stop` refuses NaN; `keep` takes it for missing data, which stays NaN and is not scored."""

ALL_NAN = "every value is NaN, so nothing is scored or denoised"

# Floating-point images within these limits are taken for [0, 1] plus noise.
_ABOUT_0_TO_1 = (-0.5, 1.5)
# Data ranges of floats, of 8, 10, 12, 14 and 16 bits, and of reflectances.
_USUAL_RANGES = (1, 255, 1023, 4095, 10_000, 16_383, 65_535)
# A largest value below this share of the data range is suspicious.
_FAR_BELOW = 1 / 16
# As many unused bits suggest a sensor of fewer bits.
_UNUSED_BITS = 2
# From here on a type's largest number is not a plausible data range.
_WIDE = 2**31 - 1


class Hint(NamedTuple):
    """A hint that an image's data range may be wrong.

    Attributes
    ----------
    found : str
        The observation.
    number : float
        The data range that is proposed, or else the one that does not fit.
    is_proposed : bool
        Whether `number` is a proposal.
    """

    found: str
    number: float
    is_proposed: bool = False

    @property
    def line(self) -> str:
        """The hint in words, to follow the image's name."""
        bits = int(self.number).bit_length()
        proposal = f"; if its data has {bits} bits, set data_range={self.number}"
        return self.found + (proposal if self.is_proposed else "")


class RangeError(DataError):
    """The data range of an image must be given, since its type does not determine it.

    Parameters
    ----------
    finding : str
        The text before the proposal.
    number : float
        The data range that is proposed.
    remark : str
        The text after the proposal.
    """

    def __init__(self, finding: str, number: float, remark: str = "") -> None:
        super().__init__(finding, number, remark)  # all arguments, so that it can be pickled
        self.finding, self.number, self.remark = finding, number, remark

    def __str__(self) -> str:
        return f"{self.finding} data_range={self.number}{self.remark}"


def with_one_proposal(errors: Sequence[DataError]) -> list[DataError]:
    """Return errors of a folder's images that all propose the same data range, that of the brightest."""
    number = max((error.number for error in errors if isinstance(error, RangeError)), default=0)
    return [
        RangeError(error.finding, number, error.remark) if isinstance(error, RangeError) else error
        for error in errors
    ]


def checked_range(data_range: object) -> DataRange:
    """Return a `data_range`; raise ConfigError when it is neither `auto` nor a finite number above 0."""
    if isinstance(data_range, str) and data_range == "auto":
        return "auto"
    if isinstance(data_range, int | float | np.integer | np.floating) and not isinstance(data_range, bool):
        if 0 < data_range < math.inf:
            return float(data_range)
    raise ConfigError(
        f"data_range: expected 'auto' or the data range, finite and above 0; got {data_range!r:.60}"
    )


def checked_nan(nan: object) -> NanRule:
    """Return a `nan` rule; raise ConfigError when it is neither `stop` nor `keep`."""
    if nan == "stop":
        return "stop"
    if nan == "keep":
        return "keep"
    raise ConfigError(f"nan: expected 'stop' or 'keep', got {nan!r:.60}")


def data_range_of(dtype: DTypeLike, rule: DataRange = "auto", from_header: float | None = None) -> float:
    """Return the data range of images of a type.

    Parameters
    ----------
    dtype : dtype
        An integer or floating-point type.
    rule : "auto" or float
        From the configuration. A number that the type cannot hold (4095 for uint8) counts as `auto`.
    from_header : float, optional
        The data range in the image's header, see `ImageInfo.data_range`.

    Returns
    -------
    float
        `rule`, else `from_header`, else 255 for uint8, 65535 for uint16, 1.0 for floating point.

    Raises
    ------
    ConfigError
        When `rule` is invalid, see `checked_range`.
    ValueError
        When the type is neither integer nor floating point.
    """
    dtype, rule = np.dtype(dtype), checked_range(rule)
    if dtype.kind not in "uif":
        raise ValueError(f"dtype: expected whole or floating-point numbers, got {dtype}")
    largest = float(np.finfo(dtype).max if dtype.kind == "f" else np.iinfo(dtype).max)
    if rule != "auto" and rule <= largest:
        return rule
    if from_header is not None:
        return from_header
    return 1.0 if dtype.kind == "f" else largest


def checked_data_range(
    image: np.ndarray, rule: DataRange, name: str, from_header: float | None = None, nan: NanRule = "stop"
) -> float:
    """Return the data range of an image, and check its values against it; see `data_range_of`.

    Parameters
    ----------
    image : ndarray
        Of any shape.
    rule : "auto" or float
        From the configuration.
    name : str
        The image's name, for messages.
    from_header : float, optional
        The data range in the image's header.
    nan : "stop" or "keep"
        Whether NaN is refused.

    Returns
    -------
    float

    Raises
    ------
    DataError
        When a value is infinite, or NaN with `nan="stop"`.
    RangeError
        When neither `rule` nor the header gives a data range, and floating-point values are far from [0, 1]
        or integers of 32 or 64 bits use little of their range.
    """
    data_range = data_range_of(image.dtype, rule, from_header)
    is_guessed = data_range >= _WIDE and data_range not in (rule, from_header)
    if is_guessed and (hint := dark_hint(image, data_range)):
        raise RangeError(f"{name}, {image.dtype}: {hint.found}; if its data has fewer bits, set", hint.number)
    if image.dtype.kind != "f" or not image.size:
        return data_range
    ends = (np.min, np.max) if nan == "stop" else (np.fmin.reduce, np.fmax.reduce)  # these ignore NaN
    low, high = (float(end(image, axis=None)) for end in ends)
    if np.isinf([low, high]).any() or (nan == "stop" and math.isnan(low)):
        raise DataError(f"{name}: {_not_finite(image, nan)}; fill them in first")
    if rule == "auto" and (low < _ABOUT_0_TO_1[0] or high > _ABOUT_0_TO_1[1]):
        below = f"; 0 is black, values below it are kept (add {-low:g} first if {low:g} is black)"
        raise RangeError(
            f"{name}: floating-point values from {low:g} to {high:g}, not about 0 to 1; set the data range,"
            " such as", _likely_range(max(-low, high)), below if low < 0 else "",
        )  # fmt: skip
    return data_range


def _not_finite(image: np.ndarray, nan: NanRule) -> str:
    if nan == "keep":
        return f"{np.count_nonzero(np.isinf(image))} of {image.size} values are infinite"
    hint = " (nan=keep takes NaN for missing data)" if np.isnan(image).any() else ""
    return f"{np.count_nonzero(~np.isfinite(image))} of {image.size} values are NaN or infinite{hint}"


def _likely_range(largest: float) -> int:
    """Return the usual data range that fits a largest value with noise, else the next integer."""
    fitting = (usual for usual in _USUAL_RANGES if usual * _FAR_BELOW <= largest <= _ABOUT_0_TO_1[1] * usual)
    return next(fitting, math.ceil(largest))


def dark_hint(image: np.ndarray, data_range: float) -> Hint | None:
    """Return a hint if an image's largest value does not fit its data range; None for 8-bit images.

    Parameters
    ----------
    image : ndarray
        Of any shape.
    data_range : float
        Its assumed data range.

    Returns
    -------
    Hint or None
        A hint proposes a data range if the image may have fewer bits than its type.
    """
    high = float(image.max()) if image.size else data_range
    if image.dtype.itemsize == 1 or (high <= 0 and data_range < _WIDE):
        return None
    found = f"its largest value, {high:g}, is far"
    if high > 4 * data_range:
        return Hint(f"{found} above the data range ({data_range:g}); check data_range", data_range)
    below = f"{found} below the data range ({data_range:g})"
    if image.dtype.kind == "f" or data_range < np.iinfo(np.int16).max:
        return Hint(below, data_range) if high < data_range * _FAR_BELOW else None
    bits = max(8, int(high).bit_length())
    if int(data_range).bit_length() - bits < _UNUSED_BITS:
        return None
    return Hint(below, 2**bits - 1, is_proposed=True)
