"""A crash or a full disk at any moment loses no checkpoint."""

import contextlib
import os
import shutil
from pathlib import Path

import pytest

from src.trainer.checkpoints.checkpoint import CheckpointStore, load_checkpoint
from src.util.errors import StorageError
from src.util.file_manager import FileManager
from tests.trainer.conftest import best_names, content, names, newest_epoch


class Killed(BaseException):
    """Stands for the end of the process."""


@contextlib.contextmanager
def killed_before(call, monkeypatch):
    """End the block, as `kill -9` would, before its change number `call` of the disk."""
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
    """Continue from the newest checkpoint like a training: save, validate, save the best, save again."""
    store = CheckpointStore(files)
    newest = store.newest()[1] if store.manifest["last"] else content(0, mark=1)
    done = newest["epoch"] if newest["mark"] else newest["epoch"] - 1  # mark 0: not validated yet
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
        # The same files as in a run without a crash.
        assert names(run.checkpoints) == ["run_004.pth", "run_005.pth"]
        assert best_names(run) == ["run_005_psnr_25.00.pth"]
        run.close()
        call += 1
    assert call > 30


def test_two_crashes_while_a_checkpoint_is_overwritten_leave_it_undamaged(files, monkeypatch):
    store = CheckpointStore(files)
    store.save_last(content(1, 0), 1, keep_all=False)
    for mark in (1, 2):
        with killed_before(3 + 1, monkeypatch):  # after the manifest, before the checkpoint
            CheckpointStore(files).save_last(content(1, mark), 1, keep_all=False)
    assert CheckpointStore(files).newest()[1]["mark"] == 0


@pytest.mark.parametrize("interim", [False, True])
def test_a_run_with_a_best_whose_first_checkpoint_was_never_written_is_empty(files, monkeypatch, interim):
    """With `checkpoint.save: false`, for example, when the disk is full at the end."""
    store = CheckpointStore(files)
    store.save_best(content(2), 2, "psnr", 29.0)
    with killed_before(3 + 1, monkeypatch):  # after the manifest, before the checkpoint
        if interim:
            store.save_interim(content(2), 2, 5)
        else:
            store.save_last(content(3), 3, keep_all=False)
    assert names(files.checkpoints) == [] and len(CheckpointStore(files).manifest["last"]) == 1
    assert CheckpointStore(files).is_empty()


def test_k4_k5_a_full_disk_keeps_the_best_and_later_saves_succeed(files, store, monkeypatch):
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
