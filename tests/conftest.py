"""Fixtures for all tests: one thread, logging that no test leaves changed, tiny pictures and networks."""

import logging
import warnings

import numpy as np
import pytest
import torch

from src.trainer.build import check_config
from src.util.image_io import write_picture
from src.util.logger import LOG
from src.util.yaml_document import Document, override

torch.set_num_threads(
    1
)  # more would change bits from machine to machine, and be slower on pictures this small


@pytest.fixture(autouse=True)
def _logging_stays_as_it_was():
    handlers, level, propagate, show = list(LOG.handlers), LOG.level, LOG.propagate, warnings.showwarning
    yield
    LOG.handlers[:], LOG.propagate, warnings.showwarning = handlers, propagate, show
    LOG.setLevel(level)


@pytest.fixture
def messages():
    """What is logged during the test, each as `LEVEL text`."""
    said = []

    class Listener(logging.Handler):
        def emit(self, record):
            said.append(f"{record.levelname} {record.getMessage()}")

    LOG.setLevel(logging.INFO)
    LOG.addHandler(Listener())
    return said


@pytest.fixture
def noisy_folder(tmp_path):
    """Three noisy pictures: 64x64, 64x80 and 80x64 px."""
    random = np.random.default_rng(0)
    folder = tmp_path / "noisy"
    folder.mkdir()
    for name, size in {"a": (64, 64), "b": (64, 80), "c": (80, 64)}.items():
        waves = 127 + 80 * np.sin(np.mgrid[: size[0], : size[1]].sum(axis=0) / 9)
        noisy = waves[..., None] + random.normal(0, 25, (*size, 3))
        write_picture(folder / f"{name}.png", noisy.clip(0, 255).astype(np.uint8))
    return folder


@pytest.fixture
def tiny_config(tmp_path, noisy_folder):
    """Makes a checked configuration that trains in seconds; takes settings as of `--set`."""
    tiny = {
        "output_folder": str(tmp_path / "output"),
        "model": {"kwargs": {"bsn": "UNet2", "features": [4, 8]}},
        "training": {
            "dataset": "Folder",
            "dataset_args": {"folder": str(noisy_folder), "crop_size": 64},
            "batch_size": 2,
            "max_epochs": 2,
            "init_lr": 1e-3,
        },
        "log": {"iter_interval": 1},
    }
    return lambda *settings: check_config(override(Document(tiny, {}, "tiny"), settings))
