"""BSD68: clean grey images, to which simulated noise is added.

Martin, Fowlkes, Tal, Malik: A database of human segmented natural images. ICCV 2001.
https://doi.org/10.1109/ICCV.2001.937655
"""

from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import Field

from src.data_handlers.datasets.base import Image, Source, expect_folder
from src.data_handlers.datasets.folder import Folder
from src.util.errors import DataError
from src.util.images.io import ImageInfo

PAGE = "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/bsds/"

_LUMINANCE = np.array([0.299, 0.587, 0.114])  # of R, G, B; BSD68 was converted to grey with ITU-R BT.601


def bsd68_train(
    data_dir: Annotated[str, Field(description="folder of clean training images")] = "datasets/BSD68_train",
) -> "Grey":
    """Read the training images, without the 68 test images; `add_noise` makes them noisy."""
    return _grey_folder(data_dir)


def bsd68_val(
    data_dir: Annotated[str, Field(description="folder of clean validation images")] = "datasets/BSD68_val",
) -> "Grey":
    """Read the validation images, without the 68 test images; `add_noise` makes them noisy."""
    return _grey_folder(data_dir)


def bsd68_test(
    data_dir: Annotated[str, Field(description="folder of the 68 clean test images")] = "datasets/BSD68_test",
) -> "Grey":
    """Read the 68 test images; `add_noise` makes them noisy."""
    return _grey_folder(data_dir)


def _grey_folder(data_dir: str) -> "Grey":
    expect_folder(data_dir, "clean images of the Berkeley set", PAGE)
    return Grey(Folder(data_dir))


class Grey(Source):
    """The luminance of another source's images.

    Parameters
    ----------
    source : Source
        Source of grey or RGB images.
    """

    def __init__(self, source: Source) -> None:
        self.where = source.where
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def name(self, number: int) -> str:
        """Return the name of the image."""
        return self._source.name(number)

    def inspect(self, number: int) -> ImageInfo:
        """Return the size of the image, which has one channel."""
        info = self._source.inspect(number)
        if info.channels not in (1, 3):
            name = f"{self.where}: {self.name(number)}"
            raise DataError(f"{name}: expected a grey or RGB image, got {info.channels} channels")
        return replace(info, channels=1)

    def read(self, number: int) -> Image:
        """Return the luminance of the image."""
        return self._source.read(number).map(_luminance)

    def origin(self, number: int) -> tuple[str, ...]:
        """Return what the luminance is computed from; see `Source`."""
        return tuple(f"luminance of {origin}" for origin in self._source.origin(number))


def _luminance(image: np.ndarray) -> np.ndarray:
    if image.shape[2] == 1:
        return image
    luminance = image @ _LUMINANCE
    luminance = luminance if image.dtype.kind == "f" else np.rint(luminance)
    return luminance.astype(image.dtype)[..., np.newaxis]
