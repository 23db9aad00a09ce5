"""Images that become unreadable after the check: named, and left out with `unreadable: skip`."""

import numpy as np
import pytest
import torch

from src.data_handlers.datasets.base import Box
from src.data_handlers.datasets.folder import Folder
from src.data_handlers.loading.sampling import build_loader, kill_workers
from src.data_handlers.samples.checks import check_images
from src.data_handlers.samples.samples import Samples
from src.data_handlers.samples.view import View
from src.util.errors import DataError
from src.util.images.formats import raster
from src.util.images.io import read_image, write_image


class Crops(Folder):
    """A folder that can read parts of images."""

    def read_crop(self, number, box: Box):
        return self.read(number).crop(box)


@pytest.fixture
def folder(tmp_path, fill_folder):
    fill_folder(tmp_path, {f"{n}.png": (24, 20 + n, 3) for n in range(5)})
    return tmp_path


def samples_of(source, unreadable="skip", training=True, **options):
    view = View(crop_size=16, augmentations=["flip", "rotate"], unreadable=unreadable, **options)
    samples = Samples(source, view, channels=3, seed=7, training=training)
    check_images(samples)
    return samples


def shown(samples, batch_size=4, workers=0):
    """Return the batches of an epoch, and the images lost in it."""
    loader = build_loader(samples, batch_size, workers)
    loader.set_epoch(2)
    try:
        return list(loader), loader.lost
    finally:
        loader.close()
        kill_workers()


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("source", [Folder, Crops])
@pytest.mark.parametrize(
    ("lost", "replacements"), [("2", {"2": "3"}), ("23", {"2": "4", "3": "4"}), ("4", {"4": "0"})]
)
def test_d7_the_next_image_replaces_a_lost_one_and_nothing_else_changes(
    folder, messages, workers, source, lost, replacements
):
    whole, _ = shown(samples_of(source(folder), repeat_times=3))
    samples = samples_of(source(folder), repeat_times=3)
    for name in lost:
        (folder / f"{name}.png").write_bytes((folder / f"{name}.png").read_bytes()[:-30])
    damaged, known = shown(samples, workers=workers)
    assert [batch["noisy"].shape for batch in damaged] == [batch["noisy"].shape for batch in whole]
    assert [batch["index"].tolist() for batch in damaged] == [batch["index"].tolist() for batch in whole]
    for before, after in zip(whole, damaged, strict=True):
        for place, name in enumerate(before["name"]):
            stem = name.removesuffix(".png")
            assert after["name"][place] == f"{replacements.get(stem, stem)}.png"
            same = torch.equal(before["noisy"][place], after["noisy"][place])
            assert same == (stem not in lost)
    left_out = [line for line in messages if "left out" in line]
    assert sorted(known) == [int(name) for name in lost] and len(left_out) == len(lost)
    assert all(str(folder / f"{name}.png") in "".join(left_out) for name in lost)
    assert f"left out ({len(lost)} of 5 images so far)" in left_out[-1]


def test_a_replacement_has_the_crop_and_flips_of_the_place(folder):
    samples = samples_of(Folder(folder))
    (folder / "2.png").unlink()
    sample = samples[1, 2]
    image = read_image(folder / "3.png")
    box = samples.view.random_box(image.shape[:2], 7, 1, 2)
    cut = image[box.top : box.top + 16, box.left : box.left + 16].astype(np.float32) / 255
    turned = [np.rot90(flipped, quarters) for flipped in (cut, cut[::-1]) for quarters in range(4)]
    assert any(np.array_equal(sample["noisy"].permute(1, 2, 0), one) for one in turned)
    assert (sample["index"], sample["name"]) == (2, "3.png")


def test_an_image_that_is_readable_again_is_used_again(folder):
    data = (folder / "2.png").read_bytes()
    samples = samples_of(Folder(folder))
    (folder / "2.png").unlink()
    assert samples[1, 2]["name"] == "3.png"
    (folder / "2.png").write_bytes(data)
    assert samples[1, 2]["name"] == "2.png"


def test_an_image_that_shrank_is_lost(folder):
    samples = samples_of(Folder(folder))
    write_image(folder / "2.png", np.zeros((8, 24, 3), np.uint8))
    assert samples[1, 2]["lost"] == {2: f"{folder}: 2.png: 8x24 px are less than crop_size 16x16"}
    with pytest.raises(DataError, match=r"2\.png: 8x24 px are less than crop_size"):
        samples_of(Folder(folder), "stop")


@pytest.mark.parametrize("workers", [0, 2])
def test_training_stops_when_all_images_are_lost(folder, workers):
    samples = samples_of(Folder(folder))
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"none of 5 images can be read any more: .*\.png: cannot be read"):
        shown(samples, workers=workers)


def test_cached_images_are_no_replacement(folder):
    """Otherwise, without the disk, training would continue with only the cached images."""
    samples = samples_of(Folder(folder))
    samples[1, 3]
    for path in folder.iterdir():
        path.unlink()
    assert samples[1, 3]["name"] == "3.png"
    with pytest.raises(DataError, match="none of 5 images"):
        samples[1, 2]


def test_only_some_of_many_lost_images_are_logged(folder, messages):
    loader = build_loader(samples_of(Folder(folder)), 4)
    loader.note_lost({place: f"{place}.png: cannot be read" for place in range(250)})
    assert len(messages) == len([*range(1, 101), 200])
    assert messages[-1].startswith("WARNING 199.png: cannot be read; left out (200 of")


def test_cached_images_are_not_lost(folder):
    """An image that could not be cached is replaced by a cached one."""
    damaged = bytearray((folder / "2.png").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (folder / "2.png").write_bytes(damaged)
    loader = build_loader(samples_of(Folder(folder), cache="ram"), 5)
    for path in folder.iterdir():
        path.unlink()
    (batch,) = loader
    assert sorted(batch["name"]) == ["0.png", "1.png", "3.png", "3.png", "4.png"]
    assert list(loader.lost) == [2]


@pytest.mark.parametrize("workers", [0, 1])
def test_in_validation_a_lost_image_has_no_replacement(folder, workers, messages):
    samples = samples_of(Folder(folder), training=False)
    (folder / "2.png").unlink()
    batches, lost = shown(samples, 1, workers)
    assert [batch["name"] for batch in batches] == [[f"{n}.png"] for n in range(5)]
    assert [number for number, batch in enumerate(batches) if "noisy" not in batch] == [2] == list(lost)
    assert "left out (1 of 5 images so far)" in messages[-1]


def test_by_default_training_stops_with_advice(folder):
    samples = samples_of(Folder(folder), "stop")
    (folder / "2.png").unlink()
    with pytest.raises(DataError, match=r"2\.png: cannot be read: No such file.*`unreadable: skip`"):
        shown(samples)


def test_a_disk_error_is_a_lost_image(folder, monkeypatch):
    samples = samples_of(Folder(folder))

    def fail(*arguments):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(raster.np, "frombuffer", fail)
    with pytest.raises(DataError, match=r"0\.png: cannot be read: Input/output error"):
        samples[1, 0]


# Resumed runs


def test_a_resumed_run_keeps_the_places_of_its_images(folder, messages):
    whole, _ = shown(samples_of(Folder(folder), repeat_times=3))
    (folder / "2.png").unlink()
    write_image(folder / "00.png", np.zeros((24, 24, 3), np.uint8))
    loader = build_loader(samples_of(Folder(folder), repeat_times=3), 4)
    loader.keep_to([f"{n}.png" for n in range(5)])
    loader.set_epoch(2)
    batches = list(loader)
    assert len(batches) == len(loader) == len(whole)
    for before, after in zip(whole, batches, strict=True):
        for place, name in enumerate(before["name"]):
            assert after["name"][place] == name.replace("2", "3")
            assert torch.equal(before["noisy"][place], after["noisy"][place]) == (name != "2.png")
    assert loader.lost == {2: f"{folder}: 2.png: was removed since this run began"}
    assert f"WARNING {folder}: 1 images are new since this run began and not used" in messages


def test_by_default_all_missing_images_are_named(folder):
    names = [*(f"{n}.png" for n in range(5)), "x.png", "y.png"]
    with pytest.raises(DataError) as caught:
        build_loader(samples_of(Folder(folder), "stop"), 4).keep_to(names)
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == ["x.png", "y.png"]
    assert all("put it back, or set `unreadable: skip`" in line for line in lines)
