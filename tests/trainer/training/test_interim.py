"""A run that is killed or stopped by a signal inside an epoch resumes exactly."""

import os
import signal

import pytest
import torch

from src.trainer.training.reporter import Reporter
from src.trainer.training.stopping import StopRequest
from src.util.errors import NonFiniteError, Stopped

# Epochs have three steps of one image; everything depends on epoch and step.
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
def test_b5_a_signal_ends_the_step_saves_and_stops(whole, new_run, differing, at_step, name, code, times):
    number = getattr(signal, name)
    run, before = new_run("stopped"), signal.getsignal(number)
    at_step(lambda: [os.kill(os.getpid(), number) for _ in range(times)], 4)
    with pytest.raises(Stopped, match=f"by {name}; saved .*/stopped_001_step_000005.pth") as stop:
        run.train(*SETTINGS, workers=2)
    assert stop.value.exit_code == code
    assert run.last["state"]["step"] == 5
    assert signal.getsignal(number) == before
    run.resume(*SETTINGS)
    compare(whole, new_run, differing, run)


@pytest.mark.parametrize("save", ["true", "false"])
def test_b5_a_signal_in_the_last_step_of_an_epoch_stops_before_the_next(new_run, at_step, save):
    """Also without a validation, and if the epoch itself would not be saved."""
    run, settings = new_run("run"), [*SETTINGS, "validation.val=false", f"checkpoint.save={save}"]
    at_step(lambda: os.kill(os.getpid(), signal.SIGTERM), 2)
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


def test_after_the_block_signals_have_their_former_handlers():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
    assert stop.signal == signal.SIGINT
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_b6_a_gradient_that_is_not_finite_stops_before_the_update(new_run, monkeypatch):
    """A finite loss can have such a gradient."""
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


def test_a_run_killed_before_its_first_checkpoint_starts_again(whole, new_run, differing, stop_at_step):
    run = new_run("stopped")
    stop_at_step(1)
    with pytest.raises(KeyboardInterrupt):
        run.train(*SETTINGS)
    assert names(run) == []
    run.resume(*SETTINGS)
    assert "nothing was saved before: from the beginning" in run.log
    compare(whole, new_run, differing, run)


def test_k22_with_another_batch_size_a_run_resumes_after_the_images_that_were_seen(new_run, stop_at_step):
    """Eight of twelve images were seen, so two batches of two are left; the log lists the change."""
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


def test_a_missing_validation_is_not_made_up_for_inside_the_next_epoch(new_run, stop_at_step):
    run = new_run("run")
    stop_at_step(4)
    with pytest.raises(KeyboardInterrupt):
        run.train(*SETTINGS, *UNSCORED, "checkpoint.save_all=true")
    assert names(run)[0] == "run_001.pth" and run.last["state"]["batch"] == 1  # inside epoch 2
    before = (run.files.checkpoints / "run_001.pth").read_bytes()
    run.resume(*SETTINGS, "validation.val=true", "checkpoint.save_all=true")
    assert (run.files.checkpoints / "run_001.pth").read_bytes() == before
    assert [row["epoch"] for row in run.scores] == ["2", "3"]


def test_a_run_shortened_to_fewer_epochs_than_it_began_writes_nothing_more(new_run, stop_at_step):
    """It is finished, and its weights belong to no epoch."""
    run = new_run("run")
    stop_at_step(4)
    with pytest.raises(KeyboardInterrupt):
        run.train(*SETTINGS, *UNSCORED)
    before = {path: path.read_bytes() for path in run.files.checkpoints.iterdir()}
    run.resume(*SETTINGS, "training.max_epochs=1")
    assert {path: path.read_bytes() for path in run.files.checkpoints.iterdir()} == before
    assert not run.files.scores_file.exists() and run.best == []
