"""What a picture's numbers mean: which one is white, and how they become the network's [0, 1] and return.

White is said once, by `data_range` of the configuration: `auto` takes it from the picture's type, a number is
white itself (4095 for 12 bits in 16-bit files, 10000 for reflectances).
"""

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import DTypeLike

from src.util.errors import ConfigError, DataError, NonFiniteError

if TYPE_CHECKING:  # torch takes 200 MB and two seconds, which cutting pictures into pieces can do without
    import torch

__all__ = [
    "DataRange", "as_float", "as_tensor", "checked_range", "checked_white", "dark_hint", "from_float",
    "is_wide", "span_of", "to_float", "to_uint8", "white_of",
]  # fmt: skip

DataRange = Literal["auto"] | float
"""`auto`, or the number that is white."""

# Floating-point pictures within these limits are taken for [0, 1] with some noise on top.
_ABOUT_0_TO_1 = (-0.5, 1.5)
# Of floats, and the largest numbers of 8, 10, 12, 14 and 16 bits, and of reflectances.
_USUAL_WHITES = (1, 255, 1023, 4095, 10_000, 16_383, 65_535)
# A picture whose largest value lies below this part of white uses too little of its range to be meant so.
_FAR_BELOW = 1 / 16
# A picture that leaves so many bits of its type unused most likely comes from a sensor of fewer.
_UNUSED_BITS = 2


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
        f"data_range: expected 'auto' or the number that is white, finite and above 0; got {data_range!r:.60}"
    )


def white_of(dtype: DTypeLike, data_range: DataRange = "auto") -> float:
    """The number that is white in pictures of a type.

    Parameters
    ----------
    dtype : dtype
        Whole or floating-point numbers.
    data_range : "auto" or float
        Of the configuration. A number that the type cannot hold (4095 for uint8) counts as `auto`.

    Returns
    -------
    float
        255 for uint8, 65535 for uint16, 1.0 for floating point, unless `data_range` says otherwise.

    Raises
    ------
    ConfigError
        When `data_range` is none, see `checked_range`.
    ValueError
        When the type holds no such numbers.
    """
    dtype, data_range = np.dtype(dtype), checked_range(data_range)
    if dtype.kind not in "uif":
        raise ValueError(f"dtype: expected whole or floating-point numbers, got {dtype}")
    largest = float(np.finfo(dtype).max if dtype.kind == "f" else np.iinfo(dtype).max)
    if data_range != "auto" and data_range <= largest:
        return data_range
    return 1.0 if dtype.kind == "f" else largest


def checked_white(picture: np.ndarray, data_range: DataRange, name: str) -> float:
    """`white_of` a picture, once its values are known to make sense with it.

    Parameters
    ----------
    picture : ndarray
        Of any shape.
    data_range : "auto" or float
        Of the configuration.
    name : str
        The picture's, for messages.

    Returns
    -------
    float

    Raises
    ------
    DataError
        When a value is NaN or infinite, or floating-point values are far from [0, 1] and nobody said what
        white is.
    """
    white = white_of(picture.dtype, data_range)
    if picture.dtype.kind != "f" or not picture.size:
        return white
    low, high = float(picture.min()), float(picture.max())
    if not np.isfinite([low, high]).all():
        count = np.count_nonzero(~np.isfinite(picture))
        raise DataError(f"{name}: {count} of {picture.size} values are NaN or infinite; fill them in first")
    if data_range == "auto" and (low < _ABOUT_0_TO_1[0] or high > _ABOUT_0_TO_1[1]):
        below = f"; 0 is black, values below it are kept (add {-low:g} first if {low:g} is black)"
        raise DataError(
            f"{name}: floating-point values from {low:g} to {high:g}, not about 0 to 1; say which number is"
            f" white, such as data_range={_likely_white(max(-low, high)):g}{below if low < 0 else ''}"
        )
    return white


def _likely_white(largest: float) -> float:
    """The usual white that fits a largest value, noise included; where none does the next whole number."""
    fitting = (usual for usual in _USUAL_WHITES if usual * _FAR_BELOW <= largest <= _ABOUT_0_TO_1[1] * usual)
    return next(fitting, math.ceil(largest))


def dark_hint(picture: np.ndarray, white: float) -> str:
    """What to consider when a picture uses little of its range: it may have fewer bits than its file.

    Parameters
    ----------
    picture : ndarray
        Of any shape.
    white : float
        As it is taken to be.

    Returns
    -------
    str
        Empty when there is nothing to say, as for any picture of 8 bits.
    """
    high = float(picture.max()) if picture.size else white
    if picture.dtype.itemsize == 1 or (high <= 0 and not is_wide(picture.dtype)):
        return ""
    if high > 4 * white:
        return f"its largest value, {high:g}, is far above white ({white:g}); data_range says what white is"
    if picture.dtype.kind == "f" or white < np.iinfo(np.int16).max:
        far = high < white * _FAR_BELOW
        return f"its largest value, {high:g}, is far below white ({white:g})" if far else ""
    bits = max(8, int(high).bit_length())
    if int(white).bit_length() - bits < _UNUSED_BITS:
        return ""
    return (
        f"its largest value, {high:g}, is far below white ({white:g}); if its data has {bits} bits, say"
        f" data_range={2**bits - 1}"
    )


def is_wide(dtype: np.dtype) -> bool:
    """Whether whole numbers of a type have more bits than any picture needs, as NumPy's own int64."""
    return dtype.kind in "iu" and dtype.itemsize > 2


def to_float(picture: np.ndarray, white: float | None = None) -> "torch.Tensor":
    """A picture as the network sees it.

    Parameters
    ----------
    picture : ndarray of whole or floating-point numbers, shape (H, W, C)
        Left as it is.
    white : float, optional
        The number that is white; None takes the type's own: 255 for uint8, 65535 for uint16, 1.0 for floats.

    Returns
    -------
    Tensor of float32, shape (C, H, W)
        A copy; white is 1.0.
    """
    import torch

    white = white_of(picture.dtype) if white is None else white
    values = torch.from_numpy(np.array(picture.transpose(2, 0, 1), dtype=np.float32, order="C"))
    return values if white == 1 else values.div_(white)


def as_tensor(picture: np.ndarray) -> "torch.Tensor":
    """A picture as it is sent to a device: `to_float` of it is `as_float` of this.

    Parameters
    ----------
    picture : ndarray of uint8, or of float32 where 1.0 is white; shape (H, W, C)
        Left as it is.

    Returns
    -------
    Tensor of the same type, shape (C, H, W)
        A copy.
    """
    import torch

    return torch.from_numpy(np.array(picture.transpose(2, 0, 1), order="C"))


def as_float(values: "torch.Tensor") -> "torch.Tensor":
    """Pictures of 8 bits as the network sees them, made on the device that they are on.

    Parameters
    ----------
    values : Tensor
        Of any shape. uint8, or float32, which is given back.

    Returns
    -------
    Tensor of float32
        White is 1.0; the same bits on each device.
    """
    import torch

    if values.dtype != torch.uint8:
        return values
    # By a tensor, since a GPU multiplies by the reciprocal of a plain number, which rounds otherwise.
    return values.to(torch.float32).div_(torch.full((), 255.0, device=values.device))


def from_float(
    values: "torch.Tensor | np.ndarray",
    dtype: DTypeLike,
    white: float,
    span: tuple[float, float] | None = None,
) -> np.ndarray:
    """A network's output as a picture: the one rule of clipping and rounding.

    Parameters
    ----------
    values : Tensor or ndarray of floating point, shape (C, H, W)
        1.0 is white; left as it is.
    dtype : dtype
        Of the result. Whole numbers are rounded to nearest.
    white : float
        The number that is white in the result.
    span : (float, float), optional
        Smallest and largest value of the result, see `span_of`. Without it whole numbers are clipped to
        [0, white], and floating-point ones not at all.

    Returns
    -------
    ndarray of `dtype`, shape (H, W, C)

    Raises
    ------
    NonFiniteError
        When a value is NaN or infinite: it would become some grey and hide that something is broken.
    """
    if not isinstance(values, np.ndarray):
        import torch

        values = values.detach().to("cpu", torch.promote_types(values.dtype, torch.float32)).numpy()
    if values.ndim != 3 or not np.issubdtype(values.dtype, np.floating):
        raise ValueError(f"values: expected floating point (C, H, W), got {values.dtype} {values.shape}")
    dtype = np.dtype(dtype)
    if span is None and dtype.kind != "f":
        span = (0.0, white)
    result = np.empty((*values.shape[1:], values.shape[0]), dtype)
    for number, channel in enumerate(values):  # one at a time: a large picture's copies would fill the memory
        if not np.isfinite(channel).all():
            count = np.count_nonzero(~np.isfinite(values))
            raise NonFiniteError(f"{count} of a picture's {values.size} values are NaN or infinite")
        exact = channel.astype(np.float64) if dtype.itemsize > 2 and dtype.kind != "f" else channel
        scaled = exact * white if white != 1 else exact
        scaled = scaled if span is None else np.clip(scaled, *_within(span, dtype))
        result[..., number] = scaled if dtype.kind == "f" else np.rint(scaled)
    return result


def to_uint8(values: "torch.Tensor | np.ndarray") -> np.ndarray:
    """`from_float` to 8 bits: clip to [0, 1], times 255, round to nearest.

    Parameters
    ----------
    values : Tensor or ndarray of floating point, shape (C, H, W)
        1.0 is white; left as it is.

    Returns
    -------
    ndarray of uint8, shape (H, W, C)

    Raises
    ------
    NonFiniteError
        When a value is NaN or infinite.
    """
    return from_float(values, np.uint8, 255)


def span_of(picture: np.ndarray, white: float) -> tuple[float, float]:
    """The range that a picture's result is clipped to.

    Parameters
    ----------
    picture : ndarray
        Of any shape.
    white : float
        The number that is white in it.

    Returns
    -------
    (float, float)
        From black to white; farther where the picture itself goes farther, as reflectances of clouds do.
    """
    if not picture.size:
        return 0.0, white
    return min(0.0, float(picture.min())), max(white, float(picture.max()))


def _within(span: tuple[float, float], dtype: np.dtype) -> tuple[float, float]:
    """A range, no wider than what the type holds."""
    if dtype.kind == "f":
        return span
    limits = np.iinfo(dtype)
    high = float(limits.max)
    if high > limits.max:  # of 64 bits: as a float it is one more, which wraps around
        high = float(np.nextafter(high, 0))
    return max(span[0], float(limits.min)), min(span[1], high)
