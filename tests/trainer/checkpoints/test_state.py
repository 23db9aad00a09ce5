import json

import torch

from src.trainer.checkpoints.state import WINDOW, Best, TrainingState


def state():
    return TrainingState(
        epoch=3, step=250, validated_epoch=2,
        best={"psnr": Best(29.441, 2), "loss": Best(0.5, 1)},
    )  # fmt: skip


def test_running_means_are_over_the_last_100_steps():
    state = TrainingState()
    state.recent.extend({"total": float(n), "self_L2": 2.0 * n} for n in range(1, 251))
    assert WINDOW == 100
    assert state.running_means() == {"total": 200.5, "self_L2": 401.0}  # of 151 to 250


def test_there_are_no_running_means_before_the_first_step():
    assert TrainingState().running_means() == {}


def test_k14_a_state_is_restored_unchanged(tmp_path):
    before = state()
    before.recent.extend({"total": n / 3} for n in range(120))
    torch.save(before.to_plain(), tmp_path / "state.pth")
    after = TrainingState.from_plain(torch.load(tmp_path / "state.pth", weights_only=True))
    assert after == before
    for one in (before, after):
        one.recent.append({"total": 1.0})
    assert after.running_means() == before.running_means()
    assert len(after.recent) == WINDOW


def test_k10_scores_are_not_rounded():
    plain = json.loads(json.dumps(state().to_plain()))
    assert TrainingState.from_plain(plain).best["psnr"] == Best(29.441, 2)


def test_saved_state_does_not_change_with_the_training():
    before = state()
    plain = before.to_plain()
    before.best["psnr"] = Best(30.0, 3)
    before.recent.append({"total": 1.0})
    assert plain["best"]["psnr"] == {"value": 29.441, "epoch": 2, "measure": {}}
    assert plain["recent"] == []
