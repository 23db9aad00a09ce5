"""Runs that are resumed with other settings, or on another machine."""

import math

import pytest
import torch
import yaml

from src.trainer.config.components import with_settings
from src.trainer.config.reading import check_config
from src.trainer.training.session import train
from src.util.config.yaml_document import read_yaml
from src.util.errors import CheckpointError
from tests.trainer.conftest import CPU


def test_k22_a_changed_network_is_refused_and_the_run_is_unchanged(new_run, differing):
    run = new_run("run")
    run.train()
    config, before = run.files.config_file.read_bytes(), run.last
    with pytest.raises(
        CheckpointError, match=r"another network.*model\.kwargs\.features: \[4, 8\] -> \[8, 16\]"
    ):
        run.resume("model.kwargs.features=[8, 16]", "training.max_epochs=3")
    assert run.files.config_file.read_bytes() == config
    assert differing(before, run.last) == []


def test_k22_other_changes_are_listed_and_take_effect(new_run):
    run = new_run("run")
    run.train()
    run.resume("training.max_epochs=3", "training.init_lr=0.5e-3", "training.scheduler.type=constant")
    changed = next(line for line in run.log.splitlines() if "resumed with changed settings" in line)
    assert "training.init_lr: 0.001 -> 0.0005" in changed
    assert "training.max_epochs: 2 -> 3" in changed
    assert "batch_size" not in changed
    assert "learning rate 5.000e-04" in run.losses[3, 6]
    assert "init_lr: 0.0005" in run.files.config_file.read_text()


def test_k22_changed_settings_of_the_optimiser_take_effect(new_run):
    run = new_run("run")
    run.train()
    moments = {number: dict(state) for number, state in run.last["optimizer_weights"]["state"].items()}
    run.resume("training.max_epochs=3", "training.optimizer={betas: [0.5, 1e-9], fused: true}")
    assert "training.optimizer.Adam.betas: [0.9, 0.999] -> [0.5, 1e-09]" in run.log
    optimizer = run.last["optimizer_weights"]
    assert optimizer["param_groups"][0]["betas"] == (0.5, 1e-9)
    assert optimizer["param_groups"][0]["fused"] is True
    assert all(optimizer["state"][number]["step"] == state["step"] + 2 for number, state in moments.items())


@pytest.mark.parametrize(
    ("setting", "names"),
    [("training.loss=1*self_L1", ["self_L1"]), ("training.tmp_info=[self_L1]", ["self_L2", "self_L1"])],
)
def test_k22_a_run_resumes_with_other_terms_of_the_loss(new_run, setting, names):
    run = new_run("run")
    run.train()
    run.resume("training.max_epochs=3", setting)
    recent = run.last["state"]["recent"]
    assert [list(losses) for losses in recent] == [["total", *names]] * 2
    assert run.losses[3, 5].startswith(f"loss {recent[0]['total']:.4e} ")


def test_k22_another_batch_size_does_not_shift_the_schedule(new_run):
    """Epochs have six steps, then two: half of the training is done when it is resumed, not all."""
    run = new_run("run")
    settings = ["training.dataset_args.repeat_times=4", "training.scheduler.type=cosine"]
    run.train(*settings)
    run.resume(*settings, "training.max_epochs=4", "training.batch_size=6")
    assert "epoch 3/4, step 13/16: " in run.log and "epoch 4/4, step 16/16: " in run.log
    rates = [float(text.rpartition("rate ")[2]) for (epoch, _), text in run.losses.items() if epoch > 2]
    expected = [1e-3 * (1 + math.cos(math.pi * done / 8)) / 2 for done in range(4, 8)]
    assert rates == pytest.approx(expected, rel=1e-3)
    assert "images/s, -" not in run.log  # the remaining time is not negative


def test_another_machine_is_logged_when_a_run_is_resumed(new_run, monkeypatch):
    run = new_run("run")
    run.train("training.max_epochs=1")
    threads = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads + 1)
    run.resume("training.max_epochs=2")
    assert f"resumed with CPU threads {threads + 1} instead of {threads}: the last digits may" in run.log


@pytest.mark.parametrize("where", ["ram", "disk"])
def test_a_cache_of_decoded_images_does_not_change_a_resumed_run(new_run, differing, tmp_path, where):
    one, other = new_run("whole"), new_run("resumed")
    one.train()
    other.train("training.max_epochs=1")
    keys = {"cache": where, "cache_folder": tmp_path / "cache"}
    other.resume(*(f"training.dataset_args.{key}={value}" for key, value in keys.items()), workers=1)
    assert f"training.dataset_args.cache: None -> {where}" in other.log
    assert differing(one.last, {**other.last, "config": one.last["config"]}) == []


def test_k22_a_run_resumes_with_another_masker_and_the_log_lists_the_change(new_run, messages):
    run = new_run("run")
    run.train("masker.masker_args.pixel_perc=0.003")
    kept = run.files.config_file
    settings = ["masker.masker_type=N2V_Masker", "training.max_epochs=3"]
    train(check_config(with_settings(read_yaml(kept), settings)), run.files, CPU, 0, resume=True)
    changed = next(line for line in run.log.splitlines() if "resumed with changed settings" in line)
    assert "masker.masker_type: Masker -> N2V_Masker" in changed
    assert "masker.masker_args.prox_radius: 3; " in changed
    assert "sim_patch_edge" not in changed  # only the old masker takes it
    assert "masker.masker_args.pixel_perc" not in changed  # both take it
    stored = yaml.safe_load(kept.read_text())["masker"]
    assert (stored["masker_type"], stored["masker_args"]["pixel_perc"]) == ("N2V_Masker", 0.003)
    assert "sim_patch_edge" not in stored["masker_args"]
