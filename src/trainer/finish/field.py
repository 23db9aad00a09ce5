"""Smooth values that are stored on a grid coarser than the image they belong to.

Shape letters: H rows, W columns, C channels, h and w rows and columns of the grid.
"""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class SmoothField:
    """A smooth function of the position in an image.

    Attributes
    ----------
    grid : ndarray of float32, shape (h, w, C)
        Its means over squares of `edge` px.
    edge : int
        Edge of the squares, px.
    shape : (int, int)
        Height and width of the image, px.
    """

    grid: np.ndarray
    edge: int
    shape: tuple[int, int]

    def rows(self, top: int, bottom: int) -> np.ndarray:
        """Return the values at rows `top` to `bottom` (H, W, C); `top` is a multiple of `edge`."""
        # With an extra grid row on either side, a strip is interpolated exactly like the whole image.
        first, last = max(0, top // self.edge - 1), min(len(self.grid), -(-bottom // self.edge) + 1)
        part = self.grid[first:last]
        size = part.shape[1] * self.edge, part.shape[0] * self.edge
        finer = cv2.resize(part, size, interpolation=cv2.INTER_LINEAR).reshape(size[1], size[0], -1)
        return finer[top - first * self.edge : bottom - first * self.edge, : self.shape[1]]

    def shrunk(self, factor: int) -> np.ndarray:
        """Return the values at the pixels of an image that is `factor` times smaller; it divides `edge`."""
        height, width = (-(-length // factor) for length in self.shape)
        return SmoothField(self.grid, self.edge // factor, (height, width)).rows(0, height)


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Return an image (H, W, C) blurred by a Gaussian of `sigma` px."""
    blurred = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    return blurred.reshape(image.shape)
