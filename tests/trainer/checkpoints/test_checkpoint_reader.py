"""A run is read while another process saves into it."""

import os
import shutil
from itertools import combinations_with_replacement
from pathlib import Path

import pytest

from src.trainer.checkpoints.checkpoint import CheckpointStore, load_checkpoint
from src.util.file_manager import FileManager
from tests.trainer.conftest import content


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
        monkeypatch.setattr("src.trainer.checkpoints.checkpoint.load_checkpoint", load)
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
