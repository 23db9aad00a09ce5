import csv
import itertools
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from scipy.ndimage import uniform_filter

from src.trainer.checkpoints.checkpoint import CheckpointStore, load_checkpoint
from src.trainer.config.reading import check_config
from src.trainer.inference.trained import load_trained
from src.trainer.training.session import train
from src.trainer.training.step import TrainingStep
from src.util.config.yaml_document import override, parse_yaml
from src.util.errors import ConfigError
from src.util.file_manager import FileManager
from src.util.images.io import read_image, write_image
from src.util.logger import start_console

CPU = torch.device("cpu")
DEMO = "dataset: Demo, dataset_args: {crop_size: 64}"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Log to the console, and skip `fsync`, which is slow."""
    start_console()
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


def config(text, *settings):
    """Return the configuration of a YAML text, with overrides as of `--set`."""
    return check_config(override(parse_yaml(text, "my.yaml"), settings))


def problems(text, *settings):
    with pytest.raises(ConfigError) as caught:
        config(text, *settings)
    return caught.value.problems


def problem(text, *settings):
    (line,) = problems(text, *settings)
    return line


@pytest.fixture
def clean_folder(tmp_path, noisy_folder):
    """A folder with a clean image for each noisy one."""
    (tmp_path / "clean").mkdir()
    for path in noisy_folder.iterdir():
        write_image(tmp_path / "clean" / path.name, uniform_filter(read_image(path), (7, 7, 0)))
    return tmp_path / "clean"


@pytest.fixture
def files(tmp_path):
    """A run that has saved nothing yet."""
    files = FileManager(tmp_path / "output", "run")
    files.create()
    yield files
    files.close()


def content(epoch, mark=0.0):
    """Return a small checkpoint of an epoch; the mark distinguishes two of the same epoch."""
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
        """Content of the newest checkpoint."""
        return CheckpointStore(self.files).newest()[1]

    @property
    def epochs(self):
        """Epochs that have a checkpoint."""
        return [int(path.stem[-3:]) for path in sorted(self.files.checkpoints.glob("*.pth"))]

    def epoch(self, number):
        return load_checkpoint(self.files.checkpoint_file(number))

    @property
    def log(self):
        return self.files.log_file.read_text(encoding="utf-8")

    @property
    def losses(self):
        """The log's lines: (epoch, step) -> text from the loss to the learning rate."""
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
def new_run(tmp_path, tiny_config):
    """Make a run by name, not yet on disk; its epochs have two steps."""
    return lambda name: Run(tiny_config, FileManager(Path(tmp_path / "output"), name))


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
    """Return the paths at which two nested values differ in any bit."""
    return _differing


@pytest.fixture
def at_step(monkeypatch):
    """Call `happen` before each step of the trainings that follow, or only before step `number`, from 0."""
    original = TrainingStep.__call__

    def patch(happen, number=None):
        steps = itertools.count()

        def patched(self, *arguments):
            if next(steps) == number or number is None:
                happen()
            return original(self, *arguments)

        monkeypatch.setattr(TrainingStep, "__call__", patched)

    return patch


@pytest.fixture
def stop_at_step(at_step):
    """Make a training raise KeyboardInterrupt, or another error, before step `number`, once."""

    def stop(number, error=KeyboardInterrupt):
        def happen():
            raise error()  # a new one, since it keeps the frames that it passes alive

        at_step(happen, number)

    return stop


@pytest.fixture
def run(new_run, clean_folder):
    run = new_run("run")
    run.train(f"validation.dataset_args.clean_folder={clean_folder}")
    return run


@pytest.fixture
def load():
    """Load a checkpoint, with overrides, onto the CPU."""
    return lambda path, *settings, config=None: load_trained(CPU, settings, config, None, None, str(path))


@pytest.fixture
def trained(run, load):
    return load(run.files.checkpoint_file(2))
