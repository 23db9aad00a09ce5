import csv
import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from scipy import io

from src.data_handlers.submission import dnd, sidd
from src.data_handlers.submission.layout import DndLayout, Layout, SiddLayout
from src.data_handlers.submission.order import compare
from src.data_handlers.submission.resemblance import RESEMBLES, Signatures, concordance
from src.util.images.io import read_image, write_image

EDGE = 64


def soft_blocks(count, edge=EDGE, seed=0):
    """Return different colourful blocks, and the same with noise; uint8 (count, edge, edge, 3)."""
    random = np.random.default_rng(seed)
    grids = random.uniform(20, 230, (count, 5, 5, 3)).astype(np.float32)
    clean = np.stack([cv2.resize(grid, (edge, edge), interpolation=cv2.INTER_LINEAR) for grid in grids])
    noisy = clean + random.normal(0, 20, clean.shape)
    return to_8_bits(clean), to_8_bits(noisy)


def to_8_bits(values):
    return np.rint(values).clip(0, 255).astype(np.uint8)


def signatures(blocks):
    found = Signatures(len(blocks))
    for number, block in enumerate(blocks):
        found.add(number, block)
    return found


class Benchmark(NamedTuple):
    """A small benchmark: its noisy blocks on disk, and the output of test.py."""

    layout: Layout
    clean: np.ndarray
    noisy: np.ndarray
    noisy_folder: Path
    results: Path

    def write(self, number, block=None, suffix="_DN.png"):
        """Write the result of a block."""
        write_image(self.results / f"{number:04d}{suffix}", self.clean[number] if block is None else block)

    def write_float(self, number, values=None):
        values = self.clean[number] / np.float32(255) if values is None else values
        np.save(self.results / f"{number:04d}_DN.npy", values)

    def write_all(self, names):
        for number in range(len(self.layout)):
            self.write(number)
        self.write_metrics(names)

    def write_metrics(self, names):
        with open(self.results / "metrics.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["picture", "name", "loss"])
            writer.writerows([f"{index:04d}", name, 0.1] for index, name in enumerate(names))


@pytest.fixture
def small_sidd(tmp_path, monkeypatch):
    """SIDD with 2 images of 3 blocks, and the results of all."""
    layout = SiddLayout(2, 3, EDGE)
    monkeypatch.setattr(sidd, "LAYOUT", layout)
    clean, noisy = soft_blocks(len(layout))
    made = Benchmark(layout, clean, noisy, tmp_path / "SIDD_test", tmp_path / "results")
    made.noisy_folder.mkdir()
    made.results.mkdir()
    name = "BenchmarkNoisyBlocksSrgb"
    io.savemat(made.noisy_folder / f"{name}.mat", {name: noisy.reshape(2, 3, EDGE, EDGE, 3)})
    made.write_all([f"{number:04d}" for number in range(6)])
    return made


@pytest.fixture
def small_dnd(tmp_path, monkeypatch):
    """DND with 2 images of 3 boxes, as PNG, and the results of all."""
    layout = DndLayout(2, 3, EDGE)
    monkeypatch.setattr(dnd, "LAYOUT", layout)
    clean, noisy = soft_blocks(len(layout), seed=1)
    made = Benchmark(layout, clean, noisy, tmp_path / "DND_test", tmp_path / "results")
    made.noisy_folder.mkdir()
    made.results.mkdir()
    names = [f"{layout.label(number)}.png" for number in range(6)]
    for name, block in zip(names, noisy, strict=True):
        write_image(made.noisy_folder / name, block)
    made.write_all(names)
    return made


@pytest.fixture
def find():
    """Return the mistakes of order of denoised blocks, or else those that are poor."""

    def found(denoised, noisy):
        layout = SiddLayout(1, len(noisy), len(noisy[0]))
        seen, target = signatures(denoised), signatures(noisy)
        poor = np.flatnonzero(concordance(seen.means, target.means, target.noise) < RESEMBLES)
        findings = compare(seen, target, layout) or [("poor", poor)] * bool(len(poor))
        return {problem: blocks.tolist() for problem, blocks in findings}

    return found


@pytest.fixture
def eight_bits():
    return to_8_bits


@pytest.fixture
def soft():
    return soft_blocks


@pytest.fixture
def real():
    """Read real images from a folder of NLN2V_DATA."""
    return read_real


@pytest.fixture(params=["phone", "camera", "simulated"])
def scene(request):
    """20 denoised blocks and the noisy ones: a dark scene of a phone, scenes of cameras, or simulated."""
    if request.param == "simulated":
        clean, noisy = soft_blocks(20)
    elif request.param == "phone":
        clean, noisy = (read_real(f"sidd_val_scene00/{kind}")[:20] for kind in ("gt", "noisy"))
    else:
        noisy = read_real("dnd/crops")[:, 128:384, 128:384]
        clean = np.stack([cv2.medianBlur(block, 7) for block in noisy])
    return clean.copy(), noisy.copy()


@cache
def read_real(folder):
    files = sorted((Path(os.environ.get("NLN2V_DATA", "not set")) / folder).glob("*.png"))
    if not files:
        pytest.skip(f"NLN2V_DATA names no folder with real images in {folder}")
    images = np.stack([read_image(file) for file in files])
    images.flags.writeable = False  # tests share them
    return images
