"""Make images smaller by whole factors.

Shape letters: H rows, W columns, C channels, h and w rows and columns of the smaller image.
"""

import cv2
import numpy as np

from src.util.images.light import from_light, to_light


def shrink(image: np.ndarray, edge: int) -> np.ndarray:
    """Return the means (h, w, C) of an image over squares of `edge` px; at the border of what is inside."""
    height, width, channels = image.shape
    missing = -height % edge, -width % edge
    if any(missing):
        image = np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
    size = image.shape[1] // edge, image.shape[0] // edge
    # For whole squares INTER_AREA is the mean, ten times faster than NumPy.
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], channels)


def half_size(image: np.ndarray, gamma: float) -> np.ndarray:
    """Return the means (h, w, C) of an image over squares of 2 px, in light of exponent `gamma`."""
    return from_light(shrink(to_light(image, gamma), 2), gamma)
