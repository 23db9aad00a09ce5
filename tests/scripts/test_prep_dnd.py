"""The command line of `prep_DND.py`. The tests of `prepare_dnd` cover the images."""

import numpy as np
import pytest

from src.util.images.io import read_image


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr("os.sync", lambda: None)


@pytest.fixture
def prep(call):
    return lambda *flags: call("prep_DND", *flags, device=(), workers=())


@pytest.fixture
def make(make_dnd, tmp_path):
    """Write images with the given numbers. The boxes need 531x532 px."""

    def made(numbers, size):
        ramp = np.linspace(0, 1, size[0], dtype=np.float32)[:, None, None]
        return make_dnd(tmp_path / "DND", dict.fromkeys(numbers, np.tile(ramp, (1, size[1], 3))))

    return made


@pytest.fixture
def source(make):
    return make((1, 50), (531, 532))


def names(folder):
    return sorted(path.name for path in folder.glob("*.png"))


def test_p1_p2_the_documented_call_works(prep, make, tmp_path):
    make(range(1, 51), (100, 140))
    ended = prep("-c", 100, "-s", 50, "-df", "DND", "-nf", "NEW", "--split", "train", "--jobs", 2)
    assert (ended.code, ended.err) == (0, "")
    assert "DND: 50 images give 100 pieces in NEW" in ended.out
    assert names(tmp_path / "NEW")[:3] == ["0001_s001.png", "0001_s002.png", "0002_s001.png"]


def test_the_default_crops_are_those_of_the_readme(prep, make_dnd, tmp_path):
    make_dnd(tmp_path / "datasets" / "DND", {1: np.zeros((512, 768, 3), np.float32)})
    assert prep().code == 7  # for the images that are missing
    folder = tmp_path / "datasets" / "DND_train"
    assert names(folder) == ["0001_s001.png", "0001_s002.png"]
    assert read_image(folder / "0001_s002.png").shape == (512, 512, 3)


def test_p7_boxes_are_named_by_image_and_box_and_missing_images_are_listed(prep, source, tmp_path):
    ended = prep("-df", "DND", "--split", "test")
    assert ended.code == 7
    assert "48 of DND's 50 images are missing" in ended.err and "0002.mat, 0003.mat" in ended.err
    boxes = [f"{image:04d}_{box:02d}.png" for image in (1, 50) for box in range(1, 21)]
    assert names(tmp_path / "datasets" / "DND_test") == boxes


def test_crop_flags_without_effect_give_a_warning(prep, source):
    prep("-df", "DND", "-nf", "NEW", "--split", "test")
    ended = prep("-c", 256, "-s", 128, "-df", "DND", "-nf", "NEW", "--split", "test")
    assert "warning: -c, -s: ignored with --split test" in ended.err
    assert "40 of 40 pieces are there: 0 made now" in ended.out


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (("-df", "absent", "-nf", "NEW"), 7, "absent: no images_srgb/0001.mat"),
        (("-df", "DND", "-nf", "DND/new"), 2, "choose a folder apart"),
        (("-df", "DND", "-nf", "NEW", "--split", "val"), 2, "invalid choice"),
        (("-df", "DND", "-nf", "NEW", "-s", 0), 2, "at least 1"),
    ],
)
def test_invalid_flags_are_refused_and_write_nothing(prep, source, tmp_path, flags, code, message):
    ended = prep(*flags)
    assert ended.code == code and message in ended.err
    assert not (tmp_path / "NEW").exists() and not (source / "new").exists()
