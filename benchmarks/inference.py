"""Speed and memory of denoising large images, and how far tiles are from the whole.

    python -m benchmarks.inference                           # 1 and 4 MP on the CPU
    python -m benchmarks.inference --sizes 24 100 --precisions bf16
    python -m benchmarks.inference --sizes --folder 8        # reading and writing beside the network
    python -m benchmarks.inference --sizes --checkpoint ckpt.pth --image noisy.png

Each case of the first table is measured in a fresh process, with random weights and a random 8-bit RGB
image; its peak memory is all that the process ever held, Python, torch and the image included. The ratios
are taken in turns in this process. Seams are looked for in what a trained network gives.
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

from benchmarks.masking import peak_memory, wait_for
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
"""Standard deviation of the noise on the photograph that stands in for `--image`, grey levels."""

PHOTOGRAPH = (2000, 3000, 3)
"""Rows, columns and channels of an image in a folder."""


class Case(NamedTuple):
    """What is measured in a process of its own."""

    megapixels: float
    features: tuple[int, ...]
    device: str
    precision: Precision
    tile: int | str
    threads: int


class Cost(NamedTuple):
    """Seconds, and MiB at the peak of the process (of the GPU, if it is one)."""

    seconds: float
    memory: float


class Seams(NamedTuple):
    """How tiles differ from the whole: grey levels of 255, and the energy across their borders."""

    rms: float
    largest: float
    energy: float


class Unplaced(Network):
    """The obvious way: each tile denoised as if it were an image of its own."""

    def __call__(self, images: Tensor, window: Window | None = None) -> Tensor:
        """Denoise tiles without knowing where they lie."""
        return super().__call__(images)


def random_network(features: tuple[int, ...], device: str, precision: Precision) -> Network:
    """Give UNet2 with random weights, in the faster memory layout."""
    torch.manual_seed(0)
    module = NL_BSN("UNet2", 3, list(features)).eval()
    return Network(module, torch.device(device), precision, channels_last=True)


def measure(case: Case) -> Cost:
    """Denoise one image, in the process that calls this."""
    torch.set_num_threads(case.threads)
    network = random_network(case.features, case.device, case.precision)
    # Libraries are loaded and threads started by a small image.
    network.denoise(torch.rand(3, 64, 64), "warm")
    network.tiling = Tiling(case.tile)  # type: ignore[arg-type]
    height = round(math.sqrt(case.megapixels * 1e6 * 2 / 3))
    image = np.random.default_rng(0).integers(0, 256, (height, height * 3 // 2, 3), np.uint8)
    start = time.perf_counter()
    denoise_pixels(network, image, 255, "random")
    return Cost(time.perf_counter() - start, peak_memory(network.device))


def measure_apart(case: Case) -> Cost:
    """Measure in a fresh process, which is where a peak begins at nothing."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        cost = pool.apply(measure, (case,))
        pool.close()
        pool.join()  # a process that is ended from outside leaves the progress bar's lock behind
    return cost


def interleaved(calls: dict[str, Callable[[], object]], repeats: int, device: str) -> dict[str, float]:
    """Time calls in turns, so that whatever else the machine does meets all; the least seconds of each."""
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
    """Seconds of one 512x512 tile by precision, of a batch of four, and of the four one by one."""
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
    """Seconds of denoising a folder's images: one after the other, and with the files' work beside."""
    trained = Trained(Path("random"), 0, read_config("nl_folder", ()), network, None)

    def denoise(held: int) -> None:
        with TemporaryDirectory() as out:
            FileDenoiser(trained, FileOptions(held=held)).folder(folder, Path(out))

    return interleaved(
        {"one by one": lambda: denoise(1), "overlapped": lambda: denoise(AT_ONCE)},
        repeats, network.device.type,
    )  # fmt: skip


def borders(length: int, tiling: Tiling, network: NL_BSN) -> list[int]:
    """Give the places between two parts along an axis."""
    stride, receptive_radius = network.stride, network.receptive_radius
    spans: list[Span] = divide(
        -(-length // stride) * stride, int(tiling.tile), tiling.margin(receptive_radius), stride
    )
    return [(before.last + after.first) // 2 for before, after in pairwise(spans)]


def energy_across(result: Tensor, rows: list[int], columns: list[int]) -> float:
    """Mean squared second difference of three pixels in a row that lie on both sides; grey levels."""
    squares = []
    for axis, places in ((1, rows), (2, columns)):
        steps = (result * 255).diff(n=2, dim=axis).square()
        around = [place + offset for place in places for offset in (-2, -1)]
        squares.append(steps.index_select(axis, torch.tensor(around, dtype=torch.int64)).flatten())
    return torch.cat(squares).mean().item()


def seams(network: Network, noisy: Tensor, whole: Tensor, tiling: Tiling) -> Seams:
    """Compare the image in tiles with the image at once."""
    network.tiling = tiling
    tiled = network.denoise(noisy, "tiled")
    module = network.module
    assert isinstance(network, Network) and isinstance(module, NL_BSN)
    rows, columns = (borders(length, tiling, module) for length in noisy.shape[1:])
    difference = (tiled - whole) * 255
    ratio = energy_across(tiled, rows, columns) / energy_across(whole, rows, columns)
    return Seams(difference.square().mean().sqrt().item(), difference.abs().max().item(), ratio)


def all_seams(network: Network, noisy: Tensor) -> Iterator[tuple[int, int, Seams, Seams]]:
    """Yield tile, overlap, and seams of the obvious way and of ours."""
    network.tiling = Tiling(0)
    whole = network.denoise(noisy, "whole")
    unplaced = Unplaced(network.module, network.device, network.precision, network.channels_last)
    for tile in (64, 176):
        for overlap in (0, 8, 16, 24, 32, 40):
            tiling = Tiling(tile, overlap)
            yield tile, overlap, seams(unplaced, noisy, whole, tiling), seams(network, noisy, whole, tiling)


def print_costs(options: argparse.Namespace) -> None:
    """Print the table of sizes."""
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
    """Print what precision and batches are worth."""
    seconds = precision_ratios(tuple(options.features), options.device, options.repeats)
    print(f"512x512: bf16 is {seconds['fp32'] / seconds['bf16']:.2f} times faster than fp32")
    ratio = seconds["one by one"] / seconds["batched"]
    print(f"four tiles of 256 px: {ratio:.2f} times faster as a batch than one by one (bf16)")


def print_folder(options: argparse.Namespace) -> None:
    """Print what it is worth to read and write images while the network works."""
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
    """Print how far tiles are from the whole, for a trained network."""
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
    print(f"{'':24}{'each tile for itself':^30}{'tiles that know their place':^30}")
    print(f"{'tile':>8} {'overlap':>8}      " + f"{'rms':>9} {'largest':>9} {'seams':>9} " * 2)
    for tile, overlap, *both in all_seams(network, noisy):
        figures = " ".join(f"{s.rms:9.4f} {s.largest:9.3f} {s.energy:9.4f}" for s in both)
        print(f"{tile:8} {overlap:8}      {figures}", flush=True)
    print("rms, largest: difference from the whole in grey levels; seams: squared second difference across")
    print("the borders of tiles, over that of the whole image's result at the same places (1 = no seam)")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=float, nargs="*", default=[1, 4], help="of images, MP")
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"], choices=get_args(Precision))
    parser.add_argument("--folder", type=int, default=0, help="images of 6 MP in one, to measure, too")
    parser.add_argument("--whole", action="store_true", help="also each image at once, without tiles")
    parser.add_argument("--features", type=int, nargs="+", default=[96, 192], help="of UNet2")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of the CPU")
    parser.add_argument("--repeats", type=int, default=3, help="calls, of which the quickest counts")
    parser.add_argument("--checkpoint", type=Path, help="a trained network, to measure seams")
    parser.add_argument("-c", "--config", help="of a checkpoint that carries none (the original's)")
    parser.add_argument("--image", type=Path, help="a noisy image (default: a photograph with noise)")
    parser.add_argument("--edge", type=int, default=512, help="of the image's corner that is used, px")
    parser.add_argument("--set", action="append", default=[], dest="settings", help="as of test.py")
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
