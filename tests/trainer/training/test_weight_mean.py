"""Runs with a mean of weights, a warm-up and frozen batch norm: saved, resumed, validated."""

import os
import signal

import pytest
import torch

from src.trainer.config.build import build_images, build_model
from src.trainer.training.reporter import Reporter
from src.util.errors import Stopped

CPU = torch.device("cpu")
EMA = "training.ema=0.9"
# Epochs have three steps; everything depends on epoch and step; the freeze is inside the second epoch.
SETTINGS = [
    EMA, "training.freeze_norm=0.5", "training.optimizer={type: AdamW, weight_decay: 0.1}",
    "training.scheduler={type: cosine, warm_up: 0.3}", "training.batch_size=1", "training.max_epochs=3",
    "training.dataset_args.crop_size=48", "training.dataset_args.augmentations=[flip, rotate]",
]  # fmt: skip


@pytest.fixture(scope="module")
def whole():
    """Result of an unbroken run; the first test that needs it makes it."""
    return {}


def compare(whole, new_run, differing, stopped):
    if not whole:
        run = new_run("whole")
        run.train(*SETTINGS)
        whole.update(last=run.last, losses=run.losses, scores=run.scores)
    assert differing(whole["last"], {**stopped.last, "config": whole["last"]["config"]}) == []
    assert (stopped.losses, stopped.scores) == (whole["losses"], whole["scores"])


@pytest.mark.parametrize("at", [2, 4, 6])
def test_k14_a_run_stopped_by_sigterm_and_resumed_equals_the_unbroken_one(
    whole, new_run, differing, at_step, at
):
    run = new_run("stopped")
    at_step(lambda: os.kill(os.getpid(), signal.SIGTERM), at)
    with pytest.raises(Stopped):
        run.train(*SETTINGS)
    run.resume(*SETTINGS)
    compare(whole, new_run, differing, run)


def test_k14_so_does_one_that_was_killed(whole, new_run, differing, stop_at_step):
    run = new_run("stopped")
    stop_at_step(5)
    with pytest.raises(KeyboardInterrupt):
        run.train(*SETTINGS, "checkpoint.interval_steps=1")
    run.resume(*SETTINGS, "checkpoint.interval_steps=1", workers=2)
    compare(whole, new_run, differing, run)


def test_k14_a_stop_in_a_validation_saves_both_mean_and_weights(whole, new_run, differing, monkeypatch):
    """During a validation the network has the mean as its weights; nothing was saved before."""
    run, original = new_run("stopped"), Reporter.image

    def signalled(self, result, *arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return original(self, result, *arguments)

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(Reporter, "image", signalled)
        run.train(*SETTINGS, "checkpoint.save=false")
    assert run.last["state"]["step"] == 3
    run.resume(*SETTINGS)
    compare(whole, new_run, differing, run)


def test_a_checkpoint_has_the_mean_as_its_weights_and_the_latest_beside_it(new_run, differing):
    """Epochs have one step: a run without a mean saves the weights after each step."""
    plain, run = new_run("plain"), new_run("run")
    every = ["training.max_epochs=3", "training.batch_size=3", "checkpoint.save_all=true"]
    plain.train(*every)
    run.train(*every, EMA)
    assert differing(plain.last["model_weights"], run.last["raw_weights"]) == []
    assert "raw_weights" not in plain.last
    for name, mean in build_model(plain.configure(), CPU).module.state_dict().items():
        if mean.is_floating_point():
            for step in (1, 2, 3):
                after = plain.epoch(step)["model_weights"][name]
                mean = torch.lerp(mean, after, 1 - min(0.9, (1 + step) / (10 + step)))
            torch.testing.assert_close(run.last["model_weights"][name], mean, rtol=1e-6, atol=1e-8)
    assert differing(run.last["model_weights"], run.last["raw_weights"]) != []


def test_the_mean_is_what_is_validated_kept_as_best_and_given_back(new_run, differing, load, monkeypatch):
    run, seen = new_run("run"), []
    monkeypatch.setattr(
        Reporter, "image",
        lambda self, result, *_: seen.append(result.denoised) if result.index == 0 else None,
    )  # fmt: skip
    network = run.train("training.max_epochs=1", EMA)
    saved = load(run.files.checkpoint_file(1)).network
    noisy = build_images(run.configure(), "validation")[0, 0]["noisy"]
    assert torch.equal(saved.denoise(noisy, "a"), seen[0])
    (best,) = run.files.best_checkpoints.iterdir()
    assert differing(saved.module.state_dict(), load(best).network.module.state_dict()) == []
    assert differing(saved.module.state_dict(), network.module.state_dict()) == []
    saved.module.load_state_dict(run.last["raw_weights"])
    assert not torch.equal(saved.denoise(noisy, "a"), seen[0])


def test_a_resumed_run_may_start_a_mean_or_drop_it(new_run, differing):
    run = new_run("run")
    run.train("training.max_epochs=1")
    run.resume("training.max_epochs=2", EMA)
    weights = run.last["raw_weights"]
    assert differing(run.last["model_weights"], weights) != []
    run.resume("training.max_epochs=2")  # nothing is left to train
    run.resume("training.max_epochs=3")
    whole = new_run("whole")
    whole.train("training.max_epochs=3")
    assert differing(whole.last["model_weights"], run.last["model_weights"]) == []
    assert "raw_weights" not in run.last


def statistics(content, key="model_weights"):
    return {name: value for name, value in content[key].items() if "running" in name or "tracked" in name}


def test_from_its_share_on_running_statistics_stay_and_weights_change(new_run, differing):
    run = new_run("run")
    run.train("training.max_epochs=4", "training.freeze_norm=0.5", "checkpoint.save_all=true")
    first, half, last = (run.epoch(number) for number in (1, 2, 4))
    assert differing(statistics(first), statistics(half)) != []
    assert differing(statistics(half), statistics(last)) == []
    assert len(differing(half["model_weights"], last["model_weights"])) > 10
    never, throughout = new_run("never"), new_run("throughout")
    never.train("training.max_epochs=2")
    throughout.train("training.max_epochs=2", "training.freeze_norm=0")
    assert statistics(throughout.last)["bsn.down_branch.0.conv.1.num_batches_tracked"] == 0
    assert statistics(never.last)["bsn.down_branch.0.conv.1.num_batches_tracked"] == 4
    assert (
        differing(never.last["model_weights"], half["model_weights"]) == []
    )  # frozen, nothing before changes
