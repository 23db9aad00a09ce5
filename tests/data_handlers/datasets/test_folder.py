"""`data_dir` of `Folder`: a folder, one image, or several of both."""

import numpy as np
import pytest

from src.data_handlers import build_samples
from src.data_handlers.datasets.folder import Folder
from src.data_handlers.samples.checks import check_images
from src.util.errors import DataError
from src.util.images.io import write_image


@pytest.fixture
def two_days(tmp_path, monkeypatch):
    """Make folders with images of the same name, and an image beside them, in the working directory."""
    monkeypatch.chdir(tmp_path)
    for number, path in enumerate(("monday/a.png", "tuesday/a.png", "tuesday/b.png", "alone.png")):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        write_image(tmp_path / path, np.full((20, 24, 3), 10 * number, np.uint8))
    return tmp_path


def names(source):
    return [source.name(number) for number in range(len(source))]


@pytest.mark.parametrize("path", ["alone.png", "tuesday/b.png"])
def test_data_dir_may_be_one_image(two_days, path):
    source = Folder(path)
    assert names(source) == [path.rpartition("/")[2]]
    assert source.read(0).noisy.shape == (20, 24, 3)


def test_messages_contain_the_path_of_a_single_image_once(two_days):
    samples = build_samples(
        "Folder", {"data_dir": "tuesday/b.png", "crop_size": 64}, channels=3, seed=0, training=True
    )
    with pytest.raises(DataError) as error:
        check_images(samples)
    assert str(error.value).startswith("tuesday/b.png: 20x24 px")


def test_several_paths_are_one_dataset_with_unique_names(two_days):
    source = Folder(["monday", "tuesday", "alone.png", "monday/a.png"])
    assert names(source) == ["monday/a.png", "tuesday/a.png", "tuesday/b.png", "alone.png"]
    assert [source.read(number).noisy[0, 0, 0] for number in range(4)] == [0, 10, 20, 30]
    assert names(Folder([str(two_days / "monday"), str(two_days / "tuesday" / "b.png")])) == [
        "monday/a.png", "tuesday/b.png",
    ]  # fmt: skip


def test_a_clean_image_has_the_same_relative_path_or_is_given_itself(two_days):
    for path, value in (("clean/a.png", 1), ("clean/b.png", 2), ("truth.png", 3)):
        (two_days / path).parent.mkdir(exist_ok=True)
        write_image(two_days / path, np.full((20, 24, 3), value, np.uint8))
    source = Folder(["tuesday", "monday/a.png"], "clean")
    assert {source.name(n): int(source.read(n).clean[0, 0, 0]) for n in range(3)} == {
        "tuesday/a.png": 1, "tuesday/b.png": 2, "monday/a.png": 1,
    }  # fmt: skip
    assert Folder("alone.png", "truth.png").read(0).clean[0, 0, 0] == 3
    with pytest.raises(DataError, match="expected a folder of images, found a file"):
        Folder("tuesday", "truth.png")


@pytest.mark.parametrize("paths", [["monday", "gone"], "gone.png", ["gone"]])
def test_a_missing_path_is_named(two_days, paths):
    with pytest.raises(DataError, match=r"^gone(\.png)?: no such folder or image; .*data_dir=PATH"):
        Folder(paths)


def test_no_paths_and_mixed_paths_are_rejected(two_days):
    with pytest.raises(DataError, match="expected at least one path"):
        Folder([])
    with pytest.raises(DataError, match=r"data_dir: expected .* relative paths"):
        Folder(["monday", str(two_days / "tuesday")])


def test_a_file_that_is_not_an_image_is_rejected(two_days):
    (two_days / "notes.txt").write_text("no image")
    samples = build_samples("Folder", {"data_dir": "notes.txt"}, channels=3, seed=0, training=True)
    with pytest.raises(DataError, match=r"^notes\.txt: "):
        check_images(samples)
