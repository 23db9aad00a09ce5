"""A resumed run equals an unbroken one, or is refused with a reason."""

import re
import shutil

import pytest

from src.trainer.checkpoints.checkpoint import CheckpointStore
from src.trainer.config.names import CONFIGS
from src.trainer.training import trainer
from src.util.config.yaml_document import read_yaml
from src.util.errors import CheckpointError, ConfigError, OutOfMemoryError, RunExistsError

NOISE = {
    "none": [],
    "fixed": ["training.dataset_args.add_noise={sigma: 20, correlate: true, fixed: true}"],
    "fresh": ["training.dataset_args.add_noise={sigma: 20, shot: 10}"],
}
MASKER = {
    "Masker": [],
    "N2V_Masker": ["masker.masker_type=N2V_Masker", "masker.masker_args={prox_radius: 2}"],
}
# Learning rate, loss weights, order, crops and spots all depend on epoch and step.
MOVING = [
    "training.dataset_args.crop_size=48",
    "training.dataset_args.augmentations=[flip, rotate]",
    "training.max_epochs=3",
    "training.scheduler.type=cosine",
    "training.loss=1*self_L2 + 0.5r*self_L1",
]


@pytest.mark.parametrize("masker", MASKER)
@pytest.mark.parametrize("noise", NOISE)
def test_k14_a_run_stopped_within_an_epoch_and_resumed_equals_one_that_never_stopped(
    new_run, differing, stop_at_step, masker, noise
):
    settings = [*MOVING, *MASKER[masker], *NOISE[noise]]
    whole, stopped = new_run("whole"), new_run("stopped")
    whole.train(*settings)
    stop_at_step(3)  # the second of epoch 2
    with pytest.raises(KeyboardInterrupt):
        stopped.train(*settings)
    assert stopped.last["epoch"] == 1
    stopped.resume(*settings, workers=2)
    assert differing(whole.last, stopped.last) == []
    assert stopped.losses == whole.losses
    assert stopped.scores == whole.scores
    assert stopped.best == [name.replace("whole", "stopped") for name in whole.best]


def test_k14_a_resumed_run_with_the_fast_overlay_equals_an_unbroken_one(new_run, differing, stop_at_step):
    fast = read_yaml(CONFIGS / "fast.yaml").data["training"]
    settings = [*MOVING, *(f"training.{key}={value}" for key, value in fast.items())]
    whole, stopped = new_run("whole"), new_run("stopped")
    whole.train(*settings)
    stop_at_step(3)
    with pytest.raises(KeyboardInterrupt):
        stopped.train(*settings)
    stopped.resume(*settings)
    assert differing(whole.last, stopped.last) == []
    assert whole.last["optimizer_weights"]["param_groups"][0]["fused"] is True


def test_k14_two_epochs_and_two_more_equal_four(new_run, differing):
    four, two = new_run("four"), new_run("two")
    four.train("training.max_epochs=4", workers=2)
    two.train("training.max_epochs=2", workers=2)
    two.resume("training.max_epochs=4", workers=2)
    assert differing(four.last, two.last) == []
    assert two.last["state"]["step"] == 8


def test_k14_k15_runs_of_different_seeds_differ(new_run, differing):
    one, other = new_run("one"), new_run("other")
    one.train("seed=1")
    other.train("seed=2")
    found = differing(one.last, other.last)
    assert "/model_weights/bsn.down_branch.0.conv.0.weight" in found
    assert "/optimizer_weights/state/0/exp_avg" in found
    assert "/state/recent/0/total" in found
    assert one.losses != other.losses


def test_k25_a_validation_that_crashed_is_made_up_for(new_run, monkeypatch, differing):
    whole, crashed = new_run("whole"), new_run("crashed")
    whole.train()
    with monkeypatch.context() as patch, pytest.raises(OutOfMemoryError):
        patch.setattr(trainer, "evaluate", lambda *arguments: (_ for _ in ()).throw(MemoryError))
        crashed.train()
    assert crashed.last["epoch"] == 1 and crashed.last["state"]["validated_epoch"] == 0
    crashed.resume()
    assert [row["epoch"] for row in crashed.scores] == ["1", "2"]
    assert crashed.scores == whole.scores
    assert differing(whole.last, crashed.last) == []


def test_k25_a_crash_in_the_last_validation_is_made_up_for_too(new_run, monkeypatch):
    run = new_run("run")
    once = ["training.max_epochs=1"]
    with monkeypatch.context() as patch, pytest.raises(OutOfMemoryError):
        patch.setattr(trainer, "evaluate", lambda *arguments: (_ for _ in ()).throw(MemoryError))
        run.train(*once)
    run.resume(*once)
    assert [row["epoch"] for row in run.scores] == ["1"]
    assert run.last["state"]["validated_epoch"] == 1
    assert len(run.best) == 1


def test_k23_a_finished_run_trains_no_further(new_run, differing):
    run = new_run("run")
    run.train()
    before = run.last
    run.resume()
    assert "already finished: 2 epochs; raise training.max_epochs to train on" in run.log
    assert run.log.count("steps are few for a network") == 1
    assert differing(before, run.last) == []


def test_resume_without_a_run_is_refused_and_makes_none(new_run):
    run = new_run("absent")
    with pytest.raises(ConfigError, match=r"there is no run .*absent to resume"):
        run.resume()
    assert not run.files.folder.exists()


@pytest.mark.parametrize("epochs", [1, 2])
def test_resume_after_all_checkpoints_were_deleted_is_refused(new_run, epochs):
    run = new_run("emptied")
    run.train(f"training.max_epochs={epochs}")
    for path in run.files.checkpoints.iterdir():
        path.unlink()
    with pytest.raises(CheckpointError, match="no usable checkpoint"):
        run.resume()


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [truncate, flip_a_bit])
def test_k2_k3_resume_falls_back_from_a_damaged_checkpoint(new_run, differing, damage):
    whole, damaged = new_run("whole"), new_run("damaged")
    whole.train("training.max_epochs=3")
    damaged.train("training.max_epochs=3")
    damage(damaged.files.checkpoint_file(3))
    damaged.resume("training.max_epochs=3")
    assert re.search(r"WARNING .*damaged_003\.pth: damaged", damaged.log)
    assert "damaged_002.pth after epoch 2" in damaged.log
    assert differing(whole.last, damaged.last) == []


def test_k2_resume_is_refused_when_no_checkpoint_is_whole(new_run):
    run = new_run("run")
    run.train()
    for epoch in run.epochs:
        truncate(run.files.checkpoint_file(epoch))
    with pytest.raises(CheckpointError, match="no usable checkpoint"):
        run.resume("training.max_epochs=3")


def test_k8_f5_files_of_the_user_in_the_run_are_neither_read_nor_touched(new_run):
    run = new_run("run")
    run.train()
    strangers = [
        run.files.checkpoints / "aaa_downloaded.pth", run.files.checkpoints / "run_999.pth",
        run.files.best_checkpoints / "notes.txt", run.files.logs / "aaa.txt",
    ]  # fmt: skip
    for stranger in strangers:
        stranger.write_text("mine")
    run.resume("training.max_epochs=5")
    assert [stranger.read_text() for stranger in strangers] == ["mine"] * 4
    assert run.last["epoch"] == 5


def test_f6_resume_makes_folders_that_are_missing(new_run):
    run = new_run("run")
    run.train()
    for folder in (run.files.logs, run.files.tensorboard, run.files.images, run.files.best_checkpoints):
        shutil.rmtree(folder)
    run.resume("training.max_epochs=3")
    assert run.losses[3, 6]
    assert run.last["epoch"] == 3


def test_f14_a_run_that_is_being_trained_is_not_resumed_by_another(new_run, stop_at_step, monkeypatch):
    run = new_run("run")
    run.train()
    refused = []

    def meanwhile(self, epoch):
        with pytest.raises(RunExistsError, match="another process is training this run"):
            new_run("run").resume()
        refused.append(epoch)

    monkeypatch.setattr(trainer.Trainer, "save_if_due", meanwhile)
    run.resume("training.max_epochs=3")
    assert refused
    monkeypatch.undo()
    run.resume("training.max_epochs=3")  # the lock is free again
    assert run.last["epoch"] == 3


@pytest.mark.parametrize("content", [{"state": 3}, {"state": {}}, {"optimizer_weights": []}], ids=str)
def test_a_checkpoint_of_unknown_layout_is_refused(new_run, content):
    run = new_run("run")
    run.train("training.max_epochs=1")
    CheckpointStore(run.files).save_last(run.last | content, 1, keep_all=False)
    with pytest.raises(CheckpointError, match=r"run_001\.pth: its training state has an unknown layout"):
        run.resume()
