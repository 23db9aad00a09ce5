"""Compare the loader with the obvious loader and with the training step, in crops per second.

    python -m benchmarks.loader                             # noise on 12-MP frames, the step on the CPU
    python -m benchmarks.loader --data SIDD_Medium_Srgb --step-images-per-second 700

`SIDD_train` with the published settings (crops of 256 px, batches of 32, flips and rotations) reads pieces
cut from the frames, whole frames, and both from a cache. The obvious loader reads images with OpenCV, crops,
flips and rotates them, divides by 255 and uses PyTorch's DataLoader. The cases run one after the other, and
nothing else consumes the batches. Each worker's small cache is off, as the published pieces would not fit.
Uncached frames are repeated up to the number of SIDD-Medium: with fewer, the same frame would often come
twice in a row and be decoded once.
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from benchmarks.masking import measure_method
from src.data_handlers import build_samples
from src.data_handlers.datasets.noise import NoiseOptions, add_noise
from src.data_handlers.datasets.sidd_frames import find_frames
from src.data_handlers.loading.sampling import build_loader
from src.data_handlers.loading.workers import prepare
from src.data_handlers.preparation.grid import crop_boxes
from src.data_handlers.samples import samples as samples_module
from src.data_handlers.samples.samples import Samples
from src.util.cores import usable_cores
from src.util.images.folder import list_images
from src.util.images.io import as_tensor, read_image, to_float, write_image

NOISE = NoiseOptions(sigma=5, shot=25, correlate=True, kernel_edge=5, kernel_sigma=0.8, quantise=True)
"""Noise of the frames. With it, PNG pieces are as large as those of SIDD."""
FRAMES = 320
"""Frames of SIDD-Medium."""
EPOCH = 100_000
"""Least number of crops per epoch: more than a measurement needs."""


class Rate(NamedTuple):
    """Crops per second by number of workers, and seconds of the preparation before the first crop."""

    crops: dict[int, float]
    once: float = 0.0


class Obvious(Dataset[Tensor]):
    """The obvious dataset: random crops of `crop` px, flipped and rotated, from PNG files."""

    def __init__(self, files: list[Path], crop: int) -> None:
        self.files = files
        self.crop = crop

    def __len__(self) -> int:
        return EPOCH

    def __getitem__(self, index: int) -> Tensor:
        image = cv2.imread(str(self.files[index % len(self.files)]))
        assert image is not None
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        top, left = (int(torch.randint(edge - self.crop + 1, ())) for edge in image.shape[:2])
        values = image[top : top + self.crop, left : left + self.crop].astype(np.float32) / 255
        values = np.rot90(values[:: 1 - 2 * int(torch.randint(2, ()))], int(torch.randint(4, ())))
        return torch.from_numpy(values.transpose(2, 0, 1).copy())


def write_frames(folder: Path, count: int, height: int, width: int) -> None:
    """Write smooth scenes with camera noise."""
    for number in range(count):
        rng = np.random.default_rng(number)
        small = rng.uniform(0.1, 0.8, (height // 200 + 2, width // 200 + 2, 3)).astype(np.float32)
        scene = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)
        noisy = add_noise(to_float(scene), NOISE, torch.Generator().manual_seed(number))
        image = np.rint(noisy.permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        write_image(folder / f"{number:04d}_NOISY_SRGB_010.PNG", image)


def link_frames(frames: list[Path], folder: Path) -> None:
    """Link frames repeatedly, up to the number of SIDD-Medium."""
    folder.mkdir()
    for number in range(max(FRAMES, len(frames))):
        frame = frames[number % len(frames)]
        (folder / f"{number:04d}_{frame.name}").symlink_to(frame.resolve())


def write_pieces(frames: list[Path], folder: Path, piece: int) -> None:
    """Cut frames into pieces as prep_SIDD.py does by default."""
    for frame in frames:
        image = read_image(frame)
        for number, box in enumerate(crop_boxes(image.shape[0], image.shape[1], piece, piece // 2)):
            part = image[box.top : box.top + piece, box.left : box.left + piece]
            write_image(folder / f"{frame.stem}_{number:04d}.png", part)


def crops_per_second(batches: Iterable[Any], batch: int, workers: int, seconds: float) -> float:
    """Measure over whole rounds of the workers: each round takes one batch of each worker."""
    rounds = iter(batches)
    list(islice(rounds, max(1, workers)))
    start, count = time.perf_counter(), 0
    while count < 1 or time.perf_counter() - start < seconds:
        count += 1
        if len(list(islice(rounds, max(1, workers)))) < max(1, workers):
            raise RuntimeError("the epoch is too short")
    return count * max(1, workers) * batch / (time.perf_counter() - start)


def samples_of(folder: Path, crop: int, **options: Any) -> Samples:
    """Return `SIDD_train` with the published augmentations."""
    images = len(list_images(folder))
    repeats = -(-EPOCH // images // 16) * 16
    arguments = {"data_dir": str(folder), "crop_size": crop, "augmentations": ["flip", "rotate"], **options}
    return build_samples(
        "SIDD_train", {"repeat_times": repeats, **arguments}, channels=3, seed=0, training=True
    )


def measure(options: argparse.Namespace, folder: Path, **view: Any) -> Rate:
    """Measure our loader with each number of workers."""
    rates, once = {}, 0.0
    for workers in options.workers:
        samples = samples_of(folder, options.crop, **view)
        start = time.perf_counter()
        prepare(samples, workers)
        once = max(once, time.perf_counter() - start)
        loader = build_loader(samples, options.batch, workers)
        used = min(workers, usable_cores())
        rates[workers] = crops_per_second(loader, options.batch, used, options.seconds)
        loader.close()
    return Rate(rates, once)


def measure_obvious(options: argparse.Namespace, folder: Path) -> Rate:
    """Measure the obvious loader with each number of workers."""
    rates = {}
    for workers in options.workers:
        dataset = Obvious(list_images(folder), options.crop)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # more workers than cores
            loader = DataLoader(dataset, options.batch, shuffle=True, num_workers=workers)
            rates[workers] = crops_per_second(loader, options.batch, workers, options.seconds)
    return Rate(rates)


def all_rates(
    options: argparse.Namespace, frames: Path, pieces: Path, cache: Path
) -> Iterator[tuple[str, Rate]]:
    """Measure all ways to read frames and pieces."""
    disk = {"cache": "disk", "cache_folder": str(cache)}
    many = frames.with_name("many")
    link_frames(list_images(frames), many)
    yield "pieces, obvious", measure_obvious(options, pieces)
    yield "pieces", measure(options, pieces)
    yield "pieces, cache: disk", measure(options, pieces, **disk)
    yield "pieces, cache: ram", measure(options, pieces, cache="ram")
    yield "frames, obvious", measure_obvious(options, frames)
    yield "frames", measure(options, many)
    yield "frames, 16 crops at a time", measure(options, many, crops_at_a_time=16)
    yield "frames, cache: disk", measure(options, frames, **disk)


def parts_of_a_crop(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Return a worker's seconds for each part of making a crop from a piece."""
    samples = samples_of(folder, options.crop)
    image = samples.source.read(0)
    counter = iter(range(10**9))

    def cut() -> Any:
        return image.crop(samples.view.random_box(image.shape, 0, 1, next(counter)))

    def turned() -> Any:
        return samples.view.augment(cut(), 0, 1, next(counter))

    sample = {"noisy": as_tensor(cut().noisy), "index": 0, "name": "a"}
    times = {
        "decode": seconds_of(lambda: samples.source.read(0), options.repeats),
        "cut": seconds_of(cut, options.repeats),
        "copied": seconds_of(lambda: as_tensor(cut().noisy), options.repeats),
        "turned": seconds_of(lambda: as_tensor(turned().noisy), options.repeats),
        "stack": seconds_of(lambda: default_collate([sample] * options.batch), options.repeats)
        / options.batch,
        "float": seconds_of(lambda: to_float(cut().noisy), options.repeats),
    }
    return {
        "decode": times["decode"],
        "cut at random": times["cut"],
        "flip and turn": times["turned"] - times["copied"],
        "as tensor": times["copied"] - times["cut"],
        "as tensor of floats": times["float"] - times["cut"],
        "stack": times["stack"],
    }


def seconds_of(call: Callable[[], object], repeats: int) -> float:
    """Return the seconds of a call: the least of several means."""
    means = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        means.append((time.perf_counter() - start) / repeats)
    return min(means)


def print_rates(options: argparse.Namespace, frames: Path, pieces: Path, cache: Path) -> None:
    """Print the rates of all loaders."""
    step = options.step_images_per_second
    if step is None:
        step = 1 / measure_method("step", 1, options.crop, 2, options.device).seconds
    print(f"UNet2 [96, 192] takes {step:.4g} crops/s for forward and backward ({options.device})")
    head = "".join(f"{f'{workers} workers':>14}" for workers in options.workers)
    print(f"{'crops/s':<28}{head}{'x obvious':>11}{'x the step':>12}{'once, s':>9}")
    obvious: dict[str, float] = {}
    for name, rate in all_rates(options, frames, pieces, cache):
        most = options.workers[-1]
        source = name.split(",")[0]
        obvious.setdefault(source, rate.crops[most])
        figures = "".join(f"{rate.crops[workers]:14.1f}" for workers in options.workers)
        ratios = f"{rate.crops[most] / obvious[source]:11.2f}{rate.crops[most] / step:12.2f}"
        print(f"{name:<28}{figures}{ratios}{rate.once:9.1f}", flush=True)


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of noisy frames (default: generated)")
    parser.add_argument("--frames", type=int, default=4, help="number of frames")
    parser.add_argument(
        "--frame", type=int, nargs=2, default=[3000, 4000], help="height and width of generated frames, px"
    )
    parser.add_argument("--piece", type=int, default=512, help="edge of the pieces, px")
    parser.add_argument("--crop", type=int, default=256, help="edge of the crops, px")
    parser.add_argument("--batch", type=int, default=32, help="crops per batch")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2, 4], help="at most one for each core")
    parser.add_argument("--seconds", type=float, default=3, help="shortest measurement of a case")
    parser.add_argument("--repeats", type=int, default=20, help="calls per part of a crop")
    parser.add_argument("--device", default="cpu", help="device of the network's step: cpu, cuda or mps")
    parser.add_argument("--step-images-per-second", type=float, help="use this rate and measure no step")
    options = parser.parse_args()
    samples_module.CACHE_BYTES = 0
    print(f"{usable_cores()} cores, torch {torch.__version__}, OpenCV {cv2.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        frames, pieces, cache = (Path(folder, name) for name in ("frames", "pieces", "cache"))
        frames.mkdir()
        pieces.mkdir()
        if options.data is None:
            write_frames(frames, options.frames, *options.frame)
        else:
            for path in (find_frames(options.data) or list_images(options.data))[: options.frames]:
                (frames / path.name).symlink_to(path.resolve())
        write_pieces(list_images(frames), pieces, options.piece)
        for name, seconds in parts_of_a_crop(pieces, options).items():
            print(f"{name:<28}{seconds * 1e3:10.3f} ms")
        print_rates(options, frames, pieces, cache)


if __name__ == "__main__":
    main()
