"""Unreadable images: listed, and left out with `unreadable: skip`."""

import warnings

import numpy as np
import pytest
import tifffile

from src.data_handlers import build_samples
from src.data_handlers.loading.sampling import build_loader
from src.data_handlers.samples.checks import check_images
from src.trainer.evaluation.evaluate import count_words
from src.util.errors import DataError
from src.util.images.io import ImageWarning


@pytest.fixture
def folder(noisy_folder):
    """Images a, b, c, of which b is truncated, and a text file with the name of an image."""
    whole = (noisy_folder / "b.png").read_bytes()
    (noisy_folder / "b.png").write_bytes(whole[: len(whole) // 2])
    (noisy_folder / "bad.png").write_text("no image")
    return noisy_folder


def build(folder, training=True, **options):
    arguments = {"data_dir": str(folder), "crop_size": 32, **options}
    return build_samples("Folder", arguments, channels=3, seed=0, training=training)


def warning_of(samples):
    """Return what the check warns of; warnings of other kinds may come from objects that other tests left."""
    with pytest.warns(ImageWarning) as warned:
        check_images(samples)
    (text,) = (str(warning.message) for warning in warned if warning.category is ImageWarning)
    return text


def test_d7_by_default_all_are_named_before_the_first_step(folder):
    with pytest.raises(DataError) as caught:
        check_images(build(folder))
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == [
        str(folder / "b.png"), str(folder / "bad.png")
    ]  # fmt: skip


@pytest.mark.parametrize("workers", [0, 2])
def test_d7_skipped_images_are_named_and_the_order_is_that_of_the_rest(folder, workers):
    samples = build(folder, unreadable="skip", repeat_times=3)
    text = warning_of(samples)
    assert "2 of 4 images cannot be read and are left out" in text
    assert str(folder / "b.png") in text and str(folder / "bad.png") in text
    names = [name for batch in build_loader(samples, 2, workers) for name in batch["name"]]
    (folder / "b.png").unlink()
    (folder / "bad.png").unlink()
    rest = build(folder, repeat_times=3)
    check_images(rest)
    assert sorted(names) == ["a.png"] * 3 + ["c.png"] * 3
    assert names == [name for batch in build_loader(rest, 2, workers) for name in batch["name"]]


@pytest.fixture
def floats(tmp_path):
    """Images a to d with valid headers; b contains NaN, and the data of c is damaged."""
    rng = np.random.default_rng(0)
    for name in "abcd":
        values = rng.random((40, 40, 3), np.float32)
        tifffile.imwrite(tmp_path / f"{name}.tif", values, photometric="rgb", compression="zlib")
    holed = rng.random((40, 40, 3), np.float32)
    holed[3, 4] = np.nan
    tifffile.imwrite(tmp_path / "b.tif", holed, photometric="rgb")
    with tifffile.TiffFile(tmp_path / "c.tif") as file:
        start = file.pages[0].dataoffsets[0]
    content = bytearray((tmp_path / "c.tif").read_bytes())
    content[start : start + 40] = bytes(40)
    (tmp_path / "c.tif").write_bytes(content)
    return tmp_path


def test_images_with_unusable_values_are_left_out_too(floats):
    samples = build(floats, unreadable="skip")
    text = warning_of(samples)
    assert "2 of 4 images cannot be read and are left out" in text
    assert "b.tif: 3 of 4800 values are NaN" in text
    assert "c.tif: the image is damaged" in text
    assert [samples[1, index]["name"] for index in range(2)] == ["a.tif", "d.tif"]


def test_images_with_unusable_values_are_all_named(floats):
    with pytest.raises(DataError, match=r"b\.tif: 3 of 4800 values are NaN.*\n.*c\.tif: the image is dam"):
        check_images(build(floats))


def test_an_unknown_data_range_stops_the_training_even_with_skip(tmp_path):
    for name in "ab":
        tifffile.imwrite(tmp_path / f"{name}.tif", np.full((40, 40, 3), 200, np.float32), photometric="rgb")
    with pytest.raises(DataError, match=r"a\.tif: floating-point values.*\n.*b\.tif: floating-point values"):
        check_images(build(tmp_path, unreadable="skip"))


def test_scores_state_the_number_of_images(folder):
    samples = build(folder, training=False, unreadable="skip")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_images(samples)
    assert count_words(len(samples), len(samples.source)) == "ONLY 2 OF 4 IMAGES"
    assert [samples[0, index]["name"] for index in range(2)] == ["a.png", "c.png"]


def test_skip_fails_if_no_image_can_be_read(folder):
    for name in ("a", "c"):
        (folder / f"{name}.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"a\.png"):
        check_images(build(folder, unreadable="skip"))
