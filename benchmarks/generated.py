"""Compare how fast images are generated with how fast the network trains on them, in crops per second.

    python -m benchmarks.generated
    python -m benchmarks.generated --photographs FOLDER --workers 0 1 2

Images, noise and training step are those of `configs/general.yaml`. Each process has one thread.
"""

import argparse
import time

import torch

from benchmarks.loader import crops_per_second
from src.data_handlers.loading.sampling import build_loader
from src.loss import Loss
from src.trainer.config.build import build_images, build_model, build_objective, build_optimizer
from src.trainer.config.reading import read_config
from src.trainer.config.run_config import RunConfig
from src.trainer.training.step import TrainingStep
from src.trainer.training.stopwatch import Stopwatch


def training_rate(config: RunConfig, device: torch.device, steps: int) -> float:
    """Return the crops per second of the fastest of several training steps on one batch."""
    samples = build_images(config, "training")
    loader = build_loader(samples, config.training.batch_size)
    loader.set_epoch(1)
    batch = next(iter(loader))
    images = {name: batch[name].to(device) for name in ("noisy", "clean")}
    network = build_model(config, device)
    network.module.train()
    optimizer = build_optimizer(config, network.module.parameters())
    step = TrainingStep(
        network, build_objective(config), Loss(config.training.loss), optimizer, Stopwatch(device)
    )
    seconds = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        value = step(images, 0.5, torch.Generator(), str)
        value.total.item()
        seconds.append(time.perf_counter() - start)
    return len(images["noisy"]) / min(seconds[1:])


def main() -> None:
    """Measure and print both rates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--photographs", help="folder of clean photographs (default: none)")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1], help="at most one for each core")
    parser.add_argument("--seconds", type=float, default=5, help="shortest measurement of a case")
    parser.add_argument("--device", default="cpu", help="device of the network: cpu or cuda")
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = options.photographs or "null"
    config = read_config("general", [f"training.dataset_args.photographs={folder}"])
    trained = training_rate(config, torch.device(options.device), steps=4)
    print(f"the network takes {trained:.1f} crops/s ({options.device}, {config.training.precision})")
    for workers in options.workers:
        loader = build_loader(build_images(config, "training"), config.training.batch_size, workers)
        loader.set_epoch(1)
        generated = crops_per_second(loader, config.training.batch_size, workers, options.seconds)
        print(f"{workers} workers: {generated:.1f} crops/s, {generated / trained:.1f} x the network")
        loader.close()


if __name__ == "__main__":
    main()
