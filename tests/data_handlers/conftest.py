import numpy as np
import pytest

from src.data_handlers.base import Picture
from src.util.errors import DataError
from src.util.image_io import PictureInfo, write_picture


class Memory:
    """A source of arrays."""

    where = "memory"

    def __init__(self, noisy, clean=None, broken=()):
        self.noisy, self.clean, self.broken = noisy, clean, broken

    def __len__(self):
        return len(self.noisy)

    def name(self, number):
        return f"picture {number}"

    def inspect(self, number):
        if number in self.broken:
            raise DataError(f"{self.name(number)}: broken")
        return PictureInfo(*self.noisy[number].shape)

    def read(self, number):
        self.inspect(number)
        return Picture(self.name(number), self.noisy[number], self.clean and self.clean[number])


@pytest.fixture
def memory():
    return Memory


def places(height, width, channels=3):
    """A picture whose every value tells where it comes from: red its row, green its column."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0] = np.arange(height)[:, None]
    picture[..., 1] = np.arange(width)
    return picture[..., :channels]


@pytest.fixture
def make_places():
    return places


@pytest.fixture
def fill_folder():
    """Write random pictures of the given shapes into a folder."""

    def fill(folder, shapes):
        random = np.random.default_rng(0)
        for name, shape in shapes.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_picture(path, random.integers(0, 256, shape, dtype=np.uint8))
        return str(folder)

    return fill
