"""For all tests: one thread, restored logging, tiny images and networks."""

import logging
import os
import warnings
from collections import Counter
from pathlib import Path

# More threads would change bits from machine to machine, and be slower on small images.
os.environ["OMP_NUM_THREADS"] = "1"

import h5py
import numpy as np
import pytest
import torch

from src.trainer.config.build import build_model
from src.trainer.config.reading import check_config
from src.util.config.yaml_document import Document, override
from src.util.images.io import read_image, to_float, write_image
from src.util.logger import LOG

FULL = os.environ.get("NLN2V_FAULTS") == "full"
SEED = int(os.environ.get("NLN2V_SEED", "2026"))
TRIED = "trials of a fault"


def pytest_terminal_summary(terminalreporter):
    """Print the table of the fault tests, of all worker processes."""
    reports = [report for kind in terminalreporter.stats.values() for report in kind]
    ended = [report for report in reports if getattr(report, "when", None) == "teardown"]
    rows = sorted(tried for report in ended for name, tried in report.user_properties if name == TRIED)
    if not rows:
        return
    terminalreporter.section(f"faults, seed {SEED} (NLN2V_SEED), {'full' if FULL else 'small'} size")
    terminalreporter.write_line("| Fault | Tried | Survived | Lost | How |")
    terminalreporter.write_line("|---|---:|---:|---:|---|")
    for fault in dict.fromkeys(fault for fault, *_ in rows):
        of_fault = [row for row in rows if row[0] == fault]
        tried, lost = sum(row[1] for row in of_fault), sum(row[2] for row in of_fault)
        notes = sum((Counter(row[3]) for row in of_fault), Counter())
        how = ", ".join(f"{what}: {count:,}" for what, count in sorted(notes.items()))
        cells = [fault, f"{tried:,}", f"{tried - lost:,}", lost, how]
        terminalreporter.write_line(f"| {' | '.join(map(str, cells))} |")


@pytest.fixture(autouse=True)
def _restore_logging():
    handlers, level, propagate, show = list(LOG.handlers), LOG.level, LOG.propagate, warnings.showwarning
    yield
    LOG.handlers[:], LOG.propagate, warnings.showwarning = handlers, propagate, show
    LOG.setLevel(level)


@pytest.fixture(scope="session")
def real_data():
    """The folder of real images that NLN2V_DATA names, or None."""
    folder = Path(os.environ.get("NLN2V_DATA", "not set"))
    return folder if folder.is_dir() else None


@pytest.fixture
def messages():
    """Messages that are logged during the test, as `LEVEL text`."""
    logged = []

    class Listener(logging.Handler):
        def emit(self, record):
            logged.append(f"{record.levelname} {record.getMessage()}")

    LOG.setLevel(logging.INFO)
    LOG.addHandler(Listener())
    return logged


@pytest.fixture
def noisy_folder(tmp_path):
    """Three noisy images: 64x64, 64x80 and 80x64 px."""
    random = np.random.default_rng(0)
    folder = tmp_path / "noisy"
    folder.mkdir()
    for name, size in {"a": (64, 64), "b": (64, 80), "c": (80, 64)}.items():
        waves = 127 + 80 * np.sin(np.mgrid[: size[0], : size[1]].sum(axis=0) / 9)
        noisy = waves[..., None] + random.normal(0, 25, (*size, 3))
        write_image(folder / f"{name}.png", noisy.clip(0, 255).astype(np.uint8))
    return folder


@pytest.fixture
def tiny_config(tmp_path, noisy_folder):
    """Make a checked configuration that trains in seconds, with overrides as of `--set`."""
    tiny = {
        "output_folder": str(tmp_path / "output"),
        "model": {"kwargs": {"bsn": "UNet2", "features": [4, 8]}},
        "training": {
            "dataset": "Folder",
            "dataset_args": {"data_dir": str(noisy_folder), "crop_size": 64},
            "batch_size": 2,
            "max_epochs": 2,
            "init_lr": 1e-3,
        },
        "log": {"iter_interval": 1},
    }
    return lambda *settings: check_config(override(Document(tiny, {}, "tiny"), settings))


@pytest.fixture
def following(tiny_config, noisy_folder, tmp_path):
    """An untrained checkpoint whose output follows the image and stays within [0, 1]."""
    config = tiny_config()
    module = build_model(config, torch.device("cpu")).module
    for norm in (layer for layer in module.modules() if isinstance(layer, torch.nn.BatchNorm2d)):
        norm.momentum = None
    images = to_float(read_image(noisy_folder / "a.png"))[None]
    with torch.no_grad():
        module(images)
        values = module.eval()(images)
        last = module.bsn.tail[1]
        scale = 0.15 / values.std(dim=(0, 2, 3))
        last.weight *= scale[:, None, None, None]
        last.bias.copy_((last.bias - values.mean(dim=(0, 2, 3))) * scale + 0.5)
    content = {"epoch": 2, "model_weights": module.state_dict(), "config": config.model_dump(mode="json")}
    torch.save(content, tmp_path / "ckpt.pth")
    return tmp_path / "ckpt.pth"


@pytest.fixture
def make_sidd():
    """Write noisy and clean frames in SIDD's layout: {path below the folder: (height, width)}."""

    def make(folder, frames):
        for number, (name, size) in enumerate(frames.items()):
            random = np.random.default_rng(number)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            for kind in ("NOISY", "GT"):
                path = folder / name.replace("NOISY", kind).replace("noisy", kind.lower())
                write_image(path, random.integers(0, 256, (*size, 3), dtype=np.uint8))
        return folder

    return make


@pytest.fixture
def make_dnd():
    """Write a small DND: {number: image, float32 (H, W, 3)}; the boxes begin at row and column `box` + 1."""

    def make(folder, images):
        (folder / "images_srgb").mkdir(parents=True, exist_ok=True)
        for number, image in images.items():
            with h5py.File(folder / "images_srgb" / f"{number:04d}.mat", "w") as file:
                file["InoisySRGB"] = image.transpose(2, 1, 0)
        with h5py.File(folder / "info.mat", "w") as file:
            references = file.create_dataset("info/boundingboxes", (1, 50), h5py.ref_dtype)
            corners = np.array([[box, box + 1, box + 511, box + 512] for box in range(1, 21)], np.float64)
            for image in range(50):
                references[0, image] = file.create_dataset(f"#refs#/{image}", data=corners.T).ref
        return folder

    return make
