"""Values that are missing: no network sees what stands for them, nor changes it."""

from typing import NamedTuple

import numpy as np


class Holes(NamedTuple):
    """Where values are missing, and the number that stands for them.

    Attributes
    ----------
    where : ndarray of bool, shape (H, W, 1) or (H, W, C)
        In all channels, or in each for itself.
    number : float
        May be NaN.
    """

    where: np.ndarray
    number: float

    def put_into(self, pixels: np.ndarray) -> np.ndarray:
        """A copy of the pixels (H, W, C) with the number where values are missing, and nowhere else."""
        pixels = pixels.copy()
        measured = (pixels == self.number).all(axis=2)
        if measured.any():  # by chance, as black is beside a missing 0: in one channel the next value
            pixels[measured, 0] = _next_to(self.number, pixels.dtype)
        np.copyto(pixels, self.number, casting="unsafe", where=self.where)
        return pixels


def without_holes(pixels: np.ndarray, number: float | None) -> tuple[np.ndarray, Holes | None]:
    """Fill in what a file says is missing.

    Parameters
    ----------
    pixels : ndarray, shape (H, W, C)
        Left as they are.
    number : float or None
        That stands for missing values; None = there are none.

    Returns
    -------
    (ndarray, Holes or None)
        Pixels with values from around (see `filled`) where all channels were missing, and where that is. None
        where the type has no such number.
    """
    if number is None or not _fits(number, pixels.dtype):
        return pixels, None
    if pixels.dtype.kind == "f":  # the file holds it rounded
        with np.errstate(over="ignore"):
            number = float(pixels.dtype.type(number))
    missing = np.isnan(pixels) if np.isnan(number) else pixels == number
    where = missing.all(axis=2, keepdims=True)  # in some channels alone it may be a value, as 0 is in shadows
    return filled(pixels, where), Holes(where, number)


def without_nan(pixels: np.ndarray) -> tuple[np.ndarray, Holes | None]:
    """Fill in NaN, in each channel for itself.

    Parameters
    ----------
    pixels : ndarray, shape (H, W, C)
        Of any type; left as they are.

    Returns
    -------
    (ndarray, Holes or None)
        Pixels with values from around (see `filled`) for NaN, and where that was; as given and None where
        there is none.
    """
    where = np.isnan(pixels)
    return (filled(pixels, where), Holes(where, np.nan)) if where.any() else (pixels, None)


def filled(pixels: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Pixels with a smooth continuation of what lies around where values are missing.

    Parameters
    ----------
    pixels : ndarray, shape (H, W, C)
        Left as they are. What is not finite is not continued.
    missing : ndarray of bool, shape (H, W, 1) or (H, W, C)
        Where.

    Returns
    -------
    ndarray
        Of the same type and shape; a copy where anything is missing. Each channel is continued for itself,
        within its own values; one of which nothing is known gets the mean of the others, an image of which
        nothing is known 0.

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
    """Values, 0 where they are not known, with what the same image at half the size has there."""
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
    """Sums of squares of 2 x 2 px, at the far borders of what there is of them."""
    rows = values[::2].copy()
    rows[: len(values) // 2] += values[1::2]
    sums: np.ndarray = rows[:, ::2].copy()
    sums[:, : values.shape[1] // 2] += rows[:, 1::2]
    return sums


def _doubled(values: np.ndarray) -> np.ndarray:
    """Twice as many rows, linear between those that there are."""
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
