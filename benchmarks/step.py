"""Compare a training step of `main.py` with the network's step and the obvious implementation.

    python -m benchmarks.step                                  # UNet2 [96, 192], two images, on the CPU
    python -m benchmarks.step --device cuda --batch 32 --steps 50

bare     forward, loss, backward and update, with masked images on the device
whole    `Trainer` with all its parts: images from a folder of PNGs, masking, checks, log, TensorBoard
obvious  fp32, loops over images and blind spots, differences of whole patches, and the loss read in each step

They alternate in this process, so that other load affects all of them. The least time of each counts.
"""

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.inference import interleaved
from benchmarks.masking import mask_by_loops
from benchmarks.settings import Bare, flags, headline, random_batch, with_settings
from src.data_handlers.loading.sampling import build_loader, kill_workers
from src.loss import Loss
from src.masker.base import draw_points
from src.masker.non_local import NonLocalMasker
from src.masker.paste import paste_regions
from src.masker.similarity import find_similar
from src.trainer.checkpoints.state import TrainingState
from src.trainer.config.build import (
    build_images,
    build_loss,
    build_masker,
    build_model,
    build_objective,
    build_optimizer,
    build_scheduler,
)
from src.trainer.config.reading import read_config
from src.trainer.config.run_config import RunConfig
from src.trainer.evaluation.masked_loss import masked_loss_of
from src.trainer.training.bystander import NoStore
from src.trainer.training.reporter import Reporter
from src.trainer.training.step import TrainingStep
from src.trainer.training.stopping import StopRequest
from src.trainer.training.stopwatch import Stopwatch
from src.trainer.training.trainer import Trainer
from src.util.file_manager import FileManager
from src.util.images.io import as_float, write_image
from src.util.seed import make_generator

PIECE, PIECES = 512, 8
"""Edge of the prepared pieces, px, and their number."""


class Adding(Stopwatch):
    """Adds up the seconds that it reports."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self.total: dict[str, float] = {}

    def report(self) -> dict[str, float]:
        """Return the seconds by part since the last report, and add them to `total`."""
        seconds = super().report()
        for name, value in seconds.items():
            self.total[name] = self.total.get(name, 0) + value
        return seconds


class Timed(Trainer):
    """Records when each step of an epoch ends."""

    moments: list[float]

    def save_inside_if_due(self, epoch: int) -> None:
        """Record the time. Synchronise a GPU at the first and last step only."""
        if self.network.device.type == "cuda" and len(self.moments) in (0, len(self.loader) - 2):
            torch.cuda.synchronize()
        self.moments.append(time.perf_counter())
        super().save_inside_if_due(epoch)

    def turn(self, epoch: int) -> float:
        """Return the mean seconds of this epoch's steps, without the first, which waits for the workers."""
        self.moments = []
        self.train_epoch(epoch)
        return (self.moments[-1] - self.moments[0]) / (len(self.moments) - 1)


def obvious(config: RunConfig, device: torch.device, noisy: Tensor) -> Callable[[], None]:
    """Return a training step written down directly from the method's description."""
    network = build_model(config, device)
    network.module.train()
    loss, masker = Loss("1*self_L2"), build_masker(config)
    assert isinstance(masker, NonLocalMasker)
    optimizer = build_optimizer(config, network.module.parameters())
    generator = torch.Generator().manual_seed(0)

    def step() -> None:
        masked = mask_by_loops(masker, noisy, generator)
        value = loss(network.module(masked.image), noisy, masked.mask, 0.5).total
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        value.item()

    return step


def write_pieces(folder: Path, pieces: int) -> None:
    """Write pieces as noisy as photographs. PNGs of pure noise would be slower to read."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    waves = 127 + 60 * np.sin(np.mgrid[:PIECE, :PIECE].sum(axis=0) / 31)[..., None]
    for number in range(pieces):
        noisy = waves + rng.normal(0, 12, (PIECE, PIECE, 3))
        write_image(folder / f"{number:03d}.png", noisy.round().clip(0, 255).astype(np.uint8))


@contextmanager
def whole(config: RunConfig, device: torch.device, workers: int, folder: Path) -> Iterator[Timed]:
    """Yield the trainer of `main.py`, without checkpoints and validation."""
    files = FileManager(folder, "run")
    files.create()
    images = build_images(config, "training")
    loader = build_loader(images, config.training.batch_size, workers, device.type == "cuda")
    network, stopwatch = build_model(config, device), Adding(device)
    optimizer = build_optimizer(config, network.module.parameters())
    step = TrainingStep(network, build_objective(config), build_loss(config), optimizer, stopwatch)
    reporter = Reporter(files, stopwatch, 0, len(loader) * config.training.max_epochs)
    try:
        with reporter, StopRequest() as stop:
            yield Timed(
                config, NoStore(files), reporter, step, build_scheduler(config), loader, None,
                masked_loss_of(config), TrainingState(), stop,
            )  # fmt: skip
    finally:
        loader.close()
        kill_workers()
        files.close()


def compare(options: argparse.Namespace, config: RunConfig, device: torch.device, folder: Path) -> None:
    """Print the times of bare, whole and obvious steps, and the parts of the whole one."""
    batch = random_batch(options, device)
    noisy, masker = as_float(batch), build_masker(config)
    bare = Bare(config, device, noisy, masker.mask(batch, make_generator(0, "mask")))
    plain = obvious(with_settings(config, "fp32", False, False), device, noisy)
    seconds: dict[str, list[float]] = {"bare": [], "whole": [], "obvious": []}
    with whole(config, device, options.workers, folder) as trainer:
        trainer.turn(1)
        trainer.step.stopwatch.report()
        trainer.step.stopwatch.total.clear()  # type: ignore[attr-defined]
        bare()
        plain()
        for turn in range(options.rounds):
            seconds["whole"].append(trainer.turn(turn + 2))
            seconds["bare"].append(seconds_of(bare, options.steps, device))
            seconds["obvious"].append(seconds_of(plain, 1, device))
        steps = options.rounds * len(trainer.loader)
        parts = {n: s / steps for n, s in trainer.step.stopwatch.total.items()}  # type: ignore[attr-defined]
    least = {name: min(values) for name, values in seconds.items()}
    for name, value in least.items():
        rate = options.batch / value
        print(f"{name:<9}{value:9.4f} s  {rate:8.2f} images/s  {value / least['bare']:7.3f} of the bare step")
    print(f"the whole step is {least['obvious'] / least['whole']:.2f} times as fast as the obvious one")
    print_parts(parts, statistics.mean(seconds["whole"]))
    print_masking(batch, options.repeats, device)


def print_parts(parts: dict[str, float], whole_step: float) -> None:
    """Print the share of each part of the whole step."""
    parts = {**parts, "all else": whole_step - sum(parts.values())}
    shares = ", ".join(f"{name} {value / whole_step:.2%}" for name, value in parts.items())
    print(f"of the whole step: {shares} (log and TensorBoard once per round)")


def print_masking(batch: Tensor, repeats: int, device: torch.device) -> None:
    """Print the times of the parts of masking."""
    noisy, masker, generator = as_float(batch), NonLocalMasker(), torch.Generator().manual_seed(0)
    sim, edge = masker.sim_patch_edge, masker.repl_patch_edge
    points = draw_points(batch, masker.pixel_perc, generator, edge // 2)
    similar = find_similar(batch, points, sim, edge, masker.speedup_factor)
    calls: dict[str, Callable[[], object]] = {
        "points": lambda: draw_points(batch, masker.pixel_perc, generator, edge // 2),
        "search": lambda: find_similar(batch, points, sim, edge, masker.speedup_factor),
        "paste": lambda: paste_regions(noisy, points, similar, edge),
    }
    seconds = interleaved(calls, repeats, device.type)
    print("masking:", ", ".join(f"{name} {value * 1000:.2f} ms" for name, value in seconds.items()))


def seconds_of(call: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Return the mean seconds of several successive calls."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / repeats


def main() -> None:
    """Measure and print the comparison."""
    parser = flags(__doc__.splitlines()[0])
    parser.add_argument("--overlay", action="append", default=[], help="configuration laid over sidd_train")
    parser.add_argument("--steps", type=int, default=5, help="steps per round")
    parser.add_argument("--rounds", type=int, default=3, help="repeats of the comparison")
    parser.add_argument("--workers", type=int, default=2, help="loader workers")
    options = parser.parse_args()
    print(headline(options))
    with tempfile.TemporaryDirectory() as folder:
        write_pieces(Path(folder) / "pieces", PIECES)
        compare(options, step_config(options, Path(folder)), torch.device(options.device), Path(folder))


def step_config(options: argparse.Namespace, folder: Path) -> RunConfig:
    """Return sidd_train for the pieces of `folder`, with `--steps` + 1 steps per epoch."""
    repeats = math.ceil((options.steps + 1) * options.batch / PIECES)
    return read_config(
        ["sidd_train", *options.overlay],
        [
            f"output_folder={folder}", f"training.dataset_args.data_dir={folder / 'pieces'}",
            f"training.dataset_args.crop_size={options.edge}",
            f"training.dataset_args.repeat_times={repeats}",
            f"training.batch_size={options.batch}", f"training.max_epochs={options.rounds + 1}",
            f"model.kwargs.features={options.features}", f"log.iter_interval={options.steps + 1}",
            "validation.val=false",
        ],
    )  # fmt: skip


if __name__ == "__main__":
    main()
