"""Fixtures of the fault tests: few trials in `make long`, many in `make faults` (NLN2V_FAULTS=full)."""

import os
import random
import shutil
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
import yaml

from src.trainer.checkpoints.checkpoint import CheckpointStore
from src.util.file_manager import FileManager
from src.util.images.io import write_image
from tests.conftest import FULL, SEED, TRIED
from tests.faults.program import TRAIN, run

if sys.platform == "win32":
    collect_ignore_glob = ["test_*.py"]  # need POSIX signals, limits and links


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.long)


class Trials:
    """Trials of one fault. Each has its own random generator, so that a single one can be repeated."""

    def __init__(self, fault, count):
        self.fault = fault
        self.count = int(os.environ.get("NLN2V_TRIALS", count))
        self.tried = 0
        self.lost = []
        self.notes = {}

    def __iter__(self):
        for number in range(self.count):
            self.tried += 1
            yield number, random.Random(f"{SEED} {self.fault} {number}")

    def expect(self, good, case):
        """Count `case` as lost unless `good`."""
        if not good:
            self.lost.append(case)

    def note(self, what):
        """Count the outcome of a case for the table."""
        self.notes[what] = self.notes.get(what, 0) + 1


@pytest.fixture
def trials(record_property):
    """Make trials, as `trials("fault", small=6, full=300)`. None may be lost; a table shows the counts."""
    made = []

    def new(fault, small, full=None):
        made.append(Trials(fault, full if FULL and full is not None else small))
        return made[-1]

    yield new
    for one in made:
        record_property(TRIED, [one.fault, one.tried, len(one.lost), one.notes])
    for one in made:
        assert one.lost == [], f"{one.fault}: seed {SEED}"


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """Three noisy images of 32 px, the training set of all runs here."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for name in "abc":
        write_image(folder / f"{name}.png", rng.integers(60, 190, (32, 32, 3), dtype=np.uint8))
    return folder


@pytest.fixture(scope="session")
def write_config(images):
    """Write `tiny.yaml` into a folder: a training of a second that writes every kind of file."""

    def write(folder, **training):
        config = {
            "model": {"kwargs": {"bsn": "UNet2", "features": [2, 4]}},
            "masker": {"masker_type": "N2V_Masker", "masker_args": {"pixel_perc": 0.005}},
            "training": {
                "dataset": "Folder",
                "dataset_args": {
                    "data_dir": str(images), "crop_size": 24, "augmentations": ["flip", "rotate"],
                    "add_noise": {"sigma": 20}, "repeat_times": 2,
                },
                "batch_size": 1, "max_epochs": 3, "init_lr": 1e-3, "scheduler": {"type": "cosine"},
            } | training,
            "checkpoint": {"interval_steps": 2},
            "log": {"iter_interval": 1},
        }  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tiny.yaml").write_text(yaml.safe_dump(config))
        return folder

    return write


def values(thing, path=""):
    """Flatten nested containers into {path: value}, with tensors as bytes."""
    if isinstance(thing, torch.Tensor):
        return {path: (str(thing.dtype), tuple(thing.shape), thing.numpy().tobytes())}
    if isinstance(thing, dict | list | tuple):
        items = thing.items() if isinstance(thing, dict) else enumerate(thing)
        return {p: v for key, item in items for p, v in values(item, f"{path}/{key}").items()}
    return {path: thing}


@pytest.fixture(scope="session")
def outcome():
    """Read the results of the run in `FOLDER/output/run`, for bitwise comparison."""

    def read(folder):
        files = FileManager(Path(folder) / "output", "run")
        last = values(CheckpointStore(files).newest()[1])
        lines = [line.split(" INFO ")[-1] for line in files.log_file.read_text().splitlines()]
        # The log repeats the steps that were repeated; their lines must be equal.
        steps = {line.rpartition(", learning rate")[0] for line in lines if ", learning rate" in line}
        rows = files.scores_file.read_text().splitlines()
        kept = sorted(path.name for path in [*files.checkpoints.iterdir(), *files.best_checkpoints.iterdir()])
        return {"last": last, "steps": steps, "rows": rows, "kept": kept}

    return read


class Undisturbed(NamedTuple):
    """A finished run of `tiny.yaml`."""

    folder: Path
    outcome: dict
    seconds: float

    def copy(self, folder):
        """Copy the configuration and the run into another folder."""
        return shutil.copytree(self.folder, folder, dirs_exist_ok=True)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, write_config, outcome):
    folder = write_config(tmp_path_factory.mktemp("undisturbed"))
    began = time.perf_counter()
    ended = run(folder, *TRAIN, "--thread", "0")
    seconds = time.perf_counter() - began
    assert ended.code == 0, ended.err
    return Undisturbed(folder, outcome(folder), seconds)


def memory():
    """Return the memory in use and its peak since the last reset, bytes; zeros where unknown."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0, 0
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return tuple(1024 * int(lines[name].split()[0]) for name in ("VmRSS", "VmHWM"))


@pytest.fixture
def limits():
    """A context manager whose block may take 2 s of CPU time and 200 MB."""

    @contextmanager
    def within(tried, case):
        if Path("/proc/self/clear_refs").exists():
            Path("/proc/self/clear_refs").write_text("5")
        before, began = memory()[0], time.process_time()
        yield
        seconds, grown = time.process_time() - began, memory()[1] - before
        tried.expect(seconds < 2, f"{case}: {seconds:.1f} s")
        tried.expect(grown < 200e6, f"{case}: {grown / 1e6:.0f} MB")

    return within
