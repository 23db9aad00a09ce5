"""Images in which NaN marks missing values: training, validation, test and files."""

import math
import re

import numpy as np
import pytest
import tifffile
import torch

from src.data_handlers.loading.sampling import build_loader
from src.trainer.config.build import build_images, build_loss, build_masker
from src.trainer.evaluation.masked_loss import MaskedLoss
from src.trainer.inference.denoise_files import FileDenoiser, FileOptions
from src.trainer.inference.denoiser import Denoiser
from src.trainer.inference.testing import score_dataset
from src.trainer.network.tiling import Tiling
from src.util.errors import ConfigError, DataError
from src.util.images.io import read_image
from tests.trainer.conftest import problem

MASKERS = {
    "Masker": "masker.masker_args={sim_patch_edge: 9, repl_patch_edge: 5, pixel_perc: 0.004}",
    "N2V_Masker": "masker.masker_args={pixel_perc: 0.004}",
}


def scene(seed, noise=0.1, missing=True):
    """Return waves (64, 64, 3) with NaN in a corner, in stripes, and in part of one channel."""
    waves = 0.5 + 0.3 * np.sin(np.mgrid[:64, :64].sum(axis=0) / 9 + seed)
    values = waves[..., None] + noise * np.random.default_rng(seed).normal(size=(64, 64, 3))
    values = values.clip(0, 1).astype(np.float32)
    if missing:
        values[:20, :25] = np.nan
        values[:, 40::8] = np.nan
        values[50:60, :10, 1] = np.nan
    return values


def write(path, values, no_data=None):
    path.parent.mkdir(exist_ok=True)
    tags = [] if no_data is None else [(42113, 2, 0, no_data, True)]
    tifffile.imwrite(path, values, photometric="rgb", metadata=None, extratags=tags)


@pytest.fixture
def folders(tmp_path):
    """Noisy and clean images; the second clean one has no NaN."""
    for seed in range(2):
        write(tmp_path / "holed" / f"{seed}.tif", scene(seed))
        write(tmp_path / "holed_clean" / f"{seed}.tif", scene(seed, noise=0, missing=seed == 0))
    return tmp_path / "holed", tmp_path / "holed_clean"


def settings(noisy, *others):
    return ["nan=keep", "training.max_epochs=1", f"training.dataset_args.data_dir={noisy}",
            "model.kwargs.bsn=UNet", *others]  # fmt: skip


@pytest.mark.parametrize("masker", MASKERS)
def test_a_network_is_trained_validated_tested_and_used(new_run, load, folders, tmp_path, masker):
    noisy, clean = folders
    run = new_run("holed")
    run.train(*settings(noisy, f"masker.masker_type={masker}", MASKERS[masker],
                        f"validation.dataset_args.clean_folder={clean}"))  # fmt: skip
    assert re.search(r"PSNR \d+\.\d+ dB, SSIM 0\.\d+ \(not rounded, .*all 2 images", run.log)
    trained = load(run.files.checkpoint_file(1), "test.save_float=true")
    assert trained.config.nan == "keep"
    scored = score_dataset(trained, 0, tmp_path / "scores")
    assert FileDenoiser(trained).folder(noisy, tmp_path / "out") == 0
    result, missing = tifffile.imread(tmp_path / "out" / "1_DN.tif"), np.isnan(scene(1))
    assert np.array_equal(np.isnan(result), missing)
    assert np.array_equal(np.isnan(np.load(scored / "0001_DN.npy")), missing)
    preview = read_image(scored / next(p.name for p in scored.glob("0001_DN*.png")))
    assert (preview[missing] == 0).all() and preview[~missing].mean() > 20
    row = (scored / "metrics.csv").read_text().splitlines()[2].split(",")
    error = np.nanmean((result.astype(float) - scene(1, noise=0, missing=False)) ** 2)
    assert float(row[2]) == pytest.approx(-10 * np.log10(error), abs=0.01)
    assert "NaN" not in (tmp_path / "out" / "report.html").read_text(encoding="utf-8").partition("<script")[2]
    arrays = Denoiser.load(run.files.checkpoint_file(1), "cpu")(scene(1))
    assert np.array_equal(arrays, result, equal_nan=True)


def test_tiles_give_the_whole_images_result(new_run, load, folders, tmp_path):
    run = new_run("holed")
    run.train(*settings(folders[0], "validation.val=false", "model.kwargs.upsample_align_corners=false"))
    trained = load(run.files.checkpoint_file(1))
    large = np.tile(scene(0), (3, 4, 1))
    np.save(tmp_path / "a.npy", large)
    results = []
    for tile in (0, 64):
        trained.network.tiling = Tiling(tile, "auto")
        FileDenoiser(trained, FileOptions(overwrite=True)).file(tmp_path / "a.npy", tmp_path / "b.npy")
        results.append(np.load(tmp_path / "b.npy"))
        assert np.array_equal(np.isnan(results[-1]), np.isnan(large))
    assert np.nanmax(np.abs(results[0] - results[1])) < 1e-4


@pytest.mark.parametrize("cache", ["null", "ram"])
def test_a_training_crop_marks_what_was_filled_in_with_and_without_a_cache(tiny_config, folders, cache):
    args = ["training.dataset_args.augmentations=[flip, rotate]", f"training.dataset_args.cache={cache}"]
    loader = build_loader(build_images(tiny_config(*settings(folders[0], *args)), "training"), 2)
    (batch,) = loader
    assert batch["missing"].shape == (2, 1, 64, 64) and batch["noisy"].isfinite().all()
    assert batch["missing"].sum().item() == 2 * np.isnan(scene(0)).any(axis=2).sum()
    blank = (batch["noisy"][:, :, 1:] == batch["noisy"][:, :, :-1]).all(1)
    assert not blank.any()  # filled in from nearby


def test_images_without_nan_train_to_the_same_bits(new_run, differing):
    runs = [new_run("stop"), new_run("keep")]
    for run in runs:
        run.train(f"nan={run.files.folder.name}", "training.max_epochs=1")
    assert runs[0].losses == runs[1].losses
    assert differing(runs[0].last["model_weights"], runs[1].last["model_weights"]) == []


def test_images_of_nan_alone_give_no_loss_and_a_warning(new_run, tmp_path, messages):
    for name in "ab":
        write(tmp_path / "empty" / f"{name}.tif", np.full((64, 64, 3), np.nan, np.float32))
    run = new_run("empty")
    with pytest.warns(UserWarning, match=r"a\.tif: every value is NaN"):
        run.train(*settings(tmp_path / "empty", "validation.val=false"))
    assert all("loss 0" in text for text in run.losses.values()) and run.losses
    assert not any("NaN or" in line for line in messages)


def test_a_scored_image_of_nan_alone_is_left_out_with_a_warning(new_run, load, folders, tmp_path, messages):
    run = new_run("holed")
    run.train(*settings(folders[0]))
    write(folders[0] / "2.tif", np.full((64, 64, 3), np.nan, np.float32))
    score_dataset(load(run.files.checkpoint_file(1)), 0, tmp_path / "scores")
    assert any("2.tif: every value is NaN" in line and "1 of 3" in line for line in messages)
    assert any("of 2 images" in line for line in messages if "masked loss" in line)
    FileDenoiser(load(run.files.checkpoint_file(1))).file(folders[0] / "2.tif", tmp_path / "2.tif")
    assert np.isnan(tifffile.imread(tmp_path / "2.tif")).all()


def test_no_prediction_under_nan_counts_in_the_masked_loss(tiny_config):
    config = tiny_config(MASKERS["Masker"])
    score = MaskedLoss(build_masker(config), build_loss(config), 0)
    image = torch.from_numpy(scene(0)).permute(2, 0, 1)
    missing = image.isnan().any(0)
    black, wrong, bad = (
        score.of(lambda seen, off=off: seen * 0 + off, image, 0) for off in (0, 9 * missing, 9 * ~missing)
    )
    assert 0 < black == wrong < bad
    assert math.isnan(score.of(lambda seen: seen, torch.full((3, 64, 64), math.nan), 0))


def test_gdals_no_data_value_may_be_nan(tiny_config, tmp_path):
    values = scene(0)
    values[np.isnan(values).any(axis=2)] = np.nan
    write(tmp_path / "geo" / "a.tif", values, "nan")
    data = f"training.dataset_args.data_dir={tmp_path / 'geo'}"
    kept = build_images(tiny_config("nan=keep", data), "training")[1, 0]
    assert kept["missing"].sum().item() == np.isnan(values[..., 0]).sum()
    stopped = build_images(tiny_config(data), "training")[1, 0]
    assert "missing" not in stopped and torch.equal(stopped["noisy"], kept["noisy"])
    assert build_images(tiny_config("nan=keep", data), "validation")[0, 0]["noisy"].isnan().any()


def test_noise_that_is_added_leaves_nan_where_it_is(tiny_config, folders):
    data = [f"validation.{key}" for key in (
        "dataset=Folder", f"dataset_args.data_dir={folders[1]}", "dataset_args.add_noise={quantise: true}"
    )]  # fmt: skip
    sample = build_images(tiny_config(*settings(folders[0], *data)), "validation")[0, 0]
    assert torch.equal(sample["noisy"].isnan(), sample["clean"].isnan()) and sample["noisy"].isnan().any()


def test_nan_is_refused_unless_it_is_kept_and_infinity_always(tiny_config, folders):
    data = f"training.dataset_args.data_dir={folders[0]}"
    with pytest.raises(DataError, match=r"0\.tif: \d+ of 12288 values are NaN or infinite \(nan=keep .*\)"):
        build_images(tiny_config(data), "training")
    infinite = scene(0)
    infinite[30, 30] = np.inf
    write(folders[0] / "0.tif", infinite)
    with pytest.raises(DataError, match=r"0\.tif: 3 of 12288 values are infinite; fill them in first"):
        build_images(tiny_config("nan=keep", data), "training")[1, 0]


def test_another_value_is_refused():
    line = problem("{}", "nan=drop")
    assert line.startswith("nan: expected") and "stop" in line and "keep" in line and "drop" in line
    with pytest.raises(ConfigError, match=r"^nan: expected 'stop' or 'keep', got 'drop'$"):
        Denoiser(None, nan="drop")
