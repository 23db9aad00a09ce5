"""A run is read while another process saves checkpoints."""

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
    """Copies of a run's folder after each change on disk: two saves inside an epoch, two at its end."""
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
    """Make a reader for which the run moves on to the next moment after each file it has read."""
    output = tmp_path / "output as seen"

    def open_at(moments):
        coming = iter(moments)

        def advance():
            if moment := next(coming, None):
                output.unlink(missing_ok=True)
                output.symlink_to(moment)

        def load(path, device="cpu"):
            try:
                return load_checkpoint(path, device)
            finally:
                advance()

        advance()
        monkeypatch.setattr("src.trainer.checkpoints.checkpoint.load_checkpoint", load)
        return CheckpointStore(FileManager(output, "run")), advance

    return open_at


def test_f14_a_reader_finds_a_checkpoint_even_if_the_run_saves_between_two_files(moments, reader_of):
    assert len(moments) == 3 + 2 + 2 + 3
    for seen in combinations_with_replacement(moments, 3):
        reader, _ = reader_of(seen)
        path, loaded = reader.newest()
        assert (path.name, loaded["epoch"]) in (("run_001.pth", 1), ("run_000_step_000004.pth", 0))


def test_f14_a_checkpoint_overwritten_while_it_is_loaded_is_not_reported_as_damaged(moments, reader_of):
    whole = [moment for moment in moments if (moment / "run" / "checkpoint" / "run_001.pth").exists()]
    for before, after in combinations_with_replacement(whole, 2):
        reader, advance = reader_of((before, after))
        advance()
        assert reader.load(reader.files.checkpoint_file(1))["epoch"] == 1
