"""Images of several types, kept decoded in a cache of the test."""

import numpy as np
import pytest

from src.data_handlers.datasets.folder import Folder
from src.data_handlers.samples.cache import cached
from src.data_handlers.samples.view import View

SHAPES = {"a.png": (40, 50, 3), "b.png": (36, 36, 1), "in/c.bmp": (60, 33, 3)}


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    return tmp_path / "caches" / "nl-n2v"


@pytest.fixture
def folder(tmp_path, fill_folder):
    """Make images of several data types and sizes."""
    path = fill_folder(tmp_path / "images", SHAPES)
    rng = np.random.default_rng(1)
    np.save(tmp_path / "images" / "d.npy", rng.random((44, 35, 3), np.float32))
    np.save(tmp_path / "images" / "e.npy", rng.integers(0, 65536, (35, 44), dtype=np.uint16))
    return path


class Counting(Folder):
    """A folder that records which images are decoded."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.reads = []

    def read(self, number):
        self.reads.append(number)
        return super().read(number)


def keep(source, where="disk", numbers=None, jobs=2, **options):
    return cached(source, numbers or range(len(source)), View(cache=where, **options), jobs)
