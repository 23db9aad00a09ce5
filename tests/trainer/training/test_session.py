"""The start of a run: what is refused before its folder is made, warnings, and the seed."""

import shutil

import numpy as np
import pytest
import torch

from src.util.errors import DataError, OutOfMemoryError, RunExistsError
from src.util.images.io import read_image, write_image
from src.util.logger import start_console


def test_k15_the_same_seed_gives_the_same_weights_whatever_was_drawn_before(new_run, differing):
    one, other = new_run("one"), new_run("other")
    torch.manual_seed(1)
    one.train(workers=0)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    other.train(workers=1)
    assert torch.equal(before, torch.get_rng_state()), "a training must not draw from the global generator"
    assert differing(one.last, other.last) == []


def test_the_largest_gradient_of_the_configuration_takes_effect(new_run):
    """Adam's first moment is a mean of clipped gradients."""
    run = new_run("run")
    run.train("training.max_epochs=1", "training.grad_clip=1e-6")
    moments = [state["exp_avg"] for state in run.last["optimizer_weights"]["state"].values()]
    assert 0 < torch.nn.utils.get_total_norm(moments) <= 1e-6


def test_f4_an_existing_name_is_refused_and_nothing_of_the_old_run_changes(new_run):
    run = new_run("taken")
    run.train()
    files = {path: path.read_bytes() for path in run.files.folder.rglob("*") if path.is_file()}
    with pytest.raises(RunExistsError, match="exists; add -r to resume it"):
        run.train()
    assert {path: path.read_bytes() for path in run.files.folder.rglob("*") if path.is_file()} == files


def test_t6_an_empty_training_folder_is_refused_and_no_run_is_made(new_run, tmp_path):
    (tmp_path / "empty").mkdir()
    run = new_run("run")
    with pytest.raises(DataError, match="empty: no images in it"):
        run.train(f"training.dataset_args.data_dir={tmp_path / 'empty'}")
    assert not run.files.folder.exists()


@pytest.mark.parametrize("part", ["training", "validation"])
def test_f3_a_file_that_is_no_image_is_named_before_a_folder_is_made(new_run, tmp_path, noisy_folder, part):
    shutil.copytree(noisy_folder, tmp_path / "mixed")
    (tmp_path / "mixed" / "broken.png").write_text("no image")
    settings = [f"{part}.dataset_args.data_dir={tmp_path / 'mixed'}"]
    run = new_run("run")
    with pytest.raises(DataError, match=r"mixed/broken\.png: "):
        run.train(*settings)
    assert not run.files.folder.parent.exists()


def test_a_folder_for_training_and_validation_is_described_once(new_run, noisy_folder, messages):
    start_console()
    grey = read_image(noisy_folder / "a.png")[..., :1]
    write_image(noisy_folder / "grey.png", grey)
    np.save(noisy_folder / "deep.npy", 257 * grey.astype(np.uint16))
    write_image(noisy_folder / "a_DN.png", grey)
    new_run("run").train()
    for words in (
        "passed over: 1 results of test.py",
        "images of several data ranges",
        "grey is repeated into 3",
    ):
        assert sum(words in message for message in messages) == 1, words


def test_validation_can_be_left_out(new_run):
    run = new_run("run")
    run.train("validation.val=false")
    assert run.best == [] and not run.files.scores_file.exists()
    assert run.epochs == [1, 2]


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), MemoryError(),
              RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")],
)  # fmt: skip
def test_out_of_memory_names_settings_to_lower_and_leaves_the_last_checkpoint(new_run, stop_at_step, error):
    run = new_run("run")
    stop_at_step(3, lambda: error)
    with pytest.raises(OutOfMemoryError, match=r"out of memory on cpu: lower training\.batch_size"):
        run.train("training.max_epochs=2")
    assert run.epochs == [1]
    run.resume("training.max_epochs=2")
    assert run.last["epoch"] == 2


def test_out_of_memory_while_the_network_is_built_leaves_no_folder(new_run, monkeypatch):
    def scarce(*arguments):
        raise MemoryError

    run = new_run("run")
    with monkeypatch.context() as patch, pytest.raises(OutOfMemoryError) as error:
        patch.setattr("src.trainer.training.session.build_model", scarce)
        run.train()
    assert "-r" not in str(error.value) and not run.files.folder.exists()
    run.train("training.max_epochs=1")
    assert run.epochs == [1]


def test_out_of_memory_before_the_first_checkpoint_says_that_nothing_was_saved(new_run, stop_at_step):
    run = new_run("run")
    stop_at_step(0, MemoryError)
    with pytest.raises(OutOfMemoryError, match="nothing was saved before, so -r starts from the beginning"):
        run.train()
    run.resume("training.batch_size=1")
    assert run.last["epoch"] == 2


def test_an_epoch_that_ends_without_a_step_is_logged(new_run, stop_at_step):
    """The run is stopped inside an epoch of three batches and resumed with images for one."""
    run = new_run("run")
    stop_at_step(2)
    with pytest.raises(KeyboardInterrupt):
        run.train("training.batch_size=1", "checkpoint.interval_steps=1")
    run.resume("training.batch_size=1", "training.dataset_args.n_data=1")
    assert "epoch 1 ends without another step: it has only 1 batches now" in run.log
    assert run.last["epoch"] == 2
