"""Faults in two sizes: small within `make test`, and in full by `make faults` (NLN2V_FAULTS=full)."""

import os
import random
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from src.trainer.checkpoints.checkpoint import CheckpointStore
from src.util.file_manager import FileManager
from src.util.images.io import write_image
from tests.conftest import FULL, SEED, TRIED

if sys.platform == "win32":
    collect_ignore_glob = ["test_*.py"]  # kills, limits and links of POSIX


class Trials:
    """Trials of one fault; each has randomness of its own, so that one alone can be repeated."""

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
        """Count a case that was lost unless `good`."""
        if not good:
            self.lost.append(case)

    def note(self, what):
        """Count how a case went."""
        self.notes[what] = self.notes.get(what, 0) + 1


@pytest.fixture
def trials(record_property):
    """`trials("fault", small=6, full=300)`; none may be lost, and the table at the end shows them."""
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
    """Three noisy images of 32 px, read by every training here."""
    folder = tmp_path_factory.mktemp("images")
    random_ = np.random.default_rng(0)
    for name in "abc":
        write_image(folder / f"{name}.png", random_.integers(60, 190, (32, 32, 3), dtype=np.uint8))
    return folder


@pytest.fixture(scope="session")
def write_config(images):
    """Write `tiny.yaml` into a folder: a training of a second, with everything that writes."""

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
    """Every value of a nested one, by its path; tensors as bytes."""
    if isinstance(thing, torch.Tensor):
        return {path: (str(thing.dtype), tuple(thing.shape), thing.numpy().tobytes())}
    if isinstance(thing, dict | list | tuple):
        items = thing.items() if isinstance(thing, dict) else enumerate(thing)
        return {p: v for key, item in items for p, v in values(item, f"{path}/{key}").items()}
    return {path: thing}


@pytest.fixture(scope="session")
def outcome():
    """Everything a run in `FOLDER/output/run` came to, to be compared bit by bit."""

    def read(folder):
        files = FileManager(Path(folder) / "output", "run")
        last = values(CheckpointStore(files).newest()[1])
        lines = [line.split(" INFO ")[-1] for line in files.log_file.read_text().splitlines()]
        # A step that was done twice stands there twice, and must read the same.
        steps = {line.rpartition(", learning rate")[0] for line in lines if ", learning rate" in line}
        rows = files.scores_file.read_text().splitlines()
        kept = sorted(path.name for path in [*files.checkpoints.iterdir(), *files.best_checkpoints.iterdir()])
        return {"last": last, "steps": steps, "rows": rows, "kept": kept}

    return read


def memory():
    """Bytes of memory in use now, and the most since the mark was taken back; zeros where it is not known."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0, 0
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return tuple(1024 * int(lines[name].split()[0]) for name in ("VmRSS", "VmHWM"))


@pytest.fixture
def limits():
    """A block within 2 s of the processor and 200 MB."""

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
