"""Values that a picture says are missing: no network sees the number that stands for them, nor changes it."""

from typing import NamedTuple

import numpy as np


class Holes(NamedTuple):
    """Where values are missing, and the number that stands for them in the file.

    Attributes
    ----------
    where : ndarray of bool, shape (H, W)
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
        pixels[self.where] = self.number
        return pixels


def without_holes(pixels: np.ndarray, number: float | None) -> tuple[np.ndarray, Holes | None]:
    """Fill in what is missing, so that it does not show in what lies around it.

    Parameters
    ----------
    pixels : ndarray, shape (H, W, C)
        Left as they are.
    number : float or None
        That stands for missing values; None = there are none.

    Returns
    -------
    (ndarray, Holes or None)
        Pixels with the mean of their channel where all channels were missing, and where that is. None where
        the type has no such number.
    """
    if number is None or not _fits(number, pixels.dtype):
        return pixels, None
    if pixels.dtype.kind == "f":  # the file holds it rounded
        with np.errstate(over="ignore"):
            number = float(pixels.dtype.type(number))
    missing = np.isnan(pixels) if np.isnan(number) else pixels == number
    where = missing.all(axis=2)  # in some channels alone it may be a value, as 0 is in shadows
    if not where.any():
        return pixels, Holes(where, number)
    means = np.zeros(pixels.shape[2]) if where.all() else pixels[~where].mean(axis=0, dtype=np.float64)
    filled = pixels.copy()
    filled[where] = means if pixels.dtype.kind == "f" else np.rint(means)
    return filled, Holes(where, number)


def _fits(number: float, dtype: np.dtype) -> bool:
    if dtype.kind == "f":
        return True
    return number.is_integer() and np.iinfo(dtype).min <= number <= np.iinfo(dtype).max


def _next_to(number: float, dtype: np.dtype) -> float:
    towards_0 = -1 if number > 0 else 1
    if dtype.kind == "f":
        return float(np.nextafter(dtype.type(number), dtype.type(towards_0 * np.inf)))
    return number + towards_0
