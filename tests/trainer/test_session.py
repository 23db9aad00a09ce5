import math
import re
import shutil

import numpy as np
import pytest
import torch

from src.trainer import trainer
from src.trainer.build import CONFIGS
from src.trainer.checkpoint import CheckpointStore
from src.util.errors import CheckpointError, ConfigError, DataError, OutOfMemoryError, RunExistsError
from src.util.image_io import read_picture, write_picture
from src.util.logger import start_console
from src.util.yaml_document import read_yaml

NOISE = {
    "none": [],
    "fixed": ["training.dataset_args.add_noise={sigma: 20, correlate: true, fixed: true}"],
    "fresh": ["training.dataset_args.add_noise={sigma: 20, shot: 10}"],
}
MASKER = {
    "Masker": [],
    "N2V_Masker": ["training.masker_type=N2V_Masker", "training.masker_args={prox_radius: 2}"],
}
# Everything depends on where the training stands: the rate, the loss weights, the order, crops and spots.
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


def test_k14_so_it_does_with_the_fast_overlay(new_run, differing, stop_at_step):
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


def test_k14_k15_the_comparison_sees_another_seed_and_another_step(new_run, differing):
    one, other = new_run("one"), new_run("other")
    one.train("seed=1")
    other.train("seed=2")
    found = differing(one.last, other.last)
    assert "/model_weights/bsn.down_branch.0.conv.0.weight" in found
    assert "/optimizer_weights/state/0/exp_avg" in found
    assert "/state/recent/0/total" in found
    assert one.losses != other.losses


def test_k15_the_same_seed_gives_the_same_weights_whatever_was_drawn_before(new_run, differing):
    one, other = new_run("one"), new_run("other")
    torch.manual_seed(1)
    one.train(workers=0)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    other.train(workers=1)
    assert torch.equal(before, torch.get_rng_state()), "a training must not draw from the global generator"
    assert differing(one.last, other.last) == []


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


def test_k22_a_changed_network_is_refused_and_the_run_left_as_it_was(new_run, differing):
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
    assert "training.optimizer.betas: [0.9, 0.999] -> [0.5, 1e-09]" in run.log
    optimizer = run.last["optimizer_weights"]
    assert optimizer["param_groups"][0]["betas"] == (0.5, 1e-9)
    assert optimizer["param_groups"][0]["fused"] is True
    assert all(optimizer["state"][number]["step"] == state["step"] + 2 for number, state in moments.items())


def test_the_largest_gradient_of_the_configuration_takes_effect(new_run):
    """Adam's first moment is a mean of gradients, none of them longer than that."""
    run = new_run("run")
    run.train("training.max_epochs=1", "training.grad_clip=1e-6")
    moments = [state["exp_avg"] for state in run.last["optimizer_weights"]["state"].values()]
    assert 0 < torch.nn.utils.get_total_norm(moments) <= 1e-6


@pytest.mark.parametrize(
    ("setting", "names"),
    [("training.loss=1*self_L1", ["self_L1"]), ("training.tmp_info=[self_L1]", ["self_L2", "self_L1"])],
)
def test_k22_a_run_goes_on_with_other_terms_of_the_loss(new_run, setting, names):
    run = new_run("run")
    run.train()
    run.resume("training.max_epochs=3", setting)
    recent = run.last["state"]["recent"]
    assert [list(losses) for losses in recent] == [["total", *names]] * 2
    assert run.losses[3, 5].startswith(f"loss {recent[0]['total']:.4e} ")


def test_k22_with_another_batch_size_the_schedule_goes_on_where_it_was(new_run):
    """Epochs of six steps, then of two: half of the training is done when it is resumed, not all."""
    run = new_run("run")
    settings = ["training.dataset_args.repeat_times=4", "training.scheduler.type=cosine"]
    run.train(*settings)
    run.resume(*settings, "training.max_epochs=4", "training.batch_size=6")
    assert "epoch 3/4, step 13/16: " in run.log and "epoch 4/4, step 16/16: " in run.log
    rates = [float(text.rpartition("rate ")[2]) for (epoch, _), text in run.losses.items() if epoch > 2]
    expected = [1e-3 * (1 + math.cos(math.pi * done / 8)) / 2 for done in range(4, 8)]
    assert rates == pytest.approx(expected, rel=1e-3)
    assert "images/s, -" not in run.log  # time that is left


def test_k23_a_finished_run_says_so_and_trains_no_further(new_run, differing):
    run = new_run("run")
    run.train()
    before = run.last
    run.resume()
    assert "already finished: 2 epochs; raise training.max_epochs to train on" in run.log
    assert differing(before, run.last) == []


def test_resume_without_a_run_is_refused_and_makes_none(new_run):
    run = new_run("absent")
    with pytest.raises(ConfigError, match=r"there is no run .*absent to resume"):
        run.resume()
    assert not run.files.folder.exists()


@pytest.mark.parametrize("epochs", [1, 2])
def test_resume_without_the_checkpoints_that_there_were_is_refused(new_run, epochs):
    run = new_run("emptied")
    run.train(f"training.max_epochs={epochs}")
    for path in run.files.checkpoints.iterdir():
        path.unlink()
    with pytest.raises(CheckpointError, match="no usable checkpoint"):
        run.resume()


def test_f4_an_existing_name_is_refused_and_nothing_of_the_old_run_changes(new_run):
    run = new_run("taken")
    run.train()
    files = {path: path.read_bytes() for path in run.files.folder.rglob("*") if path.is_file()}
    with pytest.raises(RunExistsError, match="exists; add -r to resume it"):
        run.train()
    assert {path: path.read_bytes() for path in run.files.folder.rglob("*") if path.is_file()} == files


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


def test_t6_an_empty_training_folder_is_refused_and_no_run_is_made(new_run, tmp_path):
    (tmp_path / "empty").mkdir()
    run = new_run("run")
    with pytest.raises(DataError, match="empty: no pictures in it"):
        run.train(f"training.dataset_args.folder={tmp_path / 'empty'}")
    assert not run.files.folder.exists()


@pytest.mark.parametrize("part", ["training", "validation"])
def test_f3_a_file_that_is_no_picture_is_named_before_anything_is_made(new_run, tmp_path, noisy_folder, part):
    shutil.copytree(noisy_folder, tmp_path / "mixed")
    (tmp_path / "mixed" / "broken.png").write_text("no picture")
    settings = [f"{part}.dataset_args.folder={tmp_path / 'mixed'}"]
    run = new_run("run")
    with pytest.raises(DataError, match=r"mixed/broken\.png: "):
        run.train(*settings)
    assert not run.files.folder.parent.exists()


def test_what_is_said_of_a_folder_is_said_once_though_validation_looks_at_it_too(
    new_run, noisy_folder, messages
):
    start_console()
    grey = read_picture(noisy_folder / "a.png")[..., :1]
    write_picture(noisy_folder / "grey.png", grey)
    np.save(noisy_folder / "deep.npy", 257 * grey.astype(np.uint16))
    write_picture(noisy_folder / "a_DN.png", grey)
    new_run("run").train()
    for words in ("passed over, results of test.py", "pictures of several ranges", "grey is repeated into 3"):
        assert sum(words in message for message in messages) == 1, words


def test_validation_can_be_left_out(new_run):
    run = new_run("run")
    run.train("validation.val=false")
    assert run.best == [] and not run.files.scores_file.exists()
    assert run.epochs == [1, 2]


def test_another_machine_is_said_when_a_run_is_resumed(new_run, monkeypatch):
    run = new_run("run")
    run.train("training.max_epochs=1")
    threads = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads + 1)
    run.resume("training.max_epochs=2")
    assert f"resumed with CPU threads {threads + 1} instead of {threads}: the last digits may" in run.log


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), MemoryError(),
              RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")],
)  # fmt: skip
def test_out_of_memory_says_what_to_lower_and_leaves_the_last_checkpoint(new_run, stop_at_step, error):
    run = new_run("run")
    stop_at_step(3, lambda: error)
    with pytest.raises(OutOfMemoryError, match=r"out of memory on cpu: lower training\.batch_size"):
        run.train("training.max_epochs=2")
    assert run.epochs == [1]
    run.resume("training.max_epochs=2")
    assert run.last["epoch"] == 2


@pytest.mark.parametrize("content", [{"state": 3}, {"state": {}}, {"optimizer_weights": []}], ids=str)
def test_a_checkpoint_with_another_state_is_refused(new_run, content):
    run = new_run("run")
    run.train("training.max_epochs=1")
    CheckpointStore(run.files).save_last(run.last | content, 1, keep_all=False)
    with pytest.raises(CheckpointError, match=r"run_001\.pth: its state is not one of this program"):
        run.resume()


@pytest.mark.parametrize("where", ["ram", "disk"])
def test_a_run_goes_on_with_its_pictures_kept_decoded_as_if_nothing_had_changed(
    new_run, differing, tmp_path, where
):
    one, other = new_run("whole"), new_run("resumed")
    one.train()
    other.train("training.max_epochs=1")
    keys = {"cache": where, "cache_folder": tmp_path / "cache"}
    other.resume(*(f"training.dataset_args.{key}={value}" for key, value in keys.items()), workers=1)
    assert f"training.dataset_args.cache: None -> {where}" in other.log
    assert differing(one.last, {**other.last, "config": one.last["config"]}) == []
