import contextlib
import os
import shutil
from itertools import combinations_with_replacement
from pathlib import Path

import pytest
import torch

from src.trainer.checkpoint import CheckpointStore, load_checkpoint
from src.util.errors import CheckpointError, StorageError
from src.util.file_manager import FileManager


def content(epoch, mark=0.0):
    return {"epoch": epoch, "model_weights": {"bsn.w": torch.full((3,), float(epoch))}, "mark": mark}


@pytest.fixture
def store(files):
    return CheckpointStore(files)


def names(folder):
    return sorted(os.listdir(folder))


def best_names(files):
    return names(files.best_checkpoints)


def newest_epoch(files):
    return CheckpointStore(files).newest()[1]["epoch"]


def flip_one_bit(path):
    data = bytearray(path.read_bytes())
    data[data.index(torch.tensor([5.0]).numpy().tobytes())] ^= (
        1  # in the weights: reading alone does not notice
    )
    path.write_bytes(data)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def empty(path):
    path.write_bytes(b"")


DAMAGES = {"one bit": flip_one_bit, "truncated": truncate, "empty": empty, "missing": Path.unlink}


# What stays


def test_the_last_two_checkpoints_stay(files, store):
    for epoch in range(1, 6):
        store.save_last(content(epoch), epoch, keep_all=False)
    assert names(files.checkpoints) == ["run_004.pth", "run_005.pth"]
    assert newest_epoch(files) == 5


def test_all_checkpoints_stay_when_asked_for_and_are_pruned_when_no_longer(files, store):
    for epoch in range(1, 5):
        store.save_last(content(epoch), epoch, keep_all=True)
    assert len(names(files.checkpoints)) == 4
    store.save_last(
        content(5), 5, keep_all=False
    )  # k6: with three or more files the original never pruned again
    assert names(files.checkpoints) == ["run_004.pth", "run_005.pth"]


def test_k7_epochs_are_numbers_not_words(files, store):
    for epoch in range(998, 1003):
        store.save_last(content(epoch), epoch, keep_all=False)
        assert newest_epoch(files) == epoch
    assert names(files.checkpoints) == ["run_1001.pth", "run_1002.pth"]


def test_an_epoch_that_is_saved_again_counts_once(files, store):
    for epoch, mark in ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1)):
        store.save_last(content(epoch, mark), epoch, keep_all=False)
    assert names(files.checkpoints) == ["run_002.pth", "run_003.pth"]
    assert CheckpointStore(files).newest()[1]["mark"] == 1


def test_k8_k13_files_of_the_user_are_neither_read_nor_deleted(files, store):
    for folder in (files.checkpoints, files.best_checkpoints):
        for name in ("000_downloaded.pth", "run_000.pth", "notes.txt", "run_000_psnr_99.00.pth"):
            (folder / name).write_text("mine")
    for epoch in range(1, 5):
        store.save_last(content(epoch), epoch, keep_all=False)
        store.save_best(content(epoch), epoch, "psnr", 20.0 + epoch)
        assert newest_epoch(files) == epoch
    for folder in (files.checkpoints, files.best_checkpoints):
        for name in ("000_downloaded.pth", "run_000.pth", "notes.txt", "run_000_psnr_99.00.pth"):
            assert (folder / name).read_text() == "mine"


def test_the_best_replaces_the_one_before_it_by_the_same_metric_alone(files, store):
    store.save_best(content(1), 1, "psnr", 29.0)
    store.save_best(content(1), 1, "ssim", 0.9)
    store.save_best(content(2), 2, "psnr", 29.5)
    assert best_names(files) == ["run_001_ssim_0.900.pth", "run_002_psnr_29.50.pth"]
    assert load_checkpoint(files.best_file(2, "psnr", 29.5))["epoch"] == 2


@pytest.mark.parametrize("name", ["psnr_x", "ssim_x", "run_psnr_99.99"])
def test_k11_the_name_of_the_run_is_not_taken_for_a_metric(tmp_path, name):
    files = FileManager(tmp_path, name)
    files.create()
    store = CheckpointStore(files)
    for epoch in (1, 2):
        store.save_best(content(epoch), epoch, "psnr", 20.0 + epoch)
        store.save_best(content(epoch), epoch, "ssim", 0.5 + epoch / 10)
    assert best_names(files) == [f"{name}_002_psnr_22.00.pth", f"{name}_002_ssim_0.700.pth"]
    files.close()


def test_a_new_process_goes_on_with_what_the_last_one_wrote(files):
    for epoch in range(1, 5):
        store = CheckpointStore(files)
        store.save_last(content(epoch), epoch, keep_all=False)
        store.save_best(content(epoch), epoch, "psnr", 20.0 + epoch)
    assert names(files.checkpoints) == ["run_003.pth", "run_004.pth"]
    assert best_names(files) == ["run_004_psnr_24.00.pth"]


# Damage


@pytest.mark.parametrize("damage", DAMAGES)
def test_k2_k3_a_damaged_checkpoint_is_noticed_and_the_one_before_it_taken(files, store, messages, damage):
    for epoch in (4, 5):
        store.save_last(content(epoch), epoch, keep_all=False)
    DAMAGES[damage](files.checkpoint_file(5))
    path, loaded = CheckpointStore(files).newest()
    assert (path, loaded["epoch"]) == (files.checkpoint_file(4), 4)
    (said,) = messages
    assert said.startswith("WARNING")
    assert "run_005.pth" in said
    assert "going back to the checkpoint before it" in said


def test_when_all_are_damaged_it_is_said_and_nothing_is_deleted(files, store):
    for epoch in (4, 5):
        store.save_last(content(epoch), epoch, keep_all=False)
        truncate(files.checkpoint_file(epoch))
    with pytest.raises(CheckpointError, match="no usable checkpoint"):
        CheckpointStore(files).newest()
    assert names(files.checkpoints) == ["run_004.pth", "run_005.pth"]


@pytest.fixture
def moments(files, tmp_path, monkeypatch):
    """The folder of a run after each change of the disk: saved twice inside an epoch, twice at its end."""
    store, taken = CheckpointStore(files), []

    def recorded(real):
        def change(path, *arguments, **keywords):
            was_there = Path(path).exists()
            real(path, *arguments, **keywords)
            if was_there:
                taken.append(tmp_path / f"moment {len(taken)}")
                shutil.copytree(files.folder, taken[-1] / "run")

        return change

    for step in (2, 4):
        store.save_interim(content(0), 0, step)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", recorded(os.replace))
        patch.setattr(Path, "unlink", recorded(Path.unlink))
        for mark in (0, 1):  # before the validation and after it
            store.save_last(content(1, mark), 1, keep_all=False)
    return taken


@pytest.fixture
def reader_of(tmp_path, monkeypatch):
    """A reader that sees a run's first moment when it comes, and a later one after each file it has read."""
    output = tmp_path / "output as seen"

    def open_at(moments):
        coming = iter(moments)

        def go_on():
            if moment := next(coming, None):
                output.unlink(missing_ok=True)
                output.symlink_to(moment)

        def load(path, device="cpu"):
            try:
                return load_checkpoint(path, device)
            finally:
                go_on()

        go_on()
        monkeypatch.setattr("src.trainer.checkpoint.load_checkpoint", load)
        return CheckpointStore(FileManager(output, "run")), go_on

    return open_at


def test_f14_a_reader_that_is_overtaken_between_any_two_files_finds_a_checkpoint(moments, reader_of):
    assert len(moments) == 3 + 2 + 2 + 3
    for seen in combinations_with_replacement(moments, 3):
        reader, _ = reader_of(seen)
        path, loaded = reader.newest()
        assert (path.name, loaded["epoch"]) in (("run_001.pth", 1), ("run_000_step_000004.pth", 0))


def test_f14_a_checkpoint_asked_for_by_name_is_not_called_damaged_when_it_is_saved_again(moments, reader_of):
    whole = [moment for moment in moments if (moment / "run" / "checkpoint" / "run_001.pth").exists()]
    for before, after in combinations_with_replacement(whole, 2):
        reader, go_on = reader_of((before, after))
        go_on()
        assert reader.load(reader.files.checkpoint_file(1))["epoch"] == 1


def test_k19_a_run_without_checkpoints_has_no_newest(store):
    with pytest.raises(CheckpointError, match="no usable checkpoint"):
        store.newest()


def test_k3_a_checkpoint_that_is_asked_for_by_name_is_verified_too(files, store):
    last = store.save_last(content(5), 5, keep_all=False)
    best = store.save_best(content(5), 5, "psnr", 30.0)
    assert store.load(last)["epoch"] == store.load(best)["epoch"] == 5
    for path in (last, best):
        flip_one_bit(path)
        load_checkpoint(path)  # would not have noticed
        with pytest.raises(CheckpointError, match="damaged"):
            store.load(path)


def test_a_checkpoint_from_elsewhere_is_loaded_unverified(files, store):
    torch.save(content(3), files.checkpoints / "downloaded.pth")
    assert store.load(files.checkpoints / "downloaded.pth")["epoch"] == 3


# Crashes and full disks


class Killed(BaseException):
    """The process is gone: nothing it would do afterwards is done."""


@contextlib.contextmanager
def killed_before(call, monkeypatch):
    """Ends the block as by `kill -9`, before its change of the disk number `call` if there are so many."""
    state = {"left": call, "killed": False}

    def guarded(real):
        def change(*arguments, **keywords):
            if state["left"] == 0 or state["killed"]:
                state["killed"] = True
                raise Killed
            state["left"] -= 1
            return real(*arguments, **keywords)

        return change

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", guarded(os.replace))
        patch.setattr(os, "fsync", guarded(os.fsync))
        patch.setattr(Path, "unlink", guarded(Path.unlink))
        with contextlib.suppress(Killed):
            yield state


def train_on(files, epochs):
    """What a training does from where the newest checkpoint is: save, validate, keep the best, save again."""
    store = CheckpointStore(files)
    newest = store.newest()[1] if store.manifest["last"] else content(0, mark=1)
    done = newest["epoch"] if newest["mark"] else newest["epoch"] - 1  # not validated yet
    for epoch in range(done + 1, epochs + 1):
        if epoch > newest["epoch"]:
            store.save_last(content(epoch, mark=0), epoch, keep_all=False)
        store.save_best(content(epoch), epoch, "psnr", 20.0 + epoch)
        store.save_last(content(epoch, mark=1), epoch, keep_all=False)


def test_k1_k4_a_crash_between_any_two_changes_of_the_disk_loses_nothing(tmp_path, files, monkeypatch):
    train_on(files, 3)
    files.close()
    call, killed = 0, True
    while killed:
        shutil.copytree(files.folder, tmp_path / str(call) / "run")
        run = FileManager(tmp_path / str(call), "run")
        with killed_before(call, monkeypatch) as state:
            train_on(run, 4)
        killed = state["killed"]
        run.open()
        assert newest_epoch(run) in (3, 4)
        assert max(load_checkpoint(path)["epoch"] for path in run.best_checkpoints.glob("*.pth")) in (3, 4)
        train_on(run, 5)
        # A run that was killed ends as one that was not: two checkpoints, one best, and no half-written file.
        assert names(run.checkpoints) == ["run_004.pth", "run_005.pth"]
        assert best_names(run) == ["run_005_psnr_25.00.pth"]
        run.close()
        call += 1
    assert call > 30


def test_two_crashes_while_the_same_checkpoint_is_saved_again_leave_it_whole(files, monkeypatch):
    store = CheckpointStore(files)
    store.save_last(content(1, 0), 1, keep_all=False)
    for mark in (1, 2):
        with killed_before(3 + 1, monkeypatch):  # the manifest is in place, the checkpoint not yet
            CheckpointStore(files).save_last(content(1, mark), 1, keep_all=False)
    assert CheckpointStore(files).newest()[1]["mark"] == 0


@pytest.mark.parametrize("interim", [False, True])
def test_a_run_with_a_best_whose_first_checkpoint_was_never_written_is_empty(files, monkeypatch, interim):
    """With `checkpoint.save: false`, for example, when the disk is full at the end."""
    store = CheckpointStore(files)
    store.save_best(content(2), 2, "psnr", 29.0)
    with killed_before(3 + 1, monkeypatch):  # the manifest is in place, the checkpoint not yet
        if interim:
            store.save_interim(content(2), 2, 5)
        else:
            store.save_last(content(3), 3, keep_all=False)
    assert names(files.checkpoints) == [] and len(CheckpointStore(files).manifest["last"]) == 1
    assert CheckpointStore(files).is_empty()


def test_k4_k5_a_full_disk_keeps_the_best_and_the_next_validation_goes_on(files, store, monkeypatch):
    store.save_best(content(1), 1, "psnr", 29.0)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="No space left"):
            store.save_best(content(2), 2, "psnr", 29.5)
    assert load_checkpoint(files.best_file(1, "psnr", 29.0))["epoch"] == 1
    store.save_best(content(3), 3, "psnr", 29.7)
    assert best_names(files) == ["run_003_psnr_29.70.pth"]
