"""NaN and infinity stop a training before they are saved, and are refused in checkpoints."""

import math

import pytest
import torch

from src.trainer.checkpoints.checkpoint import CheckpointStore, load_checkpoint
from src.util.errors import CheckpointError
from src.util.file_manager import FileManager
from tests.faults.program import run


def test_t1_k12_b6_a_diverging_run_stops_and_keeps_the_last_good_checkpoint(tmp_path, undisturbed):
    folder = undisturbed.copy(tmp_path)
    files = FileManager(folder / "output", "run")
    kept = {path: path.read_bytes() for path in files.folder.rglob("*.pth")}
    changed = ["--set", "training.init_lr=1.0e+20", "--set", "training.max_epochs=5"]
    ended = run(folder, "main.py", "-s", "run", "-r", "-g", "cpu", "--thread", "0", *changed)
    assert ended.code == 6
    assert "training.init_lr: 0.001 -> 1e+20" in ended.err
    error = ended.err.splitlines()[-1]
    assert error.startswith("error: epoch 4/5, step ") and "init_lr" in error
    loaded = CheckpointStore(files).newest()[1]
    assert all(torch.isfinite(value).all() for value in loaded["model_weights"].values())
    best = [path for path in kept if path.parent == files.best_checkpoints]
    assert best and all(path.read_bytes() == kept[path] for path in best)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_b6_weights_that_are_not_finite_are_refused(tmp_path, value):
    weights = {"bsn.a": torch.zeros(3), "bsn.b": torch.tensor([1.0, value])}
    torch.save({"epoch": 3, "model_weights": weights}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"1 of its weights are not finite, first bsn\.b"):
        load_checkpoint(tmp_path / "a.pth")
