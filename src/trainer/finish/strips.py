"""Process noisy and denoised images in strips, which bounds the memory for large images.

Shape letters: H rows, W columns, C channels.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

EDGE = 16
"""Edge of the squares used for statistics, px; strips begin at multiples of it."""

_VALUES = 2**22

Denoise = Callable[[np.ndarray], np.ndarray]
"""Denoises an image (H, W, C), float32 of data range 1."""


@dataclass(frozen=True)
class Pair:
    """A noisy image and its denoised version."""

    noisy: np.ndarray
    """(H, W, C) integers or floats, as stored."""
    denoised: np.ndarray
    """(H, W, C) float32, data range 1."""
    data_range: float
    """The data range of `noisy`."""
    step: float
    """Distance between adjacent values of `noisy`, scaled to data range 1; 0 for floating-point images."""
    denoise: Denoise | None = None
    """Denoises other images of these channels."""

    def strip(self, top: int, bottom: int) -> tuple[np.ndarray, np.ndarray]:
        """Return rows `top` to `bottom` of both images, float32 of data range 1."""
        rows = self.noisy[top:bottom].astype(np.float32)
        return rows / np.float32(self.data_range), self.denoised[top:bottom]

    def places(self, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return squares of `EDGE` px of both images, (P, N, C) float32, at corners (P, 2)."""
        within = np.arange(EDGE)
        rows = corners[:, 0, None, None] + within[:, None]
        columns = corners[:, 1, None, None] + within
        noisy, denoised = (
            values[rows, columns].reshape(len(corners), EDGE * EDGE, -1).astype(np.float32)
            for values in (self.noisy, self.denoised)
        )
        return noisy / np.float32(self.data_range), denoised

    @cached_property
    def strips(self) -> list[tuple[int, int]]:
        """First row and end of each strip."""
        height, width, channels = self.noisy.shape
        rows = max(1, _VALUES // (width * channels * EDGE)) * EDGE
        return [(top, min(top + rows, height)) for top in range(0, height, rows)]

    def strips_with(self, margin: int) -> Iterator[tuple[int, int, int, int]]:
        """Yield first row and end of each strip, then those with `margin` more rows on either side."""
        height = len(self.noisy)
        for top, bottom in self.strips:
            yield top, bottom, max(0, top - margin), min(height, bottom + margin)

    def clipped(self, noisy: np.ndarray) -> np.ndarray:
        """Return which values of a strip may have been clipped at black or white."""
        if not self.step:
            return np.zeros(noisy.shape, bool)
        return (noisy <= 0) | (noisy >= 1)
