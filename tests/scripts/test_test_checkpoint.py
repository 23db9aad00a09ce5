"""`test.py` loads the network of a run, a file or the original, and refuses damaged or hostile files."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from src.util.images.io import read_image
from tests.scripts.conftest import OF_ORIGINAL, ORIGINAL, pngs


def test_k19_the_last_checkpoint_is_used_and_never_random_weights(call, trained, image):
    ended = call("test", "-s", "run", "--test_img", image)
    assert ended.code == 0 and re.search(r"run_002\.pth, after epoch 2", ended.out)
    ended = call("test", "-c", "tiny.yaml", "--test_img", image)
    assert ended.code == 2 and "name a network" in ended.err
    ended = call("test", "-s", "absent", "--test_img", image)
    assert ended.code in (2, 4) and "absent" in ended.err
    shutil.rmtree(trained / "checkpoint")
    ended = call("test", "-s", "run", "--test_img", image)
    assert ended.code == 4 and "no usable checkpoint" in ended.err


def test_k2_a_damaged_last_checkpoint_is_reported_and_the_one_before_used(call, ckpt, image):
    ckpt.write_bytes(ckpt.read_bytes()[:-200])
    ended = call("test", "-s", "run", "--test_img", image)
    assert ended.code == 0
    assert re.search(r"warning: .*run_002\.pth: damaged", ended.err)
    assert re.search(r"run_001\.pth, after epoch 1", ended.out)


def test_k20_e_chooses_an_epoch_of_the_run(call, trained, image):
    ended = call("test", "-s", "run", "-e", "1", "--test_img", image)
    assert ended.code == 0 and re.search(r"run_001\.pth, after epoch 1\n", ended.out)
    for epoch in ("7", "-1", "0"):
        ended = call("test", "-s", "run", "-e", epoch, "--test_img", image)
        assert ended.code in (2, 4) and ended.err.startswith("error: ")


def test_k20_e_is_ignored_with_a_checkpoint(call, ckpt, image):
    ended = call("test", "--pretrained", ckpt, "-e", "1", "--test_img", image)
    assert ended.code == 0 and "after epoch 2" in ended.out


def test_k21_a_checkpoint_is_found_by_path_or_by_name_in_both_folders(call, trained, image, tmp_path):
    (best,) = (path.name for path in (trained / "best_ckpts").iterdir())
    shutil.copy(trained / "checkpoint" / "run_001.pth", tmp_path / "here.pth")
    for name, epoch in (
        ("run_001.pth", 1), ("run_002", 2), (best, int(best[4:7])), ("here.pth", 1),
        ("output/run/checkpoint/run_002.pth", 2),
    ):  # fmt: skip
        ended = call("test", "-s", "run", "--pretrained", name, "--test_img", image, "--overwrite")
        assert ended.code == 0 and f"after epoch {epoch}" in ended.out, name
    ended = call("test", "-s", "run", "--pretrained", "run_009.pth", "--test_img", image)
    assert ended.code == 4 and "run_009.pth: there is no such checkpoint" in ended.err


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04" + bytes(100)])
def test_k2_a_file_that_is_no_checkpoint_is_refused(call, image, tmp_path, content):
    (tmp_path / "bad.pth").write_bytes(content)
    ended = call("test", "--pretrained", "bad.pth", "--test_img", image)
    assert ended.code == 4 and "bad.pth: not a readable checkpoint" in ended.err


class Harmful:
    def __reduce__(self):
        return Path.touch, (Path("harm"),)


def test_k17_nothing_in_a_checkpoint_is_executed(call, image, tmp_path):
    torch.save({"epoch": 1, "model_weights": {}, "config": Harmful()}, tmp_path / "harmful.pth")
    ended = call("test", "--pretrained", "harmful.pth", "--test_img", image)
    assert ended.code == 4
    assert not (tmp_path / "harm").exists()


def test_a_checkpoint_of_the_original_works_with_a_configuration(call, image, tmp_path):
    ended = call("test", *OF_ORIGINAL, "--test_img", image)
    assert ended.code == 0
    assert "not learned to denoise" in ended.err  # it was barely trained
    assert "after epoch 5" in ended.out
    assert read_image(tmp_path / "my.photo_DN.png").shape == (51, 67, 3)


def test_c15_a_checkpoint_of_the_original_needs_a_configuration(call, image):
    ended = call("test", "--pretrained", ORIGINAL, "--test_img", image)
    assert ended.code == 2
    assert "carries no configuration (as the original's); give one with -c" in ended.err


def test_c15_a_wrong_architecture_is_refused_in_one_line(call, ckpt, image):
    ended = call("test", "-c", "sidd_train", "--pretrained", ORIGINAL, "--test_img", image)
    assert ended.code == 4
    assert re.search(r"unet2_005\.pth: does not fit the configuration's network: .*size mismatch", ended.err)
    wrong = ["--set", "model.kwargs={bsn: UNet, features: [4, 8]}"]
    ended = call("test", "--pretrained", ckpt, *wrong, "--test_img", image)
    assert ended.code == 4 and "does not fit" in ended.err
    assert ended.err.count("\n") == 1


def test_e8_weights_that_are_not_finite_exit_4(call, ckpt, image, tmp_path):
    content = torch.load(ckpt, weights_only=True)
    next(iter(content["model_weights"].values())).fill_(torch.nan)
    torch.save(content, tmp_path / "nan.pth")
    ended = call("test", "--pretrained", "nan.pth", "--test_img", image)
    assert ended.code == 4 and "nan.pth: 1 of its weights are not finite" in ended.err
    assert pngs(tmp_path) == []


def test_export_writes_safetensors_and_nothing_else(call, trained, tmp_path):
    before = set(tmp_path.rglob("*"))
    ended = call("test", "--pretrained", trained / "checkpoint" / "run_002.pth", "--export", "w.safetensors")
    assert ended.code == 0, ended.err
    assert set(tmp_path.rglob("*")) - before == {tmp_path / "w.safetensors"}
    assert call("test", "-s", "run", "--export", "w.safetensors").code == 2
    assert call("test", "-s", "run", "--export", "w.safetensors", "--overwrite").code == 0


def test_k3_a_checkpoint_given_by_its_path_is_checked_against_the_manifest(call, trained):
    path = trained / "checkpoint" / "run_002.pth"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    ended = call("test", "--pretrained", path, "--export", "w.safetensors")
    assert (ended.code, ended.err.count("\n")) == (4, 1)
    assert "run_002.pth: damaged (its SHA-256" in ended.err


@pytest.mark.parametrize("flags", [[], ["--pretrained", "general"]])
def test_the_general_network_is_the_default(call, image, flags):
    ended = call("test", *flags, "--test_img", image)
    assert ended.code == 0, ended.err
    assert "general.safetensors" in ended.out
    assert ("no network was named: this is the general one" in ended.out) == (not flags)
    assert "light is given back with gamma" in ended.out
    noisy, denoised = read_image(image), read_image(Path("my.photo_DN.png"))
    assert noisy.shape == denoised.shape
    assert abs(noisy.mean() - denoised.mean()) < 1
    assert (
        np.abs(np.diff(denoised.astype(int), axis=1)).mean()
        < 0.7 * np.abs(np.diff(noisy.astype(int), axis=1)).mean()
    )


def test_the_general_network_takes_any_number_of_channels(call, tmp_path):
    counts = np.random.default_rng(0).poisson(200, (40, 50, 5)).astype(np.uint16)
    np.save(tmp_path / "counts.npy", counts)
    ended = call("test", "--test_img", "counts.npy", "--set", "data_range=1000")
    assert ended.code == 0, ended.err
    result = np.load(tmp_path / "counts_DN.npy")
    assert result.shape == counts.shape and result.dtype == counts.dtype
    assert result.std() < 0.5 * counts.std() and abs(result.mean() - 200) < 3
