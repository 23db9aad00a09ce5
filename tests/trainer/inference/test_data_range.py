"""Training and testing on 16-bit images, floats, stacks and any number of channels."""

import re

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from src.trainer.config.build import build_images
from src.trainer.evaluation.evaluate import compare
from src.trainer.inference.denoise_files import FileDenoiser
from src.trainer.inference.testing import score_dataset
from src.util.errors import DataError
from src.util.images.io import read_image, to_float

WHITE = {"uint8": 255, "uint16": 65535, "float32": 1}


def image(seed, channels, data_range=1.0, noise=0.0, edge=64):
    """Smooth waves with noise, reproducible by seed."""
    rng = np.random.default_rng(seed)
    clean = gaussian_filter(rng.random((edge, edge, channels)), (5, 5, 0))
    clean = (clean - clean.min()) / np.ptp(clean)
    return data_range * (clean + noise * rng.normal(size=clean.shape)).clip(0, 1)


def write(path, values, dtype):
    values = values if dtype == "float32" else np.rint(values)
    kind = "rgb" if values.shape[2] == 3 else "minisblack"
    planes = {"planarconfig": "contig"} if values.shape[2] > 1 else {}
    tifffile.imwrite(path, values.astype(dtype).squeeze(), photometric=kind, **planes)


@pytest.fixture
def folders(tmp_path):
    """Return a function that makes folders of noisy and clean TIFFs."""

    def make(dtype, channels, data_range=None):
        data_range = data_range or WHITE[dtype]
        for name, noise in (("deep", 0.1), ("deep_clean", 0.0)):
            (tmp_path / name).mkdir()
            for seed in range(2):
                write(tmp_path / name / f"{seed}.tif", image(seed, channels, data_range, noise), dtype)
        return tmp_path / "deep", tmp_path / "deep_clean"

    return make


@pytest.mark.parametrize(("dtype", "channels"), [("uint16", 13), ("float32", 1), ("uint16", 3)])
def test_other_image_types_are_trained_on_scored_and_denoised(
    new_run, load, folders, tmp_path, dtype, channels
):
    noisy, clean = folders(dtype, channels)
    run = new_run("deep")
    run.train(
        f"model.kwargs.in_channels={channels}",
        f"training.dataset_args.data_dir={noisy}",
        f"validation.dataset_args.clean_folder={clean}",
        "training.max_epochs=1",
    )
    assert run.last["white"] == WHITE[dtype]
    rounding = "not rounded" if dtype == "float32" else f"rounded to {dtype}"
    assert f"({rounding}, data range {WHITE[dtype]}, SSIM of 7x7" in run.log
    trained = load(run.files.checkpoint_file(1))
    folder = score_dataset(trained, 0, tmp_path / "scores")
    assert f"{rounding}, data range {WHITE[dtype]}" in (folder / "metrics.txt").read_text(encoding="utf-8")
    assert read_image(folder / "0000_NOISY.png").shape == (64, 64, 1 if channels == 1 else 3)
    denoiser = FileDenoiser(trained)
    assert denoiser.folder(noisy, tmp_path / "out") == 0
    found = tifffile.imread(tmp_path / "out" / "0_DN.tif")
    assert found.dtype == dtype and found.shape == tifffile.imread(noisy / "0.tif").shape
    row = next(iter((folder / "metrics.csv").read_text().splitlines()[1:])).split(",")
    truth = read_image(clean / "0.tif").astype(float) / WHITE[dtype]
    error = np.mean((found.reshape(truth.shape) / WHITE[dtype] - truth) ** 2)
    assert float(row[2]) == pytest.approx(-10 * np.log10(error), abs=0.02)


def test_a_16_bit_set_scores_as_its_8_bit_twin(tmp_path):
    clean, noisy = image(0, 3), image(0, 3, noise=0.1)
    eight, sixteen = (
        compare(
            *(to_float(np.rint(values * data_range).astype(dtype)) for values in (clean, noisy)),
            dtype,
            data_range,
        )
        for dtype, data_range in (("uint8", 255), ("uint16", 65535))
    )
    assert sixteen["psnr"] == pytest.approx(eight["psnr"], abs=0.01)
    assert sixteen["ssim"] == pytest.approx(eight["ssim"], abs=0.001)


def test_values_above_the_data_range_count_in_scores(tmp_path):
    clean, wrong = (to_float(np.full((8, 8, 1), value, np.uint16), 10_000) for value in (20_000, 10_000))
    assert compare(clean, wrong, "uint16", 10_000)["psnr"] == pytest.approx(0)


def test_the_configured_data_range_is_used(tiny_config, folders):
    noisy, _ = folders("uint16", 3, data_range=4095)
    with pytest.warns(
        UserWarning, match=r"largest value, 4095, is far below the data range \(65535\).*data_range=4095"
    ):
        dark = build_images(tiny_config(f"training.dataset_args.data_dir={noisy}"), "validation")
    assert dark[0, 0]["noisy"].max() < 0.07
    bright = build_images(
        tiny_config(f"training.dataset_args.data_dir={noisy}", "data_range=4095"), "validation"
    )
    assert bright[0, 0]["noisy"].max() == 1 and bright.data_range == 4095
    assert (bright[0, 0]["dtype"], bright[0, 0]["data_range"]) == ("uint16", 4095)


def test_the_proposed_range_covers_the_brightest_image(tiny_config, folders):
    noisy, _ = folders("uint16", 3, data_range=4095)
    write(noisy / "0.tif", image(0, 3, 300), "uint16")  # the first that is looked at
    with pytest.warns(UserWarning, match=r"1\.tif: its largest value, 4095, .*data_range=4095"):
        build_images(tiny_config(f"training.dataset_args.data_dir={noisy}"), "training")


def test_floats_far_from_0_to_1_need_a_data_range(tiny_config, folders):
    noisy, _ = folders("float32", 3, data_range=900)
    with pytest.raises(DataError, match=r"0\.tif: .*not about 0 to 1; set the data range"):
        build_images(tiny_config(f"training.dataset_args.data_dir={noisy}"), "training")
    assert build_images(
        tiny_config(f"training.dataset_args.data_dir={noisy}", "data_range=900"), "validation"
    )[0, 0]["noisy"].max() == pytest.approx(1)  # fmt: skip


def test_nan_in_training_images_is_refused(tiny_config, folders):
    noisy, _ = folders("float32", 3)
    values = tifffile.imread(noisy / "1.tif")
    values[5, 5] = np.nan
    write(noisy / "1.tif", values, "float32")
    with pytest.raises(DataError, match=r"1\.tif: 3 of \d+ values are NaN"):
        build_images(tiny_config(f"training.dataset_args.data_dir={noisy}"), "training")


def test_images_of_two_bit_depths_train_together_with_a_warning(tiny_config, folders):
    noisy, _ = folders("uint16", 3)
    write(noisy / "2.tif", image(3, 3, 255), "uint8")
    with pytest.warns(UserWarning, match=r"several data ranges: 65535 in 2, 255 in 1"):
        samples = build_images(tiny_config(f"training.dataset_args.data_dir={noisy}"), "validation")
    assert samples.data_range == 65535
    assert all(samples[0, n]["noisy"].max() > 0.9 for n in range(3))


def test_each_page_of_a_stack_is_an_image(tiny_config, folders, tmp_path):
    noisy, clean = folders("uint16", 1)
    for folder in (noisy, clean):
        stack = np.stack([tifffile.imread(folder / f"{seed}.tif") for seed in (0, 1, 0)])
        tifffile.imwrite(folder / "stack.tif", stack, photometric="minisblack")
    settings = ["model.kwargs.in_channels=1", f"training.dataset_args.data_dir={noisy}"]
    samples = build_images(
        tiny_config(*settings, f"validation.dataset_args.clean_folder={clean}"), "validation"
    )
    names = [samples[0, number]["name"] for number in range(len(samples))]
    assert names == ["0.tif", "1.tif", "stack.tif, page 1", "stack.tif, page 2", "stack.tif, page 3"]
    assert np.array_equal(samples[0, 3]["noisy"], samples[0, 1]["noisy"])
    assert np.array_equal(samples[0, 3]["clean"], samples[0, 1]["clean"])
    tifffile.imwrite(clean / "stack.tif", stack[:2], photometric="minisblack")
    with pytest.raises(DataError, match=r"stack\.tif: page 3 is missing, the file has 2"):
        build_images(tiny_config(*settings, f"validation.dataset_args.clean_folder={clean}"), "validation")


def test_grey_suits_three_channels_only(tiny_config, folders):
    noisy, _ = folders("uint16", 1)
    with pytest.warns(UserWarning, match="three equal channels|3 equal channels"):
        build_images(tiny_config(f"training.dataset_args.data_dir={noisy}"), "training")
    with pytest.raises(DataError, match=re.escape("has 1 channel, the network takes 13 (in_channels: 13)")):
        build_images(
            tiny_config(f"training.dataset_args.data_dir={noisy}", "model.kwargs.in_channels=13"), "training"
        )


def test_8_bit_images_are_divided_by_255(tiny_config, noisy_folder):
    samples = build_images(tiny_config(), "validation")
    assert samples.data_range == 255
    assert np.array_equal(samples[0, 0]["noisy"], to_float(read_image(noisy_folder / "a.png")))


@pytest.mark.parametrize(
    ("dtype", "number"), [("uint16", "0"), ("float32", "-9999"), ("float32", "-3.4e+38"), ("float32", "nan")]
)
def test_missing_values_of_a_geotiff_stay_missing(new_run, load, folders, tmp_path, dtype, number):
    noisy, _ = folders(dtype, 4)
    whole = tifffile.imread(noisy / "0.tif")
    run = new_run("map")
    for edge, name in ((20, noisy / "0.tif"), (0, tmp_path / "whole.tif"), (20, tmp_path / "hole.tif")):
        values = whole.copy()
        values[:edge, :edge] = float(number)
        tifffile.imwrite(
            name, values, photometric="minisblack", planarconfig="contig", metadata=None,
            extratags=[(42113, 2, 0, number, True)],
        )  # fmt: skip
    run.train(
        "model.kwargs.in_channels=4", f"training.dataset_args.data_dir={noisy}", "training.max_epochs=5"
    )
    denoiser = FileDenoiser(load(run.files.checkpoint_file(5)))
    results = {}
    for name in ("whole", "hole"):
        denoiser.file(tmp_path / f"{name}.tif", tmp_path / f"{name}_DN.tif")
        results[name] = tifffile.imread(tmp_path / f"{name}_DN.tif")
    assert np.array_equal(results["hole"][:20, :20], values[:20, :20], equal_nan=True)
    changed = (results["hole"] - results["whole"].astype(float)) / WHITE[dtype]
    changed[:20, :20] = 0
    assert 0 < np.abs(changed).max() < 0.2
