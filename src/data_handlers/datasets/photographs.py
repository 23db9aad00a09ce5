"""Parts and colours of clean photographs, from which generated images are made."""

from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from src.util.errors import DataError
from src.util.images.folder import list_images
from src.util.images.io import as_channels, inspect_image, read_image, to_float, to_uint8

SHORT_SIDE = 900
"""Shorter edge in px to which photographs are reduced, which removes noise and compression artefacts."""

_MAX_DOWNSCALE = 3.0


class Photographs:
    """Reduced photographs of a folder and its subfolders, read when first used.

    Parameters
    ----------
    folder : str
        The folder.
    edge : int
        Edge of the parts in px.

    Raises
    ------
    DataError
        When there is no photograph, one is smaller than a part, or `edge` exceeds `SHORT_SIDE`.
    """

    def __init__(self, folder: str, edge: int) -> None:
        if edge > SHORT_SIDE:
            raise DataError(f"size: expected at most {SHORT_SIDE} px with photographs, got {edge}")
        self._paths = list_images(Path(folder), recursive=True)
        self._edge = edge
        for path in self._paths:
            info = inspect_image(path)
            if min(info.height, info.width) < edge or info.channels not in (1, 3):
                raise DataError(f"{path}: expected a photograph of at least {edge} px in 1 or 3 channels")

    @cached_property
    def _reduced(self) -> list[np.ndarray]:
        return [_reduced(read_image(path)) for path in self._paths]

    def part(self, rng: np.random.Generator) -> np.ndarray:
        """Return a square part at a random scale, float32 (edge, edge, 3), 0 to 1."""
        image = self._reduced[rng.integers(len(self._reduced))]
        largest = min(_MAX_DOWNSCALE, min(image.shape[:2]) / self._edge)
        edge = int(self._edge * np.exp(rng.uniform(0, np.log(largest))))
        top, left = (rng.integers(length - edge + 1) for length in image.shape[:2])
        part = image[top : top + edge, left : left + edge].astype(np.float32) / 255
        return cv2.resize(part, (self._edge, self._edge), interpolation=cv2.INTER_AREA)

    def colours(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return the colours of random pixels of one photograph, float32 (count, 3), 0 to 1."""
        image = self._reduced[rng.integers(len(self._reduced))]
        rows, columns = (rng.integers(length, size=count) for length in image.shape[:2])
        return image[rows, columns].astype(np.float32) / 255


def _reduced(image: np.ndarray) -> np.ndarray:
    """Convert a photograph to 8 bits and three channels, its shorter edge at most `SHORT_SIDE`."""
    image = as_channels(image if image.dtype == np.uint8 else to_uint8(to_float(image)), 3)
    factor = min(1.0, SHORT_SIDE / min(image.shape[:2]))
    size = round(image.shape[1] * factor), round(image.shape[0] * factor)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
