"""Missing values: they are filled in for the network and restored in the result."""

from typing import NamedTuple

import numpy as np


class Holes(NamedTuple):
    """The missing values of an image.

    Attributes
    ----------
    where : ndarray of bool, shape (H, W, 1) or (H, W, C)
        True where a value is missing, in all channels or in each separately.
    number : float
        The number that marks missing values; it may be NaN.
    """

    where: np.ndarray
    number: float

    def put_into(self, pixels: np.ndarray) -> np.ndarray:
        """Return a copy of the pixels (H, W, C) with the number at the missing values, and only there."""
        pixels = pixels.copy()
        measured = (pixels == self.number).all(axis=2)
        if measured.any():  # such as black if 0 marks missing values: change one channel to the next value
            pixels[measured, 0] = _next_to(self.number, pixels.dtype)
        np.copyto(pixels, self.number, casting="unsafe", where=self.where)
        return pixels


def without_holes(pixels: np.ndarray, number: float | None) -> tuple[np.ndarray, Holes | None]:
    """Fill in the pixels that a number marks as missing, see `filled`.

    Parameters
    ----------
    pixels : ndarray, shape (H, W, C)
        The pixels.
    number : float or None
        The number, or None if there are no missing values.

    Returns
    -------
    (ndarray, Holes or None)
        The filled pixels and the missing ones, which have the number in all channels. None if the type does
        not have the number.
    """
    if number is None or not _fits(number, pixels.dtype):
        return pixels, None
    if pixels.dtype.kind == "f":  # rounded, as in the file
        with np.errstate(over="ignore"):
            number = float(pixels.dtype.type(number))
    missing = np.isnan(pixels) if np.isnan(number) else pixels == number
    where = missing.all(axis=2, keepdims=True)  # in one channel it may be a value, such as 0 in shadows
    return filled(pixels, where), Holes(where, number)


def without_nan(pixels: np.ndarray) -> tuple[np.ndarray, Holes | None]:
    """Fill in NaN in each channel of the pixels (H, W, C), see `filled`; None if there is no NaN."""
    where = np.isnan(pixels)
    return (filled(pixels, where), Holes(where, np.nan)) if where.any() else (pixels, None)


def filled(pixels: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Fill in missing values by a smooth continuation of their surroundings, in each channel.

    Parameters
    ----------
    pixels : ndarray, shape (H, W, C)
        The pixels. Non-finite values are not used for the continuation.
    missing : ndarray of bool, shape (H, W, 1) or (H, W, C)
        True where a value is missing.

    Returns
    -------
    ndarray
        Of the same type and shape; a copy if anything is missing. A channel without known values gets the
        mean of the others, an image without any 0.

    References
    ----------
    Pull-push: S. J. Gortler et al., "The Lumigraph", SIGGRAPH 1996. https://doi.org/10.1145/237170.237200
    """
    if not missing.any():
        return pixels
    known = np.isfinite(pixels) & ~missing
    values = np.where(known, pixels, 0).astype(np.result_type(pixels.dtype, np.float32), copy=False)
    continued = _continued(values, known)
    result = pixels.copy()
    exact = pixels.dtype.kind == "f"
    np.copyto(result, continued if exact else np.rint(continued), casting="unsafe", where=missing)
    return result


def _continued(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Fill unknown values (given as 0) from the same image at half the size, recursively."""
    if known.all():
        return values
    height, width = values.shape[:2]
    if height == width == 1:
        return np.where(known, values, values[known].mean() if known.any() else 0)
    count = _summed(known.astype(values.dtype))
    coarse = _continued(_summed(values) / np.maximum(count, 1), count > 0)
    coarse = _doubled(_doubled(coarse)[:height].swapaxes(0, 1))[:width].swapaxes(0, 1)
    return np.where(known, values, coarse)


def _summed(values: np.ndarray) -> np.ndarray:
    """Sum blocks of 2 x 2 px; at odd lower and right borders the blocks are smaller."""
    rows = values[::2].copy()
    rows[: len(values) // 2] += values[1::2]
    sums: np.ndarray = rows[:, ::2].copy()
    sums[:, : values.shape[1] // 2] += rows[:, 1::2]
    return sums


def _doubled(values: np.ndarray) -> np.ndarray:
    """Double the number of rows by linear interpolation."""
    before, after = np.concatenate([values[:1], values[:-1]]), np.concatenate([values[1:], values[-1:]])
    rows = np.stack([0.75 * values + 0.25 * before, 0.75 * values + 0.25 * after], axis=1)
    return rows.reshape(-1, *values.shape[1:])


def _fits(number: float, dtype: np.dtype) -> bool:
    if dtype.kind == "f":
        return True
    return number.is_integer() and np.iinfo(dtype).min <= number <= np.iinfo(dtype).max


def _next_to(number: float, dtype: np.dtype) -> float:
    towards_0 = -1 if number > 0 else 1
    if dtype.kind == "f":
        return float(np.nextafter(dtype.type(number), dtype.type(towards_0 * np.inf)))
    return number + towards_0
