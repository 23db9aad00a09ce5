"""The cache: the same values as without it, and decoded again after any change."""

import os
import pickle

import numpy as np
import pytest
import torch

from src.data_handlers import DATASETS, build_samples
from src.data_handlers.datasets.base import CropSource
from src.data_handlers.datasets.folder import Folder
from src.data_handlers.datasets.noise import NoiseOptions
from src.data_handlers.loading.sampling import build_loader
from src.data_handlers.samples.cache import Cached
from src.util.images.io import as_float, write_image
from tests.data_handlers.samples.cache.conftest import SHAPES, Counting, keep


def batches(folder, workers=0, **options):
    arguments = {"data_dir": folder, "crop_size": 32, "augmentations": ["flip", "rotate"], **options}
    samples = build_samples("Folder", arguments, channels=3, seed=0, training=True)
    loader = build_loader(samples, 2, workers)
    loader.set_epoch(3)
    content = list(loader)
    loader.close()
    return content


# The same values


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("where", ["ram", "disk"])
@pytest.mark.parametrize("noise", [None, NoiseOptions()])
def test_crops_have_the_same_values_as_without_a_cache(folder, where, workers, noise):
    options = {"add_noise": noise, "repeat_times": 3}
    plain, cached = batches(folder, **options), batches(folder, workers, cache=where, **options)
    for one, other in zip(plain, cached, strict=True):
        assert one.keys() == other.keys() and one["name"] == other["name"]
        assert one["noisy"].dtype == other["noisy"].dtype and torch.equal(one["noisy"], other["noisy"])


@pytest.mark.filterwarnings("ignore:.*boxes are missing")
def test_every_registered_dataset_can_be_cached(blocks, fill_folder):
    root = blocks[0]
    images = fill_folder(root / "images", {"a.png": (20, 24, 3), "b.png": (20, 24, 3)})
    boxes = fill_folder(root / "boxes", {"0001_01.png": (20, 24, 3), "0002_20.png": (20, 24, 3)})
    for name in DATASETS.keys() - {"Generated"}:  # has new images in each epoch
        make = DATASETS[name]
        where = boxes if name in ("DND_val", "DND_test") else images
        where = str(root) if name in ("SIDD_val", "SIDD_test") else where
        source = make() if name == "Demo" else make(data_dir=where)
        kept = keep(source)
        assert isinstance(kept, CropSource) and isinstance(kept, Cached), name
        for number in range(len(source)):
            one, other = source.read(number), kept.read(number)
            assert one.name == other.name and np.array_equal(one.noisy, other.noisy)
            assert (one.clean is None) == (other.clean is None)
            info = kept.inspect(number)
            assert (info.height, info.width, info.channels) == one.noisy.shape


def test_clean_images_are_cached_too(tmp_path, fill_folder):
    noisy, clean = (fill_folder(tmp_path / name, SHAPES) for name in ("noisy", "clean"))
    kept = keep(Folder(noisy, clean))
    assert all(np.array_equal(kept.read(n).clean, Folder(clean).read(n).noisy) for n in range(3))
    # A run without clean images has another cache, and does not replace this one.
    assert keep(Folder(noisy)).read(0).clean is None
    source = Counting(noisy, clean)
    keep(source)
    assert source.reads == []


def test_validation_has_no_cache(folder, caches):
    samples = build_samples(
        "Folder", {"data_dir": folder, "cache": "disk"}, channels=3, seed=0, training=False
    )
    build_loader(samples, 1)
    assert not caches.exists() and isinstance(samples.source, Folder)


# Decoded once


def test_later_runs_use_the_cache_on_disk_but_not_in_memory(folder, messages):
    for where, decoded in (("disk", [[0, 1, 2, 3, 4], []]), ("ram", [[0, 1, 2, 3, 4]] * 2)):
        for expected in decoded:
            source = Counting(folder)
            kept = keep(source, where)
            assert sorted(source.reads) == expected
            assert np.array_equal(kept.read(0).noisy, Folder(folder).read(0).noisy)
            assert messages[-1].startswith("INFO cache: 5 images, 0.0 MB in ")


def test_only_the_images_in_use_are_cached(folder):
    source = Counting(folder)
    kept = keep(source, numbers=[0, 3])
    assert sorted(source.reads) == [0, 3]
    assert np.array_equal(kept.read(1).noisy, Folder(folder).read(1).noisy)
    assert kept.inspect(1) == source.inspect(1)


@pytest.mark.parametrize("change", ["content", "time", "more"])
def test_after_a_change_the_cache_is_replaced(folder, caches, messages, change):
    keep(Folder(folder))
    if change == "more":
        write_image(f"{folder}/f.png", np.full((40, 40, 3), 7, np.uint8))
    elif change == "content":
        write_image(f"{folder}/a.png", np.full((40, 50, 3), 7, np.uint8))
    else:
        os.utime(f"{folder}/a.png", (0, 0))
    source = Counting(folder)
    kept = keep(source)
    assert "have changed since; it is built again" in messages[-3]
    assert sorted(source.reads) == list(range(len(source)))
    last = len(source) - 1 if change == "more" else 0
    assert np.array_equal(kept.read(last).noisy, Folder(folder).read(last).noisy)
    assert len([path for path in caches.iterdir() if not path.name.startswith(".")]) == 1


@pytest.mark.parametrize("name", ["src.data_handlers.samples.cache.DECODER_VERSION", "cv2.__version__"])
def test_another_decoder_invalidates_the_cache(folder, monkeypatch, name):
    keep(Folder(folder))
    monkeypatch.setattr(name, "another")
    source = Counting(folder)
    keep(source)
    assert sorted(source.reads) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("damage", ["bit", "cut", "empty"])
def test_a_damaged_cache_is_replaced_with_a_warning(folder, caches, messages, damage):
    keep(Folder(folder))
    (path,) = caches.glob("*.pictures")
    content = bytearray(path.read_bytes())
    content[100] ^= 4
    path.write_bytes({"bit": content, "cut": content[:-1000], "empty": b""}[damage])
    kept = keep(Folder(folder))
    warnings = [m for m in messages if m.startswith("WARNING")]
    reason = {"bit": "is damaged: a.png", "cut": "is cut short", "empty": "is empty"}[damage]
    assert warnings == [f"WARNING cache: {path} {reason}; it is built again"]
    assert np.array_equal(kept.read(0).noisy, Folder(folder).read(0).noisy)


def test_a_foreign_file_is_not_overwritten(folder, caches, messages):
    keep(Folder(folder))
    (path,) = caches.glob("*.pictures")
    path.write_bytes(b"a letter to a friend")
    assert isinstance(keep(Folder(folder)), Folder)
    assert path.read_bytes() == b"a letter to a friend"
    assert "was not written by this program; move it elsewhere" in messages[-1]


# What workers send


def test_workers_send_8_bit_images_as_uint8_and_others_as_floats(folder):
    types = {name: batch["noisy"].dtype for batch in batches(folder) for name in batch["name"]}
    assert len(types) == 5 and types["d.npy"] == types["e.npy"] == torch.float32
    for batch in batches(folder, repeat_times=8):
        eight_bits = all(name.endswith(("png", "bmp")) for name in batch["name"])
        assert (batch["noisy"].dtype == torch.uint8) == eight_bits


def test_what_workers_send_becomes_the_sample(folder):
    arguments = {"data_dir": folder, "crop_size": 32, "augmentations": ["rotate"]}
    samples, sent = (build_samples("Folder", arguments, channels=3, seed=0, training=True) for _ in range(2))
    for batch in build_loader(sent, 2):
        for index, noisy in zip(batch["index"].tolist(), as_float(batch["noisy"]), strict=True):
            assert torch.equal(noisy, samples[0, index]["noisy"])


def test_a_cached_source_can_be_pickled(folder):
    for where in ("ram", "disk"):
        kept = keep(Folder(folder), where)
        again = pickle.loads(pickle.dumps(kept))
        assert all(np.array_equal(again.read(n).noisy, kept.read(n).noisy) for n in range(5))
