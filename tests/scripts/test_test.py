"""The flags of `test.py` to denoise an image or a folder."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from src.util.images.io import read_image, write_image
from tests.scripts.conftest import OF_ORIGINAL, pngs


def test_c15_e1_e9_e10_a_checkpoint_and_an_image_are_enough(call, ckpt, image, tmp_path, noisy_folder):
    alone = tmp_path / "downloads" / "ckpt.pth"
    alone.parent.mkdir()
    shutil.move(ckpt, alone)
    shutil.rmtree(tmp_path / "output")
    shutil.rmtree(noisy_folder)
    ended = call("test", "--pretrained", alone, "--test_img", image)
    assert (ended.code, ended.complaints) == (0, "")
    assert "after epoch 2" in ended.out and "my.photo_DN.png" in ended.out
    denoised, noisy = read_image(tmp_path / "my.photo_DN.png"), read_image(image)
    assert denoised.shape == noisy.shape == (51, 67, 3)
    assert not np.array_equal(denoised, noisy)
    assert pngs(image.parent) == ["my.photo.png"]
    assert not (tmp_path / "output").exists()


def test_e18_a_colour_network_denoises_a_grey_image(call, ckpt, tmp_path):
    grey = np.tile(np.arange(45, dtype=np.uint8)[:, None, None], (1, 33, 1)) * 5
    write_image(tmp_path / "grey.png", grey)
    assert call("test", "--pretrained", ckpt, "--test_img", "grey.png").code == 0
    assert read_image(tmp_path / "grey_DN.png").shape == (45, 33, 1)


def test_out_chooses_the_folder_of_results(call, ckpt, image, noisy_folder, tmp_path):
    out = tmp_path / "new" / "folder"
    assert call("test", "--pretrained", ckpt, "--test_img", image, "--out", out).code == 0
    assert pngs(out) == ["my.photo_DN.png"]
    assert call("test", "--pretrained", ckpt, "--test_dir", noisy_folder, "--out", tmp_path / "dir").code == 0
    assert pngs(tmp_path / "dir") == ["a_DN.png", "b_DN.png", "c_DN.png"]
    assert call("test", "--pretrained", ckpt, "--out", tmp_path / "scores").code == 0
    assert (tmp_path / "scores" / "metrics.csv").is_file()
    assert not (noisy_folder / "results").exists() and pngs(tmp_path) == []


def test_e11_e12_a_broken_file_in_a_folder_is_reported_and_the_others_denoised(call, ckpt, image):
    folder = image.parent
    colour = read_image(image)
    for name in ("a.v1.png", "a.v2.png", "a.jpg", "b.jpg", "b.png"):
        write_image(folder / name, colour)
    (folder / "broken.png").write_bytes(image.read_bytes()[:300])
    (folder / "sub").mkdir()
    write_image(folder / "sub" / "inner.png", colour)
    ended = call("test", "--pretrained", ckpt, "--test_dir", folder)
    assert ended.code == 7
    assert re.search(r"error: .*broken\.png: ", ended.out + ended.err)
    assert "7 of 8 images denoised" in ended.out
    assert re.search(r"error: 1 of 8 images failed: .*broken\.png", ended.err)
    assert pngs(folder / "results") == [
        "a.v1_DN.png", "a.v2_DN.png", "a_DN.png", "b.jpg_DN.png", "b.png_DN.png", "my.photo_DN.png",
    ]  # fmt: skip
    assert pngs(folder / "results" / "sub") == ["inner_DN.png"]
    (folder / "broken.png").unlink()
    again = call("test", "--pretrained", ckpt, "--test_dir", folder)
    assert again.code == 0 and "0 of 7 images denoised, 7 were there already (--overwrite" in again.out


@pytest.mark.parametrize("kind", ["--test_img", "--test_dir"])
def test_e12_nothing_to_denoise_is_an_error(call, ckpt, tmp_path, kind):
    (tmp_path / "empty").mkdir()
    ended = call("test", "--pretrained", ckpt, kind, tmp_path / "empty")
    assert ended.code == 7 and "empty" in ended.err
    ended = call("test", "--pretrained", ckpt, kind, tmp_path / "absent")
    assert ended.code == 7 and "absent" in ended.err


def test_an_image_and_a_folder_together_are_refused(call, ckpt, image):
    ended = call("test", "--pretrained", ckpt, "--test_img", image, "--test_dir", image.parent)
    assert ended.code == 2 and "--test_img and --test_dir: say one of them" in ended.err


def test_c4_a_missing_gpu_is_an_error(call, ckpt, image):
    ended = call("test", "--pretrained", ckpt, "--test_img", image, device=("-g", "99"))
    assert ended.code == 2 and ended.err.startswith("error: -g 99: ")


@pytest.mark.parametrize("name", ["../run", "/tmp/run", "", "a/b"])
def test_f1_a_hostile_run_name_is_refused(call, trained, image, name):
    ended = call("test", "-s", name, "--test_img", image)
    assert ended.code == 2 and "expected one plain folder name" in ended.err


def test_help_names_every_flag(call):
    ended = call("test", "--help")
    assert ended.code == 0
    for flag in (
        "-c", "-s", "-e", "-g", "--thread", "--pretrained", "--test_img", "--test_dir", "--out", "--set",
    ):  # fmt: skip
        assert flag in ended.out


@pytest.mark.parametrize("kind", ["--test_img", "--test_dir"])
def test_tiles_give_the_whole_images_result(call, ckpt, image, tmp_path, kind):
    what = (kind, image if kind == "--test_img" else image.parent)
    for name, flags in {
        "whole": ("--tile", "0"), "tiled": ("--tile", "32"), "apart": ("--tile", "32", "--overlap", "0"),
        "auto": ("--tile", "auto", "--overlap", "auto"), "ensemble": ("--ensemble",),
    }.items():  # fmt: skip
        ended = call("test", *OF_ORIGINAL, *what, *flags, "--out", name)
        assert (ended.code, ended.complaints) == (0, "")
    whole, tiled, apart, auto, ensemble = (
        read_image(tmp_path / name / "my.photo_DN.png").astype(int)
        for name in ("whole", "tiled", "apart", "auto", "ensemble")
    )
    assert np.array_equal(auto, whole) and (tiled != whole).mean() < 1e-3
    assert (apart != whole).mean() > 3e-3 and (ensemble != whole).mean() > 3e-3


@pytest.mark.parametrize("value", ["-1", "large", "1.5"])
@pytest.mark.parametrize("flag", ["--tile", "--overlap"])
def test_an_invalid_tile_or_overlap_is_refused(call, ckpt, image, flag, value):
    ended = call("test", "--pretrained", ckpt, "--test_img", image, f"{flag}={value}")
    assert ended.code == 2 and f"{flag}: expected auto, or a number of pixels" in ended.err


def test_overwrite_and_max_pixels(call, ckpt, noisy_folder, tmp_path):
    given = ["--pretrained", ckpt, "--test_dir", noisy_folder, "--out", tmp_path / "out"]
    assert call("test", *given, "--format", "png").code == 0
    write_image(tmp_path / "out" / "a_DN.png", np.zeros((5, 5, 3), np.uint8))
    assert call("test", *given).code == 0
    assert read_image(tmp_path / "out" / "a_DN.png").shape == (5, 5, 3)
    assert call("test", *given, "--overwrite").code == 0
    assert read_image(tmp_path / "out" / "a_DN.png").shape == (64, 64, 3)
    ended = call("test", *given, "--overwrite", "--max-pixels", 64 * 64)
    assert ended.code == 7 and "64x80 pixels are more than" in ended.err
    assert "1 of 3 images denoised" in ended.out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--out", "b.png"), "--out: expected a folder, got b.png"),
        (("--max-pixels", "-1"), "--max-pixels: expected a number of pixels, 1 or more, got -1"),
    ],
)
def test_invalid_flags_are_refused_before_anything_is_written(call, ckpt, image, flags, message):
    before = sorted(Path.cwd().iterdir())
    ended = call("test", "--pretrained", ckpt, "--test_img", image, *flags)
    assert ended.code == 2 and message in ended.err
    assert sorted(Path.cwd().iterdir()) == before


@pytest.mark.parametrize("folder", [None, "elsewhere"])
def test_a_result_replaces_a_file_only_with_overwrite(call, ckpt, image, tmp_path, folder):
    out = tmp_path if folder is None else tmp_path / folder
    out.mkdir(exist_ok=True)
    (out / "my.photo_DN.png").write_bytes(b"somebody's")
    words = ["--pretrained", ckpt, "--test_img", image, *(["--out", out] if folder else [])]
    ended = call("test", *words)
    assert ended.code == 2 and "my.photo_DN.png: exists; add --overwrite to replace it" in ended.err
    assert (out / "my.photo_DN.png").read_bytes() == b"somebody's"
    assert call("test", *words, "--overwrite").code == 0
    assert read_image(out / "my.photo_DN.png").shape == read_image(image).shape


def test_results_of_two_images_with_the_same_name_do_not_replace_each_other(call, ckpt, image, tmp_path):
    write_image(image.with_suffix(".bmp"), read_image(image))
    words = ["--pretrained", ckpt, "--format", "png", "--test_img"]
    assert call("test", *words, image).code == 0
    before = (tmp_path / "my.photo_DN.png").read_bytes()
    assert call("test", *words, image.with_suffix(".bmp")).code == 2
    assert (tmp_path / "my.photo_DN.png").read_bytes() == before


def test_scores_replace_files_only_with_overwrite(call, ckpt, tmp_path):
    names = (
        "metrics.csv metrics.txt 0000_DN.png 0002_DN_31.07.png 0001_NOISY.png report.html panel.png".split()
    )
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes.txt").write_bytes(b"in nobody's way")
    words = ["--pretrained", ckpt, "--out", mine]
    for name in names:
        (mine / name).write_bytes(b"somebody's")
        ended = call("test", *words)
        assert ended.code == 2 and f"{name}: exists; add --overwrite" in ended.err
        assert sorted(path.name for path in mine.iterdir()) == sorted([name, "notes.txt"])
        (mine / name).unlink()
    for name in names:
        (mine / name).write_bytes(b"somebody's")
    assert call("test", *words, "--overwrite").code == 0


def test_nan_is_refused_or_kept(call, ckpt, tmp_path):
    image = np.random.default_rng(0).random((40, 33, 3)).astype(np.float32)
    image[:9, :9] = np.nan
    image[20:, 30, 2] = np.nan
    np.save(tmp_path / "a.npy", image)
    refused = call("test", "--pretrained", ckpt, "--test_img", "a.npy")
    assert refused.code == 7 and "are NaN or infinite (nan=keep" in refused.err
    assert call("test", "--pretrained", ckpt, "--test_img", "a.npy", "--set", "nan=keep").code == 0
    result = np.load(tmp_path / "a_DN.npy")
    assert np.array_equal(np.isnan(result), np.isnan(image)) and result.dtype == np.float32
