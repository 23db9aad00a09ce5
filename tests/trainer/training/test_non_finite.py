"""A loss, gradient or weight that is not finite stops the training and is not saved."""

import math

import pytest
import torch

from src.loss import LossValue
from src.trainer.training import trainer
from src.trainer.training.step import TrainingStep
from src.util.errors import NonFiniteError


def test_t1_a_loss_that_is_not_finite_stops_the_run_and_leaves_the_last_good_checkpoint(new_run):
    run = new_run("run")
    run.train("training.max_epochs=1")
    good = {path: path.read_bytes() for path in run.files.folder.rglob("*.pth")}
    place = r"epoch 2/3, step 4/6, values from 0 to 1 of [abc]\.png"
    with pytest.raises(NonFiniteError, match=place + r".*: the loss is (inf|nan); try a smaller"):
        run.resume("training.max_epochs=3", "training.init_lr=1e20")
    assert {path: path.read_bytes() for path in run.files.folder.rglob("*.pth")} == good
    assert "stopped: epoch 2/3, step 4/6, values from" in run.log
    run.resume("training.max_epochs=3")
    assert run.last["epoch"] == 3


def test_t1_an_image_with_several_crops_in_a_batch_is_named_once(new_run):
    one = ["training.dataset_args.n_data=1", "training.dataset_args.repeat_times=4"]
    with pytest.raises(NonFiniteError, match=r" of a\.png: the loss is"):
        new_run("run").train(*one, "training.init_lr=1e20")


def test_t1_a_loss_that_the_step_did_not_check_is_found_before_anything_is_saved(new_run, monkeypatch):
    monkeypatch.setattr(TrainingStep, "__call__", lambda *a: LossValue(torch.tensor(math.nan), {}))
    run = new_run("run")
    with pytest.raises(NonFiniteError, match="step 2/4: the loss of one of the last 2 steps is not"):
        run.train("log.iter_interval=100")
    assert run.epochs == []


def test_t1_k12_weights_that_are_not_finite_are_never_saved(new_run, monkeypatch):
    original = trainer.Trainer.train_epoch

    def poisoned(self, epoch):
        original(self, epoch)
        with torch.no_grad():
            next(self.network.module.parameters())[0] = math.nan

    run = new_run("run")
    run.train("training.max_epochs=1")
    best = run.best
    monkeypatch.setattr(trainer.Trainer, "train_epoch", poisoned)
    with pytest.raises(NonFiniteError, match="a weight is not finite; nothing is saved"):
        run.resume("training.max_epochs=2")
    assert (run.epochs, run.best) == ([1], best)


def test_t1_k12_a_validation_that_gives_nan_is_no_best(new_run, monkeypatch):
    run = new_run("run")
    monkeypatch.setattr(
        "src.trainer.network.network.Network.__call__", lambda self, images: torch.full_like(images, math.nan)
    )
    monkeypatch.setattr(
        TrainingStep, "__call__", lambda *a: LossValue(torch.tensor(1.0), {"self_L2": torch.tensor(1.0)})
    )
    with pytest.raises(NonFiniteError, match=r"a\.png: the network's output is not finite"):
        run.train()
    assert run.best == []
