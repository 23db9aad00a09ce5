"""How an image's numbers become the network's [0, 1] and return.

From 0 to white, see `value_range`; what lies outside goes along.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike

from src.util.errors import NonFiniteError
from src.util.images.value_range import data_range_of

if TYPE_CHECKING:  # torch takes 200 MB and two seconds, which cutting images into pieces can do without
    import torch


def to_float(image: np.ndarray, data_range: float | None = None) -> "torch.Tensor":
    """An image as the network sees it.

    Parameters
    ----------
    image : ndarray of whole or floating-point numbers, shape (H, W, C)
        Left as it is.
    data_range : float, optional
        The data range; None takes the type's own: 255 for uint8, 65535 for uint16, 1.0 for floats.

    Returns
    -------
    Tensor of float32, shape (C, H, W)
        A copy; data range 1.
    """
    import torch

    data_range = data_range_of(image.dtype) if data_range is None else data_range
    values = torch.from_numpy(np.array(image.transpose(2, 0, 1), dtype=np.float32, order="C"))
    return values if data_range == 1 else values.div_(data_range)


def as_tensor(image: np.ndarray) -> "torch.Tensor":
    """An image as it is sent to a device: `to_float` of it is `as_float` of this.

    Parameters
    ----------
    image : ndarray of uint8, or of float32 of data range 1; shape (H, W, C)
        Left as it is.

    Returns
    -------
    Tensor of the same type, shape (C, H, W)
        A copy.
    """
    import torch

    return torch.from_numpy(np.array(image.transpose(2, 0, 1), order="C"))


def as_float(values: "torch.Tensor") -> "torch.Tensor":
    """Images of 8 bits as the network sees them, made on the device that they are on.

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
    data_range: float,
    span: tuple[float, float] | None = None,
) -> np.ndarray:
    """A network's output as an image: the one rule of clipping and rounding.

    Parameters
    ----------
    values : Tensor or ndarray of floating point, shape (C, H, W)
        data range 1; left as it is.
    dtype : dtype
        Of the result. Whole numbers are rounded to nearest.
    data_range : float
        The data range of the result.
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
        span = (0.0, data_range)
    result = np.empty((*values.shape[1:], values.shape[0]), dtype)
    for number, channel in enumerate(values):  # one at a time: a large image's copies would fill the memory
        if not np.isfinite(channel).all():
            count = np.count_nonzero(~np.isfinite(values))
            raise NonFiniteError(f"{count} of an image's {values.size} values are NaN or infinite")
        exact = channel.astype(np.float64) if dtype.itemsize > 2 and dtype.kind != "f" else channel
        scaled = exact * data_range if data_range != 1 else exact
        scaled = scaled if span is None else np.clip(scaled, *_within(span, dtype))
        result[..., number] = scaled if dtype.kind == "f" else np.rint(scaled)
    return result


def to_uint8(values: "torch.Tensor | np.ndarray") -> np.ndarray:
    """`from_float` to 8 bits: clip to [0, 1], times 255, round to nearest.

    Parameters
    ----------
    values : Tensor or ndarray of floating point, shape (C, H, W)
        data range 1; left as it is.

    Returns
    -------
    ndarray of uint8, shape (H, W, C)

    Raises
    ------
    NonFiniteError
        When a value is NaN or infinite.
    """
    return from_float(values, np.uint8, 255)


def span_of(image: np.ndarray, data_range: float) -> tuple[float, float]:
    """The range that an image's result is clipped to.

    Parameters
    ----------
    image : ndarray
        Of any shape.
    data_range : float
        The data range of it.

    Returns
    -------
    (float, float)
        From black to white; farther where the image itself goes farther, as reflectances of clouds do.
    """
    if not image.size:
        return 0.0, data_range
    return min(0.0, float(image.min())), max(data_range, float(image.max()))


def _within(span: tuple[float, float], dtype: np.dtype) -> tuple[float, float]:
    """A range, no wider than what the type holds."""
    if dtype.kind == "f":
        return span
    limits = np.iinfo(dtype)
    high = float(limits.max)
    if high > limits.max:  # of 64 bits: as a float it is one more, which wraps around
        high = float(np.nextafter(high, 0))
    return max(span[0], float(limits.min)), min(span[1], high)
