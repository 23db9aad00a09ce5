"""Scale image values by their data range to the network's [0, 1] and back; values outside are kept."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike

from src.util.errors import NonFiniteError
from src.util.images.value_range import data_range_of

if TYPE_CHECKING:  # PyTorch takes 200 MB and two seconds, and the preparation does not need it
    import torch


def to_float(image: np.ndarray, data_range: float | None = None) -> "torch.Tensor":
    """Convert an image to the network's input.

    Parameters
    ----------
    image : ndarray of integer or floating-point type, shape (H, W, C)
        The image.
    data_range : float, optional
        The data range. Default: 255 for uint8, 65535 for uint16, 1.0 for floating point.

    Returns
    -------
    Tensor of float32, shape (C, H, W)
        A copy, data range 1.
    """
    import torch

    data_range = data_range_of(image.dtype) if data_range is None else data_range
    values = torch.from_numpy(np.array(image.transpose(2, 0, 1), dtype=np.float32, order="C"))
    return values if data_range == 1 else values.div_(data_range)


def as_tensor(image: np.ndarray) -> "torch.Tensor":
    """Convert an image to a tensor of the same type, which `as_float` converts on its device.

    Parameters
    ----------
    image : ndarray of uint8, or of float32 with data range 1; shape (H, W, C)
        The image.

    Returns
    -------
    Tensor of the same type, shape (C, H, W)
        A copy.
    """
    import torch

    return torch.from_numpy(np.array(image.transpose(2, 0, 1), order="C"))


def as_float(values: "torch.Tensor") -> "torch.Tensor":
    """Convert 8-bit images to the network's input, on the device that they are on.

    Parameters
    ----------
    values : Tensor of uint8 or float32, of any shape
        float32 is returned unchanged.

    Returns
    -------
    Tensor of float32
        Data range 1; the same bits on every device.
    """
    import torch

    if values.dtype != torch.uint8:
        return values
    # Divided by a tensor: a GPU multiplies by the reciprocal of a plain number, which rounds differently.
    return values.to(torch.float32).div_(torch.full((), 255.0, device=values.device))


def from_float(
    values: "torch.Tensor | np.ndarray",
    dtype: DTypeLike,
    data_range: float,
    span: tuple[float, float] | None = None,
) -> np.ndarray:
    """Convert a network's output to an image: scale, clip and round.

    Parameters
    ----------
    values : Tensor or ndarray of floating point, shape (C, H, W)
        Data range 1.
    dtype : dtype
        The result's type. Integers are rounded to nearest.
    data_range : float
        The data range of the result.
    span : (float, float), optional
        Smallest and largest value of the result, see `span_of`. Default: [0, data_range] for integers, no
        limits for floating point.

    Returns
    -------
    ndarray of `dtype`, shape (H, W, C)

    Raises
    ------
    NonFiniteError
        When a value is NaN or infinite.
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
    for number, channel in enumerate(values):  # one by one, since copies of a large image fill the memory
        if not np.isfinite(channel).all():
            count = np.count_nonzero(~np.isfinite(values))
            raise NonFiniteError(f"{count} of an image's {values.size} values are NaN or infinite")
        exact = channel.astype(np.float64) if dtype.itemsize > 2 and dtype.kind != "f" else channel
        scaled = exact * data_range if data_range != 1 else exact
        scaled = scaled if span is None else np.clip(scaled, *_within(span, dtype))
        result[..., number] = scaled if dtype.kind == "f" else np.rint(scaled)
    return result


def to_uint8(values: "torch.Tensor | np.ndarray") -> np.ndarray:
    """Convert values of shape (C, H, W) and data range 1 to an 8-bit image (H, W, C); see `from_float`."""
    return from_float(values, np.uint8, 255)


def span_of(image: np.ndarray, data_range: float) -> tuple[float, float]:
    """Return the range that the denoised image is clipped to.

    Parameters
    ----------
    image : ndarray, of any shape
        The noisy image.
    data_range : float
        Its data range.

    Returns
    -------
    (float, float)
        From 0 to the data range, extended to the image's own minimum and maximum.
    """
    if not image.size:
        return 0.0, data_range
    return min(0.0, float(image.min())), max(data_range, float(image.max()))


def _within(span: tuple[float, float], dtype: np.dtype) -> tuple[float, float]:
    """Limit a range to what the type can hold."""
    if dtype.kind == "f":
        return span
    limits = np.iinfo(dtype)
    high = float(limits.max)
    if high > limits.max:  # 64 bits: rounded up to a float, it would wrap around
        high = float(np.nextafter(high, 0))
    return max(span[0], float(limits.min)), min(span[1], high)
