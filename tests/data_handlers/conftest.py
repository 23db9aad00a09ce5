import h5py
import numpy as np
import pytest
from scipy import io

from src.data_handlers.datasets.base import Image
from src.data_handlers.samples.samples import Samples
from src.data_handlers.samples.view import View
from src.util.errors import DataError
from src.util.images.io import ImageInfo, write_image

SHAPE = (2, 3, 16, 18, 3)


class Memory:
    """A source of arrays."""

    where = "memory"

    def __init__(self, noisy, clean=None, broken=()):
        self.noisy, self.clean, self.broken = noisy, clean, broken

    def __len__(self):
        return len(self.noisy)

    def name(self, number):
        return f"image {number}"

    def inspect(self, number):
        if number in self.broken:
            raise DataError(f"{self.name(number)}: broken")
        return ImageInfo(*self.noisy[number].shape)

    def read(self, number):
        self.inspect(number)
        return Image(self.name(number), self.noisy[number], self.clean and self.clean[number])

    def origin(self, number):
        return (f"{id(self)}",)


@pytest.fixture
def memory():
    return Memory


def make_samples(source, training=True, channels=3, seed=0, **options):
    """Make samples of a source, with options of `View`."""
    return Samples(source, View(**options), channels=channels, seed=seed, training=training)


@pytest.fixture
def coordinates():
    """Make an image whose values are coordinates: red is the row, green the column."""

    def make(height, width, channels=3):
        image = np.zeros((height, width, 3), np.uint8)
        image[..., 0] = np.arange(height)[:, None]
        image[..., 1] = np.arange(width)
        return image[..., :channels]

    return make


@pytest.fixture
def fill_folder():
    """Write random images of the given shapes into a folder."""

    def fill(folder, shapes):
        rng = np.random.default_rng(0)
        for name, shape in shapes.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, rng.integers(0, 256, shape, dtype=np.uint8))
        return str(folder)

    return fill


def save_mat(path, shape=SHAPE, seed=0, kind=np.uint8, name=None):
    """Write random blocks in the format of SIDD, and return the array."""
    array = np.random.default_rng(seed).integers(0, 256, shape).astype(kind)
    io.savemat(path, {name or path.stem: array}, do_compression=True)
    return array


@pytest.fixture(name="save_mat")
def _save_mat():
    return save_mat


@pytest.fixture
def blocks(tmp_path):
    """Make a folder of SIDD's files with small arrays."""
    noisy = save_mat(tmp_path / "ValidationNoisyBlocksSrgb.mat", seed=1)
    clean = save_mat(tmp_path / "ValidationGtBlocksSrgb.mat", seed=2)
    save_mat(tmp_path / "BenchmarkNoisyBlocksSrgb.mat", seed=3)
    return tmp_path, noisy, clean


@pytest.fixture
def write_info():
    """Write an `info.mat` like that of DND; `corner(image, box)` returns row and column, all from 0."""

    def write(folder, corner=lambda image, box: (box, image)):
        with h5py.File(folder / "info.mat", "w", userblock_size=512) as file:
            references = file.create_dataset("info/boundingboxes", (1, 50), h5py.ref_dtype)
            for image in range(50):
                corners = np.array([corner(image, box) for box in range(20)], float)
                name = f"boxes/{image + 1:04d}"
                file[name] = np.concatenate([corners + 1, corners + 512], axis=1).T
                references[0, image] = file[name].ref
        return folder / "info.mat"

    return write


@pytest.fixture
def write_dnd_image():
    """Write an image in the format of DND, and return its path and the image (H, W, 3)."""

    def write(path, size, seed=0):
        path.parent.mkdir(exist_ok=True)
        image = np.random.default_rng(seed).random((*size, 3), dtype=np.float32)
        with h5py.File(path, "w", userblock_size=512) as file:
            file.create_dataset("InoisySRGB", data=image.transpose(2, 1, 0), chunks=True, compression=3)
        return path, image

    return write
