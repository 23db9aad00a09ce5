"""Runs with a mean of weights, a rate that rises first and frozen batch norms: saved, resumed, validated."""

import os
import signal

import pytest
import torch

from src.trainer.config.build import build_images, build_model
from src.trainer.training.reporter import Reporter
from src.trainer.training.step import TrainingStep
from src.util.errors import Stopped

CPU = torch.device("cpu")
EMA = "training.ema=0.9"
# Epochs of three steps; all that depends on where the training stands, and the freeze amid the second epoch.
SETTINGS = [
    EMA, "training.freeze_norm=0.5", "training.optimizer={type: AdamW, weight_decay: 0.1}",
    "training.scheduler={type: cosine, warm_up: 0.3}", "training.batch_size=1", "training.max_epochs=3",
    "training.dataset_args.crop_size=48", "training.dataset_args.augmentations=[flip, rotate]",
]  # fmt: skip


@pytest.fixture(scope="module")
def whole():
    """What a run that never stopped ends with; made by the first test that asks."""
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
    whole, new_run, differing, monkeypatch, at
):
    run, original, steps = new_run("stopped"), TrainingStep.__call__, iter(range(10**9))

    def signalled(self, *arguments):
        if next(steps) == at:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(TrainingStep, "__call__", signalled)
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


def test_k14_a_stop_in_a_validation_saves_mean_and_weights_each_for_what_it_is(
    whole, new_run, differing, monkeypatch
):
    """While it validates, the network has the mean for its weights; nothing was saved before."""
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


def test_a_checkpoint_has_the_mean_for_its_weights_and_the_latest_beside_it(new_run, differing):
    """Made again from the weights after each step, which training without a mean has, too."""
    plain, run = new_run("plain"), new_run("run")
    every = ["training.max_epochs=1", "training.batch_size=1", "checkpoint.interval_steps=1"]
    kept = []
    weights = build_model(plain.configure(), CPU).module.state_dict()
    with pytest.MonkeyPatch.context() as patch:
        original = TrainingStep.__call__

        def watched(self, *arguments):
            value = original(self, *arguments)
            kept.append({n: v.clone() for n, v in self.network.module.state_dict().items()})
            return value

        patch.setattr(TrainingStep, "__call__", watched)
        plain.train(*every)
    run.train(*every, EMA)
    assert differing(plain.last["model_weights"], run.last["raw_weights"]) == []
    assert "raw_weights" not in plain.last
    for name, mean in weights.items():
        if mean.is_floating_point():
            for step, after in enumerate(kept, 1):
                mean = torch.lerp(mean, after[name], 1 - min(0.9, (1 + step) / (10 + step)))
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


def test_a_mean_may_be_begun_and_left_off_when_a_run_goes_on(new_run, differing):
    run = new_run("run")
    run.train("training.max_epochs=1")
    run.resume("training.max_epochs=2", EMA)
    weights = run.last["raw_weights"]
    assert differing(run.last["model_weights"], weights) != []
    run.resume("training.max_epochs=2")  # nothing is left to train: only what it goes on with is seen
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
