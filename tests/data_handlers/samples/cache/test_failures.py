"""The cache with concurrent runs, killed runs, full disks and broken images."""

import multiprocessing
import os
import pickle
import signal
import time
from collections import namedtuple

import numpy as np
import pytest

from src.data_handlers.datasets.folder import Folder
from src.data_handlers.samples import cache
from src.data_handlers.samples.cache import Cached
from src.util.errors import ConfigError, DataError
from src.util.images.io import write_image
from tests.data_handlers.samples.cache.conftest import Counting, keep

# Concurrent and killed runs


def test_a_reader_keeps_its_images_when_another_run_replaces_the_cache(folder):
    kept = keep(Folder(folder))
    before = kept.read(0).noisy.copy()
    write_image(f"{folder}/a.png", np.full((40, 50, 3), 7, np.uint8))
    assert (keep(Folder(folder)).read(0).noisy == 7).all()
    assert np.array_equal(kept.read(0).noisy, before)
    assert np.array_equal(pickle.loads(pickle.dumps(kept)).read(0).noisy, before)


def test_two_runs_at_once_decode_once(folder, caches):
    class Slow(Counting):
        def read(self, number):
            time.sleep(0.1)
            return super().read(number)

    def run(results):
        source = Slow(folder)
        kept = keep(source, jobs=1)
        results.put((len(source.reads), int(kept.read(0).noisy.sum())))

    context = multiprocessing.get_context("fork")
    results = context.Queue()
    runs = [context.Process(target=run, args=(results,)) for _ in range(2)]
    for process in runs:
        process.start()
    found = sorted(results.get(timeout=60) for _ in runs)
    for process in runs:
        process.join()
    assert [reads for reads, _ in found] == [0, 5]
    assert {total for _, total in found} == {int(Folder(folder).read(0).noisy.sum())}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_leaves_no_cache(folder, caches, number):
    class Deadly(Folder):
        def read(self, image):
            if image == 3:
                os.kill(os.getpid(), number)
            return super().read(image)

    process = multiprocessing.get_context("fork").Process(target=lambda: keep(Deadly(folder), jobs=1))
    process.start()
    process.join(60)
    assert process.exitcode == -number
    assert list(caches.glob("*.pictures")) == [] and len(list(caches.glob(".*.tmp"))) == 1
    source = Counting(folder)
    keep(source)
    assert len(source.reads) == 5 and list(caches.glob(".*.tmp")) == []


def test_ctrl_c_while_decoding_leaves_no_cache(folder, caches):
    class Interrupted(Folder):
        def read(self, image):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keep(Interrupted(folder))
    assert [path.name for path in caches.iterdir() if not path.name.endswith(".lock")] == []


# No space


Usage = namedtuple("Usage", "free")


@pytest.mark.parametrize(
    ("where", "free", "reason"),
    [
        ("disk", 1000, "it needs 0.0 MB, but may use only 0.0 MB of the disk of "),
        ("ram", 1000, "it needs 0.0 MB, but may use only 0.0 MB of the memory"),
    ],
)
def test_a_cache_that_does_not_fit_is_not_started(folder, caches, messages, monkeypatch, where, free, reason):
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: Usage(free))
    monkeypatch.setattr(cache, "available_memory", lambda: free)
    source = Counting(folder)
    assert keep(source, where) is source and source.reads == []
    assert messages[-1].startswith(f"WARNING cache: {where} is not used, images are decoded for each crop")
    assert reason in messages[-1] and len(messages) == 1
    assert not list(caches.glob("*.pictures"))


def test_without_space_on_disk_the_source_is_used(folder, caches, messages, monkeypatch):
    original = cache.PackWriter.add

    def add(self, number, *arrays):
        if number == 2:
            raise OSError(28, "No space left on device")
        original(self, number, *arrays)

    monkeypatch.setattr(cache.PackWriter, "add", add)
    source = Folder(folder)
    assert keep(source) is source
    assert "No space left on device" in messages[-1]
    assert [path.name for path in caches.iterdir() if not path.name.endswith(".lock")] == []


def test_without_a_writable_folder_the_source_is_used(folder, tmp_path, messages):
    (tmp_path / "file").write_text("")
    source = Folder(folder)
    assert keep(source, cache_folder=str(tmp_path / "file" / "cache")) is source
    assert "Not a directory" in messages[-1]


def test_the_cache_may_not_be_among_the_images(folder, tmp_path):
    for inside in (folder, f"{folder}/in/cache"):
        with pytest.raises(ConfigError, match=r"^cache_folder: .* is inside the folder of the images"):
            keep(Folder(folder), cache_folder=inside)
    keep(Folder(folder), cache_folder=str(tmp_path / "elsewhere"))
    assert len(list((tmp_path / "elsewhere").glob("*.pictures"))) == 1


# Images that cannot be decoded


class Broken(Counting):
    def read(self, number):
        if number in (1, 3):
            raise DataError(f"{self.name(number)}: broken")
        return super().read(number)


def test_images_that_cannot_be_decoded_are_all_named_before_the_first_step(folder, caches):
    with pytest.raises(DataError) as caught:
        keep(Broken(folder))
    assert str(caught.value).splitlines() == ["b.png: broken", "e.npy: broken"]
    assert not list(caches.glob("*.pictures"))


def test_skipped_images_are_left_to_the_source(folder):
    keep(Broken(folder), unreadable="skip")
    source = Broken(folder)
    kept = keep(source, unreadable="skip")
    assert isinstance(kept, Cached) and source.reads == []
    assert kept.read(0).shape == (40, 50)
    with pytest.raises(DataError, match="broken"):
        kept.read(1)
