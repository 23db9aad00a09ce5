"""Measure how time and memory grow with image, batch, blind spots, grid, workers and processes.

    python -m benchmarks.growth                       # the table of docs/performance.md
    python -m benchmarks.growth --only masking        # one part of the table

Each point is measured in its own process: the median time of several calls, and the peak memory minus what
Python and torch hold. With an exponent e, twice the size takes 2^e times as long.
"""

import argparse
import math
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.inference import random_network
from benchmarks.masking import Cost, measure, train_step
from benchmarks.step import write_pieces
from src.data_handlers.loading.sampling import build_loader, kill_workers
from src.masker import Masked, NonLocalMasker
from src.model import UNet2
from src.trainer.config.build import build_images
from src.trainer.config.reading import read_config
from src.trainer.inference.pixels import denoise_pixels

CPU = torch.device("cpu")
ALIKE = 0.25
"""Exponents that differ by less count as equal."""


class Axis(NamedTuple):
    """A row of the table: the part of the program, the quantity that grows and its values.

    `function` measures one point. It takes the value as the keyword `argument`.
    """

    part: str
    against: str
    values: Sequence[float]
    function: Callable[..., Cost]
    argument: str

    def point(self, value: float) -> Cost:
        """Measure at one value."""
        return self.function(**{self.argument: value})


def masking(
    edge: float = 256, batch: float = 1, spots: float = 0.002, stride: float = 5, sim: float = 21
) -> Cost:
    """Measure masking of a batch of 8-bit noise."""
    images = (torch.rand(int(batch), 3, int(edge), int(edge)) * 255).round() / 255
    masker = NonLocalMasker(sim_patch_edge=int(sim), speedup_factor=int(stride), pixel_perc=spots)
    generator = torch.Generator().manual_seed(0)
    masker.mask(images[:1, :, :128, :128], generator)
    return measure(lambda: masker.mask(images, generator), 5, CPU)


def network(edge: float = 64, batch: float = 2, width: float = 96) -> Cost:
    """Measure a forward and backward pass of UNet2."""
    images = torch.rand(int(batch), 3, int(edge), int(edge))
    module = UNet2(3, (int(width), 2 * int(width)))
    masked = NonLocalMasker().mask(images, torch.Generator().manual_seed(0))
    corner = (slice(1), slice(None), slice(32), slice(32))
    train_step(module, Masked(masked.image[corner], masked.mask[corner]), images[corner])
    return measure(partial(train_step, module, masked, images), 3, CPU)


def inference(megapixels: float) -> Cost:
    """Measure denoising of one image with UNet2 [32, 64]."""
    denoiser = random_network((32, 64), "cpu", "fp32")
    denoiser.denoise(torch.rand(3, 64, 64), "warm")
    edge = round(math.sqrt(megapixels * 1e6))
    image = np.random.default_rng(0).integers(0, 256, (edge, edge, 3), np.uint8)
    return measure(lambda: denoise_pixels(denoiser, image, 255, "random"), 1, CPU)


def loading(workers: float) -> Cost:
    """Measure seconds per crop when loading crops of 256 px from pieces of 512 px."""
    with tempfile.TemporaryDirectory() as folder:
        write_pieces(Path(folder) / "pieces", 8)
        settings = [
            f"training.dataset_args.data_dir={folder}/pieces",
            "training.dataset_args.repeat_times=64",
        ]
        images = build_images(read_config("sidd_train", settings), "training")
        loader = build_loader(images, 32, int(workers))
        loader.set_epoch(1)
        batches = iter(loader)
        next(batches)
        start = time.perf_counter()
        crops = sum(len(batch["noisy"]) for batch in batches)
        seconds = (time.perf_counter() - start) / crops
        del batches
        loader.close()
        kill_workers()
    return Cost(seconds, math.nan)


def training(processes: float) -> Cost:
    """Measure training seconds per image. Each process has one thread and loads its own images."""
    with tempfile.TemporaryDirectory() as folder:
        write_pieces(Path(folder) / "pieces", 8)
        command = [
            sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={int(processes)}",
            "--master_port=29511", "main.py", "-c", "nl_folder", "-s", "growth", "-g", "cpu", "--thread", "0",
        ]  # fmt: skip
        for setting in (
            f"output_folder={folder}", f"training.dataset_args.data_dir={folder}/pieces",
            "log.iter_interval=10", "training.dataset_args.repeat_times=20",
            "training.max_epochs=2", "training.batch_size=8", "validation.val=false",
        ):  # fmt: skip
            command += ["--set", setting]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True
        )
    rates = re.findall(r"([\d.]+) images/s", done.stdout + done.stderr)
    return Cost(1 / max(map(float, rates)), math.nan)


def axes() -> list[Axis]:
    """Return all rows of the table, in order."""
    return [
        Axis("masking", "edge of the image, px", (64, 128, 256, 512, 1024), masking, "edge"),
        Axis("masking", "images", (1, 2, 4, 8, 16, 32), masking, "batch"),
        Axis("masking", "blind spots per pixel", (0.0005, 0.001, 0.002, 0.004), masking, "spots"),
        Axis("masking", "stride of the grid, px", (1, 2, 3, 5, 8, 12), masking, "stride"),
        Axis("masking", "edge of the patches, px", (13, 21, 31, 41), masking, "sim"),
        Axis("network's step", "edge of the image, px", (32, 64, 128, 256), network, "edge"),
        Axis("network's step", "images", (1, 2, 4, 8), network, "batch"),
        Axis("network's step", "width of UNet2", (12, 24, 48, 96), network, "width"),
        Axis("inference", "megapixels", (0.1, 0.4, 1.6, 6.4), inference, "megapixels"),
        Axis("loading a crop", "workers", (0, 1, 2, 4), loading, "workers"),
        Axis("training on an image", "processes", (1, 2), training, "processes"),
    ]


def exponent(values: Sequence[float], costs: Sequence[float]) -> float:
    """Return the slope of a straight line through the logarithms."""
    return float(np.polyfit(np.log(values), np.log(costs), 1)[0])


def growth(values: Sequence[float], costs: Sequence[float]) -> str:
    """Return the exponent by which costs grow; two if it changes.

    Parameters
    ----------
    values, costs : sequence of float
        Non-negative sizes and their costs. Pairs that contain 0 are ignored.

    Returns
    -------
    str
        One exponent; or the first exponent, the value where it changes, and the second. "none" without
        two points.
    """
    known = [(v, c) for v, c in zip(values, costs, strict=True) if v > 0 and c > 0]
    if len(known) < 2:
        return "none"
    values, costs = zip(*known, strict=True)
    slopes = [exponent(v, c) for v, c in zip(pairwise(values), pairwise(costs), strict=True)]
    turn = len(slopes) - 1
    while turn and abs(slopes[turn - 1] - exponent(values[turn:], costs[turn:])) < ALIKE:
        turn -= 1
    rest = f"{exponent(values[turn:], costs[turn:]):.2f}"
    return (
        rest
        if not turn
        else f"{exponent(values[: turn + 1], costs[: turn + 1]):.2f}, from {values[turn]:g} {rest}"
    )


def measure_apart(point: Callable[[float], Cost], value: float, threads: int) -> Cost:
    """Measure one point in a new process, which may start others."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, torch.set_num_threads, (threads,)) as pool:
        return pool.submit(point, value).result()


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = [*dict.fromkeys(axis.part for axis in axes())]
    parser.add_argument("--only", choices=parts, help="measure this part alone")
    parser.add_argument("--points", type=int, default=99, help="points of each row, from the smallest")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    print("| what | against | | seconds | exponent | MiB | exponent |\n|---|---|---|---|---|---|---|")
    for axis in axes():
        if options.only not in (None, axis.part):
            continue
        values = axis.values[: options.points]
        costs = [measure_apart(axis.point, value, options.threads) for value in values]
        seconds, memory = [cost.seconds for cost in costs], [cost.memory for cost in costs]
        known = not any(map(math.isnan, memory))
        cells = [
            axis.part, axis.against, ", ".join(f"{value:g}" for value in values),
            ", ".join(f"{value:.3g}" for value in seconds), growth(values, seconds),
            ", ".join(f"{value:.0f}" for value in memory) if known else "",
            growth(values, memory) if known else "",
        ]  # fmt: skip
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
