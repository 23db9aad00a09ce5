"""Checkpoints of this program and of the original load, and nothing in them is executed."""

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import safetensors.torch
import torch

from src.trainer.checkpoints.checkpoint import load_checkpoint
from src.util.errors import CheckpointError

PARITY = Path(__file__).parents[2] / "parity"
CONTENT = {"epoch": 1, "model_weights": {"bsn.w": torch.ones(3)}}


def saved(tmp_path, thing):
    torch.save(thing, tmp_path / "a.pth")
    return tmp_path / "a.pth"


@pytest.mark.parametrize("name", ["unet2_005.pth", "unet_005.pth"])
def test_a_checkpoint_of_the_original_program_loads(name):
    loaded = load_checkpoint(PARITY / name)
    assert loaded["epoch"] == 5
    assert loaded["model_weights"]["bsn.down_branch.0.conv.0.weight"].ndim == 4
    assert "config" not in loaded


def test_k24_module_is_removed_only_as_a_prefix(tmp_path):
    weights = {"module.bsn.w": torch.ones(1), "bsn.module.w": torch.zeros(1), "submodule.w": torch.zeros(1)}
    loaded = load_checkpoint(saved(tmp_path, {"epoch": 1, "model_weights": weights}))
    assert list(loaded["model_weights"]) == ["bsn.w", "bsn.module.w", "submodule.w"]


def test_k17_nothing_in_a_checkpoint_is_executed(tmp_path):
    canary = tmp_path / "canary"

    class Bomb:
        def __reduce__(self):
            return (Path.touch, (canary,))

    path = saved(tmp_path, {"epoch": 1, "model_weights": {"w": Bomb()}})
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        load_checkpoint(path)
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        load_checkpoint(path)
    assert not canary.exists()


def test_k18_a_checkpoint_saved_on_a_gpu_loads_without_one(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        path = saved(tmp_path, CONTENT)
    assert b"cuda:0" in path.read_bytes()
    assert load_checkpoint(path, "cpu")["model_weights"]["bsn.w"].device.type == "cpu"


def test_tensors_go_to_the_given_device(tmp_path):
    loaded = load_checkpoint(saved(tmp_path, CONTENT), torch.device("meta"))
    assert loaded["model_weights"]["bsn.w"].device.type == "meta"


@pytest.mark.parametrize(
    "thing",
    [
        torch.ones(3),
        [1, 2],
        {"epoch": 1},
        {"model_weights": {}},
        {"epoch": 1, "model_weights": 3},
        {"epoch": 1, "model_weights": [torch.ones(1)]},
        {"epoch": 1, "model_weights": {"w": "text"}},
        {"epoch": 1, "model_weights": {3: torch.ones(1)}},
        {"epoch": "one", "model_weights": {}},
    ],
    ids=repr,
)
def test_other_content_is_refused(tmp_path, thing):
    with pytest.raises(CheckpointError, match=r"a\.pth: expected .*'epoch'"):
        load_checkpoint(saved(tmp_path, thing))


def test_the_error_names_the_unreadable_file(tmp_path):
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "folder.pth").mkdir()
    for name in ("text.pth", "empty.pth", "folder.pth"):
        with pytest.raises(CheckpointError, match=f"{name}: not a readable checkpoint"):
            load_checkpoint(tmp_path / name)
    with pytest.raises(CheckpointError, match="there is no such checkpoint"):
        load_checkpoint(tmp_path / "gone.pth")


def as_before_1_6(path):
    torch.save(CONTENT, path, _use_new_zipfile_serialization=False)


def as_cut_off_export(path):
    safetensors.torch.save_file({"bsn.w": torch.ones(2)}, path)
    path.write_bytes(path.read_bytes()[:-1])


def as_image(path):
    cv2.imwrite(str(path.with_suffix(".png")), np.zeros((8, 8), np.uint8))
    path.with_suffix(".png").rename(path)


def as_cut_off(path):
    torch.save(CONTENT, path)
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (as_before_1_6, r"before 1\.6; .*torch\.save\(torch\.load\(OLD, weights_only=False\), NEW\)"),
        (as_cut_off_export, "incomplete"),
        (as_image, "an image; .*--test_img"),
        (as_cut_off, "cut off; copy or download it again"),
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
        (lambda path: path.write_text("\n<!DOCTYPE html><html>"), "a web page"),
        (lambda path: path.write_text("hello"), "not written by torch.save"),
    ],
)
def test_the_error_names_the_kind_of_file(write, reason, tmp_path):
    write(tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=rf"a\.pth: not a readable checkpoint: .*{reason}"):
        load_checkpoint(tmp_path / "a.pth")


def test_the_suggested_conversion_makes_an_old_checkpoint_loadable(tmp_path):
    old, new = tmp_path / "old.pth", tmp_path / "new.pth"
    as_before_1_6(old)
    torch.save(torch.load(old, weights_only=False), new)
    assert load_checkpoint(new)["epoch"] == CONTENT["epoch"]
