"""Measure speed and memory of denoising large images, and the difference between tiles and whole images.

    python -m benchmarks.inference                           # 1 and 4 MP on the CPU
    python -m benchmarks.inference --sizes 24 100 --precisions bf16
    python -m benchmarks.inference --sizes --folder 8        # folders: file access during inference
    python -m benchmarks.inference --sizes --checkpoint ckpt.pth --image noisy.png

Each case of the first table runs in a new process, with random weights and a random 8-bit RGB image. Its peak
memory is that of the whole process, including Python, torch and the image. For the ratios, calls alternate in
this process. Seams are measured in the result of a trained network.
"""

import argparse
import math
import multiprocessing
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, get_args

import numpy as np
import torch
from skimage.data import astronaut
from torch import Tensor

from benchmarks.masking import Cost, peak_memory, wait_for
from src.model import NL_BSN, Window
from src.trainer.config.reading import read_config
from src.trainer.inference.denoise_files import FileDenoiser, FileOptions
from src.trainer.inference.denoiser import Denoiser
from src.trainer.inference.pixels import denoise_pixels
from src.trainer.inference.trained import Trained
from src.trainer.network.network import Network, Precision
from src.trainer.network.tiling import Span, Tiling, divide
from src.util.images.io import as_channels, read_image, to_float, write_image
from src.util.overlap import AT_ONCE

NOISE = 25
"""Standard deviation of the noise on the default image of `--image`, grey levels."""

PHOTOGRAPH = (2000, 3000, 3)
"""Shape (H, W, C) of the images of `--folder`."""


class Case(NamedTuple):
    """A row of the first table."""

    megapixels: float
    features: tuple[int, ...]
    device: str
    precision: Precision
    tile: int | str
    threads: int


class Seams(NamedTuple):
    """Difference between tiles and the whole image.

    `rms` and `largest` are in 8-bit grey levels. `energy` is the ratio of `energy_across` at the borders.
    """

    rms: float
    largest: float
    energy: float


class Unplaced(Network):
    """The obvious way: denoise each tile like a separate image."""

    def __call__(self, images: Tensor, window: Window | None = None) -> Tensor:
        """Denoise tiles and ignore their place in the image."""
        return super().__call__(images)


def random_network(features: tuple[int, ...], device: str, precision: Precision) -> Network:
    """Return UNet2 with random weights, in channels-last layout."""
    torch.manual_seed(0)
    module = NL_BSN("UNet2", 3, list(features)).eval()
    return Network(module, torch.device(device), precision, channels_last=True)


def measure(case: Case) -> Cost:
    """Measure denoising of one image in this process."""
    torch.set_num_threads(case.threads)
    network = random_network(case.features, case.device, case.precision)
    # The first call loads libraries and starts threads.
    network.denoise(torch.rand(3, 64, 64), "warm")
    network.tiling = Tiling(case.tile)  # type: ignore[arg-type]
    height = round(math.sqrt(case.megapixels * 1e6 * 2 / 3))
    image = np.random.default_rng(0).integers(0, 256, (height, height * 3 // 2, 3), np.uint8)
    start = time.perf_counter()
    denoise_pixels(network, image, 255, "random")
    return Cost(time.perf_counter() - start, peak_memory(network.device))


def measure_apart(case: Case) -> Cost:
    """Measure in a new process, whose peak memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        cost = pool.apply(measure, (case,))
        pool.close()
        pool.join()  # a terminated process would leave the progress bar's lock behind
    return cost


def interleaved(calls: dict[str, Callable[[], object]], repeats: int, device: str) -> dict[str, float]:
    """Return the least seconds of each call. The calls alternate, so that other load affects all of them."""
    seconds: dict[str, float] = {}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            wait_for(torch.device(device))
            if turn:
                seconds[name] = min(seconds.get(name, math.inf), time.perf_counter() - start)
    return seconds


def precision_ratios(features: tuple[int, ...], device: str, repeats: int) -> dict[str, float]:
    """Return seconds of one 512x512 tile by precision, and of four tiles, as a batch and one by one."""
    networks = {name: random_network(features, device, name) for name in ("fp32", "bf16")}
    tiles = torch.rand(4, 3, 256, 256).to(device)
    large = torch.rand(1, 3, 512, 512).to(device)
    with torch.no_grad():
        return interleaved(
            {
                "fp32": lambda: networks["fp32"](large),
                "bf16": lambda: networks["bf16"](large),
                "batched": lambda: networks["bf16"](tiles),
                "one by one": lambda: [networks["bf16"](tile[None]) for tile in tiles],
            },
            repeats, device,
        )  # fmt: skip


def folder_seconds(network: Network, folder: Path, repeats: int) -> dict[str, float]:
    """Return seconds of denoising a folder, with file access between images and during inference."""
    trained = Trained(Path("random"), 0, read_config("nl_folder", ()), network, None)

    def denoise(held: int) -> None:
        with TemporaryDirectory() as out:
            FileDenoiser(trained, FileOptions(held=held)).folder(folder, Path(out))

    return interleaved(
        {"one by one": lambda: denoise(1), "overlapped": lambda: denoise(AT_ONCE)},
        repeats, network.device.type,
    )  # fmt: skip


def borders(length: int, tiling: Tiling, network: NL_BSN) -> list[int]:
    """Return the borders between tiles along an axis, px."""
    stride, receptive_radius = network.stride, network.receptive_radius
    spans: list[Span] = divide(
        -(-length // stride) * stride, int(tiling.tile), tiling.margin(receptive_radius), stride
    )
    return [(before.last + after.first) // 2 for before, after in pairwise(spans)]


def energy_across(result: Tensor, rows: list[int], columns: list[int]) -> float:
    """Return the mean squared second difference across borders, in squared grey levels."""
    squares = []
    for axis, places in ((1, rows), (2, columns)):
        steps = (result * 255).diff(n=2, dim=axis).square()
        around = [place + offset for place in places for offset in (-2, -1)]
        squares.append(steps.index_select(axis, torch.tensor(around, dtype=torch.int64)).flatten())
    return torch.cat(squares).mean().item()


def seams(network: Network, noisy: Tensor, whole: Tensor, tiling: Tiling) -> Seams:
    """Compare the image denoised in tiles with `whole`."""
    network.tiling = tiling
    tiled = network.denoise(noisy, "tiled")
    module = network.module
    assert isinstance(network, Network) and isinstance(module, NL_BSN)
    rows, columns = (borders(length, tiling, module) for length in noisy.shape[1:])
    difference = (tiled - whole) * 255
    ratio = energy_across(tiled, rows, columns) / energy_across(whole, rows, columns)
    return Seams(difference.square().mean().sqrt().item(), difference.abs().max().item(), ratio)


def all_seams(network: Network, noisy: Tensor) -> Iterator[tuple[int, int, Seams, Seams]]:
    """Yield tile, overlap, seams of the obvious way and seams of ours."""
    network.tiling = Tiling(0)
    whole = network.denoise(noisy, "whole")
    unplaced = Unplaced(network.module, network.device, network.precision, network.channels_last)
    for tile in (64, 176):
        for overlap in (0, 8, 16, 24, 32, 40):
            tiling = Tiling(tile, overlap)
            yield tile, overlap, seams(unplaced, noisy, whole, tiling), seams(network, noisy, whole, tiling)


def print_costs(options: argparse.Namespace) -> None:
    """Print the table of image sizes."""
    print(f"{'size':>8} {'precision':>9} {'how':>6} {'seconds':>9} {'MP/s':>7} {'peak MiB':>9}")
    for megapixels in options.sizes:
        for precision in options.precisions:
            for tile in ("auto", 0) if options.whole else ("auto",):
                case = Case(
                    megapixels, tuple(options.features), options.device, precision, tile, options.threads
                )
                cost = measure_apart(case)
                print(
                    f"{megapixels:5g} MP {precision:>9} {tile or 'whole':>6} {cost.seconds:9.1f}"
                    f" {megapixels / cost.seconds:7.3f} {cost.memory:9.0f}",
                    flush=True,
                )


def print_ratios(options: argparse.Namespace) -> None:
    """Print the speedup by bf16 and by batches."""
    seconds = precision_ratios(tuple(options.features), options.device, options.repeats)
    print(f"512x512: bf16 is {seconds['fp32'] / seconds['bf16']:.2f} times faster than fp32")
    ratio = seconds["one by one"] / seconds["batched"]
    print(f"four tiles of 256 px: {ratio:.2f} times faster as a batch than one by one (bf16)")


def print_folder(options: argparse.Namespace) -> None:
    """Print the speedup by reading and writing files during inference."""
    network = random_network(tuple(options.features), options.device, options.precisions[-1])
    with TemporaryDirectory() as folder:
        for number in range(options.folder):
            image = np.random.default_rng(number).integers(96, 160, PHOTOGRAPH, np.uint8)
            write_image(Path(folder, f"{number}.png"), image)
        seconds = folder_seconds(network, Path(folder), options.repeats)
    each = ", ".join(f"{name} {value / options.folder:.2f} s" for name, value in seconds.items())
    ratio = seconds["one by one"] / seconds["overlapped"]
    print(f"a PNG of 6 MP in a folder ({options.precisions[-1]}): {each}: {ratio:.2f} times faster")


def print_seams(options: argparse.Namespace) -> None:
    """Print the difference between tiles and the whole image, for a trained network."""
    network = Denoiser.load(
        options.checkpoint, options.device, config=options.config, settings=options.settings
    ).network
    module = network.module
    assert isinstance(network, Network) and isinstance(module, NL_BSN)
    if options.image is None:
        noise = np.random.default_rng(0).normal(0, NOISE, astronaut().shape)
        image = (astronaut() + noise).round().clip(0, 255).astype(np.uint8)
    else:
        image = read_image(options.image)
        edge = options.edge
        image = image[:edge, :edge]
    noisy = to_float(as_channels(image, module.in_channels))
    print(f"{'':24}{'separate tiles':^30}{'tiles with their place':^30}")
    print(f"{'tile':>8} {'overlap':>8}      " + f"{'rms':>9} {'largest':>9} {'seams':>9} " * 2)
    for tile, overlap, *both in all_seams(network, noisy):
        figures = " ".join(f"{s.rms:9.4f} {s.largest:9.3f} {s.energy:9.4f}" for s in both)
        print(f"{tile:8} {overlap:8}      {figures}", flush=True)
    print("rms, largest: difference from the whole image, in grey levels")
    print(
        "seams: squared second difference across the borders of tiles, relative to the whole image (1 = none)"
    )


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=float, nargs="*", default=[1, 4], help="image sizes, MP")
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"], choices=get_args(Precision))
    parser.add_argument(
        "--folder", type=int, default=0, help="also measure a folder of this many images of 6 MP"
    )
    parser.add_argument("--whole", action="store_true", help="also measure without tiles")
    parser.add_argument("--features", type=int, nargs="+", default=[96, 192], help="widths of UNet2")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    parser.add_argument("--repeats", type=int, default=3, help="calls per measurement; the fastest counts")
    parser.add_argument("--checkpoint", type=Path, help="a trained network, to measure its seams")
    parser.add_argument("-c", "--config", help="configuration, if the checkpoint has none")
    parser.add_argument("--image", type=Path, help="a noisy image (default: a photograph with noise)")
    parser.add_argument(
        "--edge", type=int, default=512, help="edge of the corner of --image that is used, px"
    )
    parser.add_argument(
        "--set", action="append", default=[], dest="settings", help="a setting, as in test.py"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"UNet2 {options.features}, {options.device}, {options.threads} threads, torch {torch.__version__}")
    if options.sizes:
        print_costs(options)
        print_ratios(options)
    if options.folder:
        print_folder(options)
    if options.checkpoint is not None:
        print_seams(options)


if __name__ == "__main__":
    main()
