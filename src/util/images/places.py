"""Square places of an image, and the noise in them without its slope.

Shape letters: H rows, W columns, C channels, P places, E edge of a place in px.
"""

import math
from functools import lru_cache

import numpy as np


def cut_places(image: np.ndarray, edge: int) -> np.ndarray:
    """Cut an image (H, W, C) into places (P, C, E * E) of `edge` px; drop what is left right and below."""
    rows, columns = (length // edge for length in image.shape[:2])
    places = image[: rows * edge, : columns * edge].reshape(rows, edge, columns, edge, image.shape[2])
    return places.transpose(0, 2, 4, 1, 3).reshape(rows * columns, image.shape[2], edge * edge)


def remove_plane(places: np.ndarray) -> np.ndarray:
    """Subtract from each place (..., E * E) the plane that fits it best in the least-squares sense."""
    planes = _planes(math.isqrt(places.shape[-1]))
    return places - (places @ planes) @ planes.T


@lru_cache
def _planes(edge: int) -> np.ndarray:
    """Return orthonormal planes (E * E, 3): constant, rising along columns, rising along rows."""
    rows, columns = np.mgrid[:edge, :edge] - (edge - 1) / 2
    planes = np.stack([np.ones(edge * edge), rows.ravel(), columns.ravel()], axis=1)
    return (planes / np.linalg.norm(planes, axis=0)).astype(np.float32)
