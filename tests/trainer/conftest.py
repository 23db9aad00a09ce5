import csv
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from src.trainer.build import check_config
from src.trainer.checkpoint import CheckpointStore, load_checkpoint
from src.trainer.session import train
from src.util.file_manager import FileManager
from src.util.image_io import write_picture
from src.util.logger import start_console
from src.util.yaml_document import Document, override

CPU = torch.device("cpu")
STEPS = 2  # in an epoch: 4 pictures in batches of 2


def scene(index, height=64, width=64):
    """A picture of smooth colours: uint8 (H, W, 3)."""
    rows, columns = np.mgrid[:height, :width] / 32
    waves = [np.sin(rows * (1 + index) + c) * np.cos(columns * (2 + c)) for c in range(3)]
    return (127 + 100 * np.stack(waves, axis=2)).astype(np.uint8)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Messages are heard; nothing waits for a disk that will not fail."""
    start_console()
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture
def noisy_folder(tmp_path):
    """Four noisy pictures of 64 px."""
    random = np.random.default_rng(0)
    (tmp_path / "noisy").mkdir()
    for index in range(4):
        noisy = scene(index) + random.normal(0, 25, (64, 64, 3))
        write_picture(tmp_path / "noisy" / f"{index}.png", noisy.clip(0, 255).astype(np.uint8))
    return tmp_path / "noisy"


@pytest.fixture
def clean_folder(tmp_path):
    """Their clean pictures."""
    (tmp_path / "clean").mkdir()
    for index in range(4):
        write_picture(tmp_path / "clean" / f"{index}.png", scene(index))
    return tmp_path / "clean"


@pytest.fixture
def configure(tmp_path, noisy_folder):
    """A tiny configuration with settings as of `--set`."""
    tiny = {
        "output_folder": str(tmp_path / "output"),
        "model": {"kwargs": {"bsn": "UNet2", "in_channels": 3, "features": [4, 8]}},
        "training": {
            "dataset": "Folder",
            "dataset_args": {
                "folder": str(noisy_folder),
                "crop_size": 48,
                "augmentations": ["flip", "rotate"],
            },
            "batch_size": 2,
            "max_epochs": 2,
            "init_lr": 1e-2,
            "masker_args": {"pixel_perc": 0.002},
        },
        "log": {"iter_interval": 1},
    }
    return lambda *settings: check_config(override(Document(tiny, {}, "tiny"), settings))


@dataclass
class Run:
    """A run on disk, and how to train it."""

    configure: object
    files: FileManager = field(repr=False)

    def train(self, *settings, workers=0, resume=False):
        return train(self.configure(*settings), self.files, CPU, workers, resume)

    def resume(self, *settings, workers=0):
        return self.train(*settings, workers=workers, resume=True)

    @property
    def last(self):
        """The newest checkpoint's content."""
        return CheckpointStore(self.files).newest()[1]

    @property
    def epochs(self):
        """Epochs of the checkpoints that are kept."""
        return [int(path.stem[-3:]) for path in sorted(self.files.checkpoints.glob("*.pth"))]

    def epoch(self, number):
        return load_checkpoint(self.files.checkpoint_file(number))

    @property
    def log(self):
        return self.files.log_file.read_text(encoding="utf-8")

    @property
    def losses(self):
        """What the log says of each step: (epoch, step) -> text from the loss to the learning rate."""
        lines = re.findall(r"epoch (\d+)/\d+, step (\d+)/\d+: (loss .*?), [\d.]+ images/s", self.log)
        return {(int(epoch), int(step)): text for epoch, step, text in lines}

    @property
    def scores(self):
        """Rows of the table of validations."""
        with open(self.files.scores_file, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    @property
    def best(self):
        return sorted(path.name for path in self.files.best_checkpoints.iterdir())


@pytest.fixture
def new_run(tmp_path, configure):
    """A run by its name, not yet on disk."""
    return lambda name: Run(configure, FileManager(Path(tmp_path / "output"), name))


def _differing(one, other, path=""):
    if isinstance(one, dict) and isinstance(other, dict):
        names = sorted(one.keys() | other.keys(), key=str)
        return [d for n in names for d in _differing(one.get(n), other.get(n), f"{path}/{n}")]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [d for i, (a, b) in pairs for d in _differing(a, b, f"{path}/{i}")]
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return [] if torch.equal(one, other) else [path]
    return [] if one == other else [path]


@pytest.fixture
def differing():
    """Where two nested values differ, by one bit or more."""
    return _differing


@pytest.fixture
def stop_at_step(monkeypatch):
    """Make a training stop as by Ctrl-C in its step number so many, once."""
    from src.trainer.step import TrainingStep

    def stop(number, error=KeyboardInterrupt):
        original = TrainingStep.__call__
        done = iter(range(10**9))

        def counted(self, *arguments):
            if next(done) == number:
                monkeypatch.setattr(TrainingStep, "__call__", original)
                raise error()  # a fresh one: it holds on to the frames it passes
            return original(self, *arguments)

        monkeypatch.setattr(TrainingStep, "__call__", counted)

    return stop
