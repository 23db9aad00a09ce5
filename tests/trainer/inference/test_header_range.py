"""Data ranges of wide types and of headers, from training to results."""

import cv2
import numpy as np
import pytest
import tifffile

from src.trainer.config.build import build_images
from src.trainer.inference.denoise_files import FileDenoiser
from src.trainer.inference.denoiser import Denoiser
from src.trainer.inference.testing import score_dataset
from src.util.errors import DataError
from src.util.images.io import inspect_image, read_image

WIDE = [("uint32", "tif"), ("int32", "tif"), ("uint32", "npy"), ("int64", "npy")]


def counts(seed=0, largest=65_535, dtype="uint16"):
    """Grey waves from 0 to the largest, with noise."""
    rng = np.random.default_rng(seed)
    waves = np.sin(np.arange(64) / 9)[:, None] * np.cos(np.arange(64) / 7) / 3 + 0.5
    values = (waves + rng.normal(0, 0.05, waves.shape)).clip(0, 1)
    values[0, :2] = 0, 1
    return np.rint(values * largest).astype(dtype)


def save(path, values, **options):
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        tifffile.imwrite(path, values, photometric="minisblack", metadata=None, **options)
    return path


@pytest.fixture
def grey(new_run, load, tmp_path):
    """Return a function that loads, with settings, a grey 16-bit network that returns its input."""
    save(tmp_path / "sixteen" / "a.tif", counts())
    run = new_run("grey")
    run.train("model.kwargs.in_channels=1", f"training.dataset_args.data_dir={tmp_path / 'sixteen'}")

    def loaded(*settings):
        trained = load(run.files.checkpoint_file(2), *settings)
        trained.network.module.forward = lambda images, window=None: images
        return trained

    return loaded


@pytest.mark.parametrize(("dtype", "ending"), WIDE)
def test_training_on_wide_types_needs_a_data_range(tiny_config, tmp_path, dtype, ending):
    save(tmp_path / "wide" / f"a.{ending}", counts(dtype=dtype))
    settings = ["model.kwargs.in_channels=1", f"training.dataset_args.data_dir={tmp_path / 'wide'}"]
    message = rf"a\.{ending}, {dtype}: its largest value, 65535, is far below .* set data_range=65535$"
    with pytest.raises(DataError, match=message):
        build_images(tiny_config(*settings), "training")
    samples = build_images(tiny_config(*settings, "data_range=65535"), "validation")
    assert samples.data_range == 65_535 and samples[0, 0]["noisy"].max() == 1


@pytest.mark.parametrize(("dtype", "ending"), WIDE)
def test_denoising_wide_types_needs_a_data_range(grey, tmp_path, dtype, ending):
    path, out = save(tmp_path / "wide" / f"a.{ending}", counts(dtype=dtype)), tmp_path / f"out.{ending}"
    with pytest.raises(DataError, match=rf"a\.{ending}, {dtype}: .* set data_range=65535$"):
        FileDenoiser(grey()).file(path, out)
    assert not out.exists()
    FileDenoiser(grey("data_range=65535")).file(path, out)
    found = read_image(out)[..., 0]
    assert found.dtype == dtype and np.array_equal(found, counts(dtype=dtype))
    array = counts(dtype=dtype)
    with pytest.raises(DataError, match=rf"^the image, {dtype}: .* set data_range=65535$"):
        Denoiser(grey().network)(array)
    assert np.array_equal(Denoiser(grey().network, 65_535)(array), found)


def test_the_proposed_range_covers_all_wide_images(grey, tiny_config, tmp_path, messages):
    largest = {"a": 900, "b": 65_535, "c": 4095}
    for name, data_range in largest.items():
        save(tmp_path / "wide" / f"{name}.tif", counts(1, data_range, "uint32"))
    settings = ["model.kwargs.in_channels=1", f"training.dataset_args.data_dir={tmp_path / 'wide'}"]
    with pytest.raises(DataError) as caught:
        build_images(tiny_config(*settings), "training")
    lines = str(caught.value).splitlines()
    assert len(lines) == 3 and all(
        line.endswith("if its data has fewer bits, set data_range=65535") for line in lines
    )
    assert FileDenoiser(grey()).folder(tmp_path / "wide", tmp_path / "out") == 3
    assert messages[-1].endswith("c.tif; data_range=65535 suits the brightest of them")


@pytest.mark.parametrize("cache", ["null", "disk", "ram"])
def test_a_header_range_is_used_from_training_to_scores(
    new_run, load, tmp_path, monkeypatch, cache, messages
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    for name in "ab":
        save(tmp_path / "deep" / f"{name}.tif", counts(1, 4095), bitspersample=12)
        save(tmp_path / "deep_clean" / f"{name}.tif", counts(2, 4095), bitspersample=12)
    run = new_run("packed")
    run.train(
        "model.kwargs.in_channels=1", f"training.dataset_args.data_dir={tmp_path / 'deep'}",
        f"validation.dataset_args.clean_folder={tmp_path / 'deep_clean'}",
        f"training.dataset_args.cache={cache}", "training.max_epochs=1",
    )  # fmt: skip
    assert run.last["white"] == 4095
    trained = load(run.files.checkpoint_file(1))
    folder = score_dataset(trained, 0, tmp_path / "scores")
    assert "data range 4095" in (folder / "metrics.txt").read_text(encoding="utf-8")
    del messages[:]
    assert FileDenoiser(trained).folder(tmp_path / "deep", tmp_path / "out") == 0
    assert not [line for line in messages if "was trained on" in line or "lost in" in line]
    result = tmp_path / "out" / "a_DN.tif"
    assert inspect_image(result).data_range == 4095 and read_image(result).max() <= 4095
    psnr = float((folder / "metrics.csv").read_text().splitlines()[1].split(",")[2])
    error = (read_image(result).astype(float) - read_image(tmp_path / "deep_clean" / "a.tif")) / 4095
    assert psnr == pytest.approx(-10 * np.log10(np.mean(error**2)), abs=0.02)


def test_a_given_data_range_overrides_the_header(tiny_config, tmp_path):
    save(tmp_path / "deep" / "a.tif", counts(1, 4000), bitspersample=12)
    settings = ["model.kwargs.in_channels=1", f"training.dataset_args.data_dir={tmp_path / 'deep'}"]
    samples = build_images(tiny_config(*settings, "data_range=4000"), "validation")
    assert samples.data_range == 4000 and samples[0, 0]["noisy"].max() == 1


@pytest.mark.parametrize("cache", ["null", "ram"])
def test_a_pair_with_different_header_ranges_needs_a_data_range(tiny_config, tmp_path, cache):
    noisy = save(tmp_path / "deep" / "a.tif", counts(1, 4095), bitspersample=12).parent
    clean = save(tmp_path / "deep_clean" / "a.tif", counts(2, 4095)).parent
    settings = [
        "model.kwargs.in_channels=1", f"training.dataset_args.data_dir={noisy}",
        f"training.dataset_args.cache={cache}", f"validation.dataset_args.clean_folder={clean}",
    ]  # fmt: skip
    message = r"a\.tif: its header gives data range 4095, that of the clean image 65535; .* data_range=4095"
    with pytest.raises(DataError, match=message):
        build_images(tiny_config(*settings), "validation")
    sample = build_images(tiny_config(*settings, "data_range=4095"), "validation")[0, 0]
    assert sample["noisy"].max() == sample["clean"].max() == 1


def test_a_hint_is_logged_once_for_each_range(grey, tmp_path, messages):
    for name, largest in {"a": 4095, "b": 900, "c": 4000, "d": 1000, "e": 65_535}.items():
        cv2.imwrite(str(save(tmp_path / "dark" / f"{name}.png", counts(1, largest))), counts(1, largest))
    trained = grey()
    del messages[:]
    assert FileDenoiser(trained).folder(tmp_path / "dark", tmp_path / "out") == 0
    warned = [line for line in messages if "far below" in line]
    assert ["a.png" in warned[0], "b.png" in warned[1], len(warned)] == [True, True, 2]
    assert "data_range=4095 (reported once)" in warned[0] and "data_range=1023 (reported once)" in warned[1]


def test_each_other_data_range_is_warned_about_once(grey, tmp_path, messages):
    for name, bits in {"a": 10, "b": 12, "c": 10}.items():
        save(tmp_path / "packed" / f"{name}.tif", counts(1, 2**bits - 1), bitspersample=bits)
    trained = grey()
    del messages[:]
    assert FileDenoiser(trained).folder(tmp_path / "packed", tmp_path / "out") == 0
    warned = [line for line in messages if line.startswith("WARNING")]
    assert len(warned) == 2
    assert "a.tif: data range 1023 (uint16), but 65535" in warned[0] and "b.tif: data range 4095" in warned[1]
