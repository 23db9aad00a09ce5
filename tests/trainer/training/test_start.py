"""Initial weights from another training."""

import pytest
import torch

from src.util.errors import CheckpointError


@pytest.fixture
def first(new_run):
    run = new_run("first")
    run.train()
    return run


@pytest.mark.parametrize("settings", [[], ["training.ema=0.9"]])
def test_it_starts_from_the_weights_of_the_other_and_so_does_their_mean(new_run, first, differing, settings):
    """A learning rate near zero changes no weight, only the statistics of batch norm."""
    run = new_run("second")
    path = first.files.checkpoint_file(2)
    run.train(f"training.init={path}", "training.init_lr=1e-30", *settings)
    assert f"initial weights: {path}" in run.log
    changed = differing(run.last["model_weights"], first.last["model_weights"])
    assert all("running" in line or "num_batches" in line for line in changed)


def test_another_network_is_refused_with_the_first_layer_that_differs(new_run, first):
    run, path = new_run("second"), first.files.checkpoint_file(2)
    layer = r"bsn\.down_branch\.0\.conv\.0\.weight has shape \[4, 3, 3, 3\] there, \[5, 3, 3, 3\] here"
    with pytest.raises(CheckpointError, match=rf"training\.init: .*first_002\.pth: another network: {layer}"):
        run.train(f"training.init={path}", "model.kwargs.features=[5, 8]")
    assert not run.files.folder.exists()
    with pytest.raises(CheckpointError, match=r"gone\.pth: there is no such checkpoint"):
        run.train("training.init=gone.pth")


def test_general_is_the_network_that_comes_with_the_program(new_run):
    run = new_run("mine")
    run.train(
        "training.init=general", "training.max_epochs=1", "training.init_lr=1e-30",
        "model.kwargs={bsn: UNet, in_channels: 3, features: [32, 64], local_mean: 8}",
    )  # fmt: skip
    assert "initial weights: general" in run.log
    assert torch.isfinite(run.last["model_weights"]["bsn.tail.1.weight"]).all()
