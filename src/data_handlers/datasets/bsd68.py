"""BSD68: clean grey images that get simulated noise.

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

_LUMINANCE = np.array([0.299, 0.587, 0.114])  # of R, G, B; ITU-R BT.601, with which the set was made grey


def bsd68_train(
    data_dir: Annotated[str, Field(description="folder of clean training images")] = "datasets/BSD68_train",
) -> "Grey":
    """Training images, without the 68 of the test; `add_noise` makes them noisy."""
    return _grey_folder(data_dir)


def bsd68_val(
    data_dir: Annotated[str, Field(description="folder of clean validation images")] = "datasets/BSD68_val",
) -> "Grey":
    """Validation images, without the 68 of the test; `add_noise` makes them noisy."""
    return _grey_folder(data_dir)


def bsd68_test(
    data_dir: Annotated[str, Field(description="folder of the 68 clean test images")] = "datasets/BSD68_test",
) -> "Grey":
    """The 68 test images; `add_noise` makes them noisy."""
    return _grey_folder(data_dir)


def _grey_folder(data_dir: str) -> "Grey":
    expect_folder(data_dir, "clean images of the Berkeley set", PAGE)
    return Grey(Folder(data_dir))


class Grey(Source):
    """The images of another source as luminance.

    Parameters
    ----------
    source : Source
        Of 8-bit images, grey or RGB.
    """

    def __init__(self, source: Source) -> None:
        self.where = source.where
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def name(self, number: int) -> str:
        """As in the other source."""
        return self._source.name(number)

    def inspect(self, number: int) -> ImageInfo:
        """As in the other source, but for one channel."""
        info = self._source.inspect(number)
        if info.channels not in (1, 3):
            name = f"{self.where}: {self.name(number)}"
            raise DataError(f"{name}: expected a grey or RGB image, got {info.channels} channels")
        return replace(info, channels=1)

    def read(self, number: int) -> Image:
        """The image's luminance, 0 to 255."""
        return self._source.read(number).map(_luminance)

    def origin(self, number: int) -> tuple[str, ...]:
        """As in the other source, of which luminance is made; see `Source`."""
        return tuple(f"luminance of {origin}" for origin in self._source.origin(number))


def _luminance(image: np.ndarray) -> np.ndarray:
    if image.shape[2] == 1:
        return image
    luminance = image @ _LUMINANCE
    luminance = luminance if image.dtype.kind == "f" else np.rint(luminance)
    return luminance.astype(image.dtype)[..., np.newaxis]
