"""The interface of a dataset: images, and the sources that read them."""

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
    """A rectangle in an image, in px; row and column count from 0."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class Image:
    """A noisy image and its clean image, if known.

    Attributes
    ----------
    name : str
        Unique in its source.
    noisy : ndarray, shape (H, W, C)
        The values of the file; after `levels.scaled`, uint8 or float32 with data range 1.
    clean : ndarray, shape (H, W, C), or None
        The ground truth, or None if it is unknown.
    dtype : str
        Data type of the noisy file. Results are rounded to it.
    data_range, clean_data_range : float or None
        Data ranges of the noisy and the clean file. A source sets them if the file headers state them;
        see `ImageInfo.data_range`.
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
        """Size of both arrays in bytes."""
        return self.noisy.nbytes + (0 if self.clean is None else self.clean.nbytes)

    def map(self, change: Callable[[np.ndarray], np.ndarray]) -> "Image":
        """Apply a function to the noisy and the clean array."""
        clean = None if self.clean is None else change(self.clean)
        return replace(self, noisy=change(self.noisy), clean=clean)

    def crop(self, box: Box) -> "Image":
        """Return the part inside a box."""
        rows, columns = slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)
        return self.map(lambda values: values[rows, columns])


class Source(Protocol):
    """Named images. A source has no random state and can be pickled for loader workers.

    Subclasses set `where` and implement `__len__`, `name` and `read`. The other methods have defaults.
    """

    where: str
    """Folder or file of the images, for messages."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of images."""

    @abstractmethod
    def name(self, number: int) -> str:
        """Return the name of an image, unique in the source."""

    @abstractmethod
    def read(self, number: int) -> Image:
        """Read an image.

        Raises
        ------
        DataError
            When the image or its clean image is missing, damaged or of the wrong kind.
        """

    def inspect(self, number: int) -> ImageInfo:
        """Return size and channels of an image. Override it if they are known without decoding.

        Raises
        ------
        DataError
            As `read`.
        """
        noisy = self.read(number).noisy
        height, width, channels = noisy.shape
        return ImageInfo(height, width, channels, dtype=noisy.dtype.name)

    def origin(self, number: int) -> tuple[str, ...]:
        """Return what identifies the content of the noisy and of the clean image, if any; see `stamp`.

        A cache is valid while these texts are unchanged. Override this method if they are known without
        reading the image, which saves reading all images at each start.
        """
        image = self.read(number)
        values = [image.noisy] if image.clean is None else [image.noisy, image.clean]
        return tuple(hashlib.sha256(each.tobytes()).hexdigest() for each in values)


@runtime_checkable
class CropSource(Source, Protocol):
    """A source that can read a part of an image without reading all of it."""

    @abstractmethod
    def read_crop(self, number: int, box: Box) -> Image:
        """Read the part of an image inside a box."""


@runtime_checkable
class DrawnSource(Source, Protocol):
    """A source that generates its images, new ones in each training epoch."""

    @abstractmethod
    def draw(self, number: int, rng: np.random.Generator) -> Image:
        """Generate an image. It depends only on the random numbers."""

    def read(self, number: int) -> Image:
        """Return the image of validation and test, which is the same in every epoch."""
        return self.draw(number, numpy_generator(number))


def place_of(where: str, name: str) -> str:
    """Return the source and name of an image for messages, or only the source if it is that one file."""
    return where if where.endswith(name) else f"{where}: {name}"


def stamp(path: Path, *options: object) -> str:
    """Return a text that changes with a file's path, size, modification time, or reading options."""
    status = path.stat()
    return f"{os.path.abspath(path)} {status.st_size} {status.st_mtime_ns} {options}"


def noisy_root(folder: Path) -> Path:
    """Return the subfolder `RN`, where AP-BSN's preparation puts noisy pieces, or the folder itself."""
    return folder / "RN" if (folder / "RN").is_dir() else folder


def expect_folder(data_dir: str, content: str, page: str) -> Path:
    """Return the folder of a published dataset.

    Parameters
    ----------
    data_dir : str
        Its path.
    content, page : str
        What the folder must contain and where to get it, for the message.

    Raises
    ------
    DataError
        When the folder does not exist or is empty.
    """
    path = Path(data_dir)
    if not path.is_dir() or next(path.iterdir(), None) is None:
        found = "the folder is empty" if path.is_dir() else "no such folder"
        raise DataError(f"{data_dir}: {found}; put {content} there ({page}), or set `data_dir`")
    return path
