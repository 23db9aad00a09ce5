"""Stopping inside an epoch, by a kill or by a signal, and going on as if nothing had been."""

import os
import signal

import pytest
import torch

from src.trainer.training.reporter import Reporter
from src.trainer.training.step import TrainingStep
from src.trainer.training.stopping import StopRequest
from src.util.errors import Stopped

# Epochs of three steps of an image each; everything depends on where the training stands.
SETTINGS = [
    "training.batch_size=1",
    "training.max_epochs=3",
    "training.dataset_args.crop_size=48",
    "training.dataset_args.augmentations=[flip, rotate]",
    "training.dataset_args.add_noise={sigma: 20, shot: 10}",
    "training.scheduler.type=cosine",
]


UNSCORED = ["validation.val=false", "checkpoint.interval_steps=1"]


def names(run):
    return sorted(path.name for path in run.files.checkpoints.iterdir())


def send(monkeypatch, number, times=1, at=4):
    """A signal comes to this process within the step number `at`, counted from 0."""
    original, steps = TrainingStep.__call__, iter(range(10**9))

    def signalled(self, *arguments):
        if next(steps) == at:
            for _ in range(times):
                os.kill(os.getpid(), number)
        return original(self, *arguments)

    monkeypatch.setattr(TrainingStep, "__call__", signalled)


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
    assert stopped.losses == whole["losses"]
    assert stopped.scores == whole["scores"]


@pytest.mark.parametrize(("before", "after"), [(0, 2), (2, 0)])
def test_k14_a_killed_run_goes_on_inside_its_epoch(whole, new_run, differing, stop_at_step, before, after):
    run = new_run("stopped")
    stop_at_step(5)
    with pytest.raises(KeyboardInterrupt):
        run.train(*SETTINGS, "checkpoint.interval_steps=1", workers=before)
    assert (run.last["epoch"], run.last["state"]["step"], run.last["state"]["batch"]) == (1, 5, 2)
    run.resume(*SETTINGS, "checkpoint.interval_steps=1", workers=after)
    compare(whole, new_run, differing, run)


def test_checkpoints_inside_an_epoch_serve_until_it_is_saved(new_run, stop_at_step):
    run = new_run("run")
    stop_at_step(5)
    with pytest.raises(KeyboardInterrupt):
        run.train(*SETTINGS, "checkpoint.interval_steps=1")
    assert names(run) == ["run_001.pth", "run_001_step_000004.pth", "run_001_step_000005.pth"]
    (run.files.checkpoints / "run_001_step_000099.pth").write_bytes(b"a user's own")
    run.resume(*SETTINGS, "checkpoint.interval_steps=1", "checkpoint.save_all=true")
    assert names(run) == ["run_001.pth", "run_001_step_000099.pth", "run_002.pth", "run_003.pth"]


def test_no_more_than_two_stay_inside_an_epoch(new_run, stop_at_step):
    run = new_run("run")
    stop_at_step(9)
    with pytest.raises(KeyboardInterrupt):
        run.train(
            "training.batch_size=1", "training.dataset_args.repeat_times=4", "checkpoint.interval_steps=2"
        )
    assert names(run) == ["run_000_step_000006.pth", "run_000_step_000008.pth"]


def test_k8_a_damaged_one_falls_back_to_the_one_before(new_run, stop_at_step, differing, whole):
    run = new_run("run")
    stop_at_step(5)
    with pytest.raises(KeyboardInterrupt):
        run.train(*SETTINGS, "checkpoint.interval_steps=1")
    newest = run.files.checkpoints / "run_001_step_000005.pth"
    newest.write_bytes(newest.read_bytes()[:-1] + b"x")
    run.resume(*SETTINGS, "checkpoint.interval_steps=1")
    assert "run_001_step_000005.pth: damaged" in run.log
    assert "after epoch 1, step 4" in run.log
    compare(whole, new_run, differing, run)


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no such signals")
@pytest.mark.parametrize(
    ("name", "code", "times"),
    [("SIGTERM", 143, 1), ("SIGUSR1", 143, 1), ("SIGINT", 130, 1), ("SIGTERM", 143, 3)],
)
def test_b5_a_signal_ends_the_step_saves_and_stops(whole, new_run, differing, monkeypatch, name, code, times):
    number = getattr(signal, name)
    run, before = new_run("stopped"), signal.getsignal(number)
    with monkeypatch.context() as patch:
        send(patch, number, times)
        with pytest.raises(Stopped, match=f"by {name}; saved .*/stopped_001_step_000005.pth") as stop:
            run.train(*SETTINGS, workers=2)
    assert stop.value.exit_code == code
    assert run.last["state"]["step"] == 5
    assert signal.getsignal(number) == before
    run.resume(*SETTINGS)
    compare(whole, new_run, differing, run)


@pytest.mark.parametrize("save", ["true", "false"])
def test_b5_a_signal_in_the_last_step_of_an_epoch_stops_before_the_next(new_run, monkeypatch, save):
    """At once, also where the epoch itself is not to be saved and nothing is validated."""
    run, settings = new_run("run"), [*SETTINGS, "validation.val=false", f"checkpoint.save={save}"]
    with monkeypatch.context() as patch:
        send(patch, signal.SIGTERM, at=2)
        with pytest.raises(Stopped):
            run.train(*settings)
    state = run.last["state"]
    assert (state["epoch"], state["step"], state["batch"]) == (1, 3, 0)


def test_b5_a_signal_in_validation_stops_there_and_the_resumed_run_validates(
    whole, new_run, differing, monkeypatch
):
    run, original = new_run("stopped"), Reporter.image

    def signalled(self, result, *arguments):
        if result.index == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, result, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Reporter, "image", signalled)
        with pytest.raises(Stopped):
            run.train(*SETTINGS)
    assert not run.files.scores_file.exists()
    assert names(run) == ["stopped_001.pth"]
    run.resume(*SETTINGS)
    compare(whole, new_run, differing, run)


def test_a_signal_outside_the_block_is_the_systems_again():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
    assert stop.signal == signal.SIGINT
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_b6_a_gradient_that_is_not_finite_stops_before_the_update(new_run, monkeypatch):
    """Weights and moments stay; a finite loss can have such a gradient."""
    from src.util.errors import NonFiniteError

    run = new_run("run")
    run.train("training.max_epochs=1")
    good = run.files.checkpoint_file(1).read_bytes()
    monkeypatch.setattr(torch.nn.utils, "get_total_norm", lambda gradients: torch.tensor(torch.nan))
    with pytest.raises(
        NonFiniteError, match=r"epoch 2/2, step 3/4, .*: the gradient's norm is nan; lower init_lr"
    ):
        run.resume()
    assert run.files.checkpoint_file(1).read_bytes() == good
    assert run.epochs == [1]


def test_a_run_that_was_killed_before_it_saved_anything_begins_again(whole, new_run, differing, stop_at_step):
    run = new_run("stopped")
    stop_at_step(1)
    with pytest.raises(KeyboardInterrupt):
        run.train(*SETTINGS)
    assert names(run) == []
    run.resume(*SETTINGS)
    assert "nothing was saved before: from the beginning" in run.log
    compare(whole, new_run, differing, run)


def test_k22_another_batch_size_goes_on_behind_the_images_that_were_seen(new_run, stop_at_step):
    """Eight images of an epoch's twelve: two batches of two are left, and the change is said."""
    settings = ["training.dataset_args.repeat_times=4", "training.max_epochs=1"]
    run = new_run("run")
    stop_at_step(9)
    with pytest.raises(KeyboardInterrupt):
        run.train(*settings, "training.batch_size=1", "checkpoint.interval_steps=8")
    run.resume(*settings, "training.batch_size=2")
    assert (
        "resumed with changed settings: checkpoint.interval_steps: 8 -> None; training.batch_size: 1 -> 2"
        in run.log
    )
    assert run.last["state"]["step"] == 8 + 2


def test_what_an_epoch_lacks_is_not_made_of_weights_from_inside_the_next_one(new_run, stop_at_step):
    run = new_run("run")
    stop_at_step(4)
    with pytest.raises(KeyboardInterrupt):
        run.train(*SETTINGS, *UNSCORED, "checkpoint.save_all=true")
    assert names(run)[0] == "run_001.pth" and run.last["state"]["batch"] == 1  # inside epoch 2
    before = (run.files.checkpoints / "run_001.pth").read_bytes()
    run.resume(*SETTINGS, "validation.val=true", "checkpoint.save_all=true")
    assert (run.files.checkpoints / "run_001.pth").read_bytes() == before
    assert [row["epoch"] for row in run.scores] == ["2", "3"]


def test_a_run_that_is_cut_short_inside_an_epoch_makes_nothing_of_the_epoch_before(new_run, stop_at_step):
    """With fewer epochs than it has begun it is finished; the weights are no epoch's."""
    run = new_run("run")
    stop_at_step(4)
    with pytest.raises(KeyboardInterrupt):
        run.train(*SETTINGS, *UNSCORED)
    before = {path: path.read_bytes() for path in run.files.checkpoints.iterdir()}
    run.resume(*SETTINGS, "training.max_epochs=1")
    assert {path: path.read_bytes() for path in run.files.checkpoints.iterdir()} == before
    assert not run.files.scores_file.exists() and run.best == []
