"""Compare time and memory of the non-local masker with the obvious search and the network's step.

    python -m benchmarks.masking                  # one 256x256 image and a batch of 32, on the CPU
    python -m benchmarks.masking --device cuda

The obvious search stacks all candidate patches of an image into a volume, copies it for each blind spot and
sums squared differences. All times are measured in this process, so that their ratios hold. Peak memory is
measured in a new process per method, minus what Python and torch hold. The last line compares holes on a
grid, with all options of the masker, with the step of a small network in bf16: they alternate, and the least
time counts.
"""

import argparse
import math
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from src.masker import NonLocalMasker
from src.masker.base import Masked, draw_points
from src.masker.blind_spots import MIN_DISTANCE, count_spots
from src.masker.paste import paste_regions
from src.model import NL_BSN, UNet2
from src.util.images.io import as_float

HOLES = NonLocalMasker(speedup_factor=3, exclude=21, similar=4, core_edge=5, spots="grid", pitch=18)
HOLES_BATCH = (16, 3, 64, 64)


class Cost(NamedTuple):
    """Seconds of a call, and its peak memory in MiB."""

    seconds: float
    memory: float


def mask_by_volume(masker: NonLocalMasker, batch: Tensor, generator: torch.Generator) -> Masked:
    """Mask as `masker` does, with the search as its definition reads."""
    sim, radius = masker.sim_patch_edge, masker.repl_patch_edge // 2
    margin, stride = sim // 2 - radius, masker.speedup_factor
    points = draw_points(batch, masker.pixel_perc, generator, radius)
    similar = torch.empty_like(points)
    for image, spots, found in zip(batch, points, similar, strict=True):
        patches = pad(image[None], (margin,) * 4, "reflect")[0].unfold(1, sim, 1).unfold(2, sim, 1)
        candidates = patches[:, ::stride, ::stride].permute(1, 2, 0, 3, 4)
        columns = candidates.shape[1]
        references = patches[:, spots[:, 0] - radius, spots[:, 1] - radius].transpose(0, 1)
        volume = candidates.flatten(0, 1).expand(len(spots), -1, -1, -1, -1).clone()
        distances = (volume - references[:, None]).square().sum((2, 3, 4))
        nearest = torch.where(distances > 0, distances, torch.inf).argmin(1)
        found[:] = torch.stack((nearest // columns, nearest % columns), 1) * stride + radius
    edge = 1 if masker.center_only else masker.repl_patch_edge
    return paste_regions(batch, points, similar[:, :, None], edge)


def mask_by_loops(masker: NonLocalMasker, batch: Tensor, generator: torch.Generator) -> Masked:
    """Mask as `masker` does, with loops over images and blind spots."""
    sim, edge = masker.sim_patch_edge, masker.repl_patch_edge
    radius, stride = edge // 2, masker.speedup_factor
    image, mask = batch.clone(), torch.zeros_like(batch[:, :1])
    for number, own in enumerate(batch):
        patches = pad(own[None], (sim // 2 - radius,) * 4, "reflect")[0].unfold(1, sim, 1).unfold(2, sim, 1)
        candidates = patches[:, ::stride, ::stride].permute(1, 2, 0, 3, 4).contiguous()
        for row, column in draw_by_rejection(own, masker.pixel_perc, radius, generator):
            differences = candidates - patches[:, row - radius, column - radius]
            distances = differences.square().sum((2, 3, 4)).flatten()
            nearest = int(torch.where(distances > 0, distances, torch.inf).argmin())
            top, left = (index * stride for index in divmod(nearest, candidates.shape[1]))
            rows, columns = (slice(first - radius, first - radius + edge) for first in (row, column))
            image[number, :, rows, columns] = own[:, top : top + edge, left : left + edge]
            mask[number, :, rows, columns] = 1
    return Masked(image, mask)


def draw_by_rejection(
    image: Tensor, pixel_perc: float, margin: int, generator: torch.Generator
) -> list[tuple[int, int]]:
    """Draw blind spots one by one; reject those too close to an earlier one."""
    height, width = image.shape[1:]
    spots: list[tuple[int, int]] = []
    while len(spots) < count_spots(height, width, pixel_perc):
        row, column = (
            int(torch.randint(margin, size - margin, (), generator=generator)) for size in (height, width)
        )
        if all(math.hypot(row - r, column - c) >= MIN_DISTANCE for r, c in spots):
            spots.append((row, column))
    return spots


def train_step(network: torch.nn.Module, masked: Masked, batch: Tensor) -> None:
    """Run the network forward and backward over a masked batch."""
    network.zero_grad(set_to_none=True)
    (network(masked.image) * masked.mask - batch * masked.mask).square().mean().backward()


def peak_memory(device: torch.device) -> float:
    """Return the peak memory of this process, MiB: of the GPU on CUDA, otherwise resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    # Bytes on macOS, KiB elsewhere.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has finished its queue, so that the measured time covers the work."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def measure(call: Callable[[], object], repeats: int, device: torch.device) -> Cost:
    """Return the median seconds of a call after a warm-up, and the growth of the peak memory."""
    before = peak_memory(device)
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        call()
        wait_for(device)
        seconds.append(time.perf_counter() - start)
    return Cost(statistics.median(seconds[1:] or seconds), peak_memory(device) - before)


def measure_method(method: str, images: int, edge: int, repeats: int, device_name: str) -> Cost:
    """Measure one method on noise in this process. The noise is 8-bit, except for "ours, float"."""
    device = torch.device(device_name)
    generator = torch.Generator().manual_seed(0)
    batch = torch.rand(images, 3, edge, edge, generator=generator).to(device)
    if method != "ours, float":
        batch = (batch * 255).round().to(torch.uint8)
    if method in ("volume", "step"):
        batch = as_float(batch)
    masker = NonLocalMasker()
    if method == "step":
        network = UNet2(in_channels=3, features=(96, 192)).to(device)
        return measure(partial(train_step, network, masker.mask(batch, generator), batch), repeats, device)
    mask = partial(mask_by_volume, masker) if method == "volume" else masker.mask
    # The first call loads libraries and starts threads. Their memory does not count.
    mask(batch[:1, :, :32, :32], generator)
    return measure(partial(mask, batch, generator), repeats, device)


def peak_memory_of(method: str, images: int, edge: int, device_name: str) -> float:
    """Return the peak memory of a method in a new process, MiB.

    On Linux a process inherits the peak of its parent. Call this before allocating much memory.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure_method, (method, images, edge, 0, device_name)).memory


def print_holes(repeats: int, device: torch.device) -> None:
    """Compare masking with holes on a grid with the step of UNet2 [32, 64] with a local mean, in bf16."""
    generator = torch.Generator().manual_seed(0)
    batch = torch.randint(256, HOLES_BATCH, generator=generator, dtype=torch.uint8).to(device)
    network = NL_BSN("UNet2", in_channels=3, features=[32, 64], local_mean=8).to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    image, mask = HOLES.mask(batch, generator)
    masked, noisy = Masked(image.contiguous(memory_format=torch.channels_last), mask), as_float(batch)

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16):
            train_step(network, masked, noisy)

    calls: dict[str, Callable[[], object]] = {"mask": partial(HOLES.mask, batch, generator), "step": step}
    for call in calls.values():
        call()
    turns = [{name: measure(call, 0, device).seconds for name, call in calls.items()} for _ in range(repeats)]
    masking, whole = (min(turn[name] for turn in turns) for name in calls)
    images, _, edge, _ = HOLES_BATCH
    print(
        f"holes in {images} crops of {edge} px: {masking:.4f} s, {masking / whole:.2%} of the {whole:.4f} s "
        "of a forward + backward of UNet2 [32, 64] in bf16"
    )


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps")
    parser.add_argument("--edge", type=int, default=256, help="edge of the images, px")
    parser.add_argument("--batch", type=int, default=32, help="images per batch")
    parser.add_argument("--repeats", type=int, default=20, help="calls per measurement; the median counts")
    parser.add_argument(
        "--step-images",
        type=int,
        default=2,
        help="batch of the network's step; its time is scaled to --batch",
    )
    options = parser.parse_args()
    edge, device = options.edge, options.device
    step_images = min(options.step_images, options.batch)

    print(f"{edge}x{edge} px, {device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    cases = {"obvious search, 1 image": ("volume", 1), "ours, 1 image": ("ours", 1)}
    cases["ours, 1 image of floats"] = ("ours, float", 1)
    cases[f"ours, {options.batch} images"] = ("ours", options.batch)
    memory = [peak_memory_of(method, images, edge, device) for method, images in cases.values()]
    seconds = []
    for (name, (method, images)), peak in zip(cases.items(), memory, strict=True):
        repeats = min(5, options.repeats) if method == "volume" else options.repeats
        seconds.append(measure_method(method, images, edge, repeats, device).seconds)
        print(f"{name:<26}{seconds[-1]:9.4f} s  {peak:7.0f} MiB")
    print(f"ours is {seconds[0] / seconds[1]:.0f} times faster for one image")
    step = measure_method("step", step_images, edge, 1, device)
    scaled = step.seconds * options.batch / step_images
    print(f"{f'UNet2 [96, 192], {options.batch} images':<26}{scaled:9.3f} s", end="")
    print("" if step_images == options.batch else f"  (forward + backward of {step_images}, scaled)")
    print(f"masking takes {seconds[-1] / scaled:.2%} of the network's forward + backward")
    print_holes(options.repeats, torch.device(device))


if __name__ == "__main__":
    main()
