"""Images and where they come from: what every dataset offers."""

import hashlib
import os
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from src.util.errors import DataError
from src.util.images.io import ImageInfo
from src.util.seed import numpy_generator


class Box(NamedTuple):
    """A rectangle of an image, counted from 0, in px."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class Image:
    """A noisy image and, where it is known, the clean one.

    Attributes
    ----------
    name : str
        Unique in its source.
    noisy : ndarray of uint8 or float32, shape (H, W, C)
        0 to 255 if uint8; float32 of data range 1.
    clean : ndarray or None
        Of the same shape; None where there is no ground truth.
    dtype : str
        Type that the values had in their file, to which results are rounded.
    white, clean_data_range : float or None
        The data ranges of the files of `noisy` and `clean`; as a source gives them, where their
        headers say so, see `ImageInfo.data_range`.
    """

    name: str
    noisy: np.ndarray
    clean: np.ndarray | None = None
    dtype: str = "uint8"
    data_range: float | None = None
    clean_data_range: float | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in px."""
        return self.noisy.shape[0], self.noisy.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of all its values."""
        return self.noisy.nbytes + (0 if self.clean is None else self.clean.nbytes)

    def map(self, change: Callable[[np.ndarray], np.ndarray]) -> "Image":
        """The same change made to noisy and clean."""
        clean = None if self.clean is None else change(self.clean)
        return replace(self, noisy=change(self.noisy), clean=clean)

    def crop(self, box: Box) -> "Image":
        """The part inside the box."""
        rows, columns = slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)
        return self.map(lambda values: values[rows, columns])

    def turn(self, quarters: int) -> "Image":
        """Turned anticlockwise by so many quarters."""
        return self.map(lambda values: np.rot90(values, quarters))


class Source(Protocol):
    """Named images. A source has no randomness and can be sent to loader workers.

    A class that inherits from it sets `where` and writes `__len__`, `name` and `read`; what else it leaves
    out is as it stands here.
    """

    where: str
    """The folder or file they come from, for messages."""

    @abstractmethod
    def __len__(self) -> int:
        """How many images there are."""

    @abstractmethod
    def name(self, number: int) -> str:
        """The name of an image, unique in the source."""

    @abstractmethod
    def read(self, number: int) -> Image:
        """The image itself.

        Raises
        ------
        DataError
            When it, or its clean partner, is missing, damaged or of the wrong kind.
        """

    def inspect(self, number: int) -> ImageInfo:
        """Size and channels of an image; a source that knows them without decoding it is faster.

        Raises
        ------
        DataError
            As `read`.
        """
        noisy = self.read(number).noisy
        height, width, channels = noisy.shape
        return ImageInfo(height, width, channels, dtype=noisy.dtype.name)

    def origin(self, number: int) -> tuple[str, ...]:
        """What an image is made from, noisy and, where it is known, clean; see `stamp`.

        As long as this stays the same, so does the image: by it, a cache knows whether it is still right.
        A source that tells it without reading the image saves one reading of all at each start.
        """
        image = self.read(number)
        values = [image.noisy] if image.clean is None else [image.noisy, image.clean]
        return tuple(hashlib.sha256(each.tobytes()).hexdigest() for each in values)


@runtime_checkable
class CropSource(Source, Protocol):
    """A source that reads a part of an image without reading all of it."""

    @abstractmethod
    def read_crop(self, number: int, box: Box) -> Image:
        """The part of an image inside the box."""


@runtime_checkable
class DrawnSource(Source, Protocol):
    """A source that makes its images up, new ones in each epoch of a training."""

    @abstractmethod
    def draw(self, number: int, rng: np.random.Generator) -> Image:
        """Make up an image, a function of the random numbers alone."""

    def read(self, number: int) -> Image:
        """The image that stands for the first epoch's."""
        return self.draw(number, numpy_generator(number))


def place_of(where: str, name: str) -> str:
    """Where an image is, for messages: a source that is one file is not said twice."""
    return where if where.endswith(name) else f"{where}: {name}"


def stamp(path: Path, *how: object) -> str:
    """A file's path, size and time of change, and what is made of it."""
    status = path.stat()
    return f"{os.path.abspath(path)} {status.st_size} {status.st_mtime_ns} {how}"


def as_prepared_elsewhere(folder: Path) -> Path:
    """The folder's `RN`, where AP-BSN's preparation puts real noisy pieces; without one the folder itself."""
    return folder / "RN" if (folder / "RN").is_dir() else folder


def expect_folder(data_dir: str, content: str, page: str) -> Path:
    """The folder of a published dataset.

    Parameters
    ----------
    data_dir : str
        Where it should be.
    content, page : str
        What belongs there, and where to get it, for the message.

    Returns
    -------
    Path

    Raises
    ------
    DataError
        When there is no such folder, or nothing in it.
    """
    path = Path(data_dir)
    if not path.is_dir() or next(path.iterdir(), None) is None:
        found = "the folder is empty" if path.is_dir() else "no such folder"
        raise DataError(f"{data_dir}: {found}; put {content} there ({page}), or set `data_dir`")
    return path
