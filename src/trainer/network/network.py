"""Calling the network: precision, memory layout and compiler in one place, for training and inference alike.

Shape letters: B images, C channels, H rows, W columns.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from src.model import DenoisingNetwork, Window, folded
from src.trainer.network.tiling import Tiling, divide, padded_positions, stitch
from src.trainer.network.whole_image import Reader, WholeImage, Writer, expect_finite
from src.util.errors import ConfigError, OutOfMemoryError
from src.util.logger import LOG, progress_bar
from src.util.memory import is_out_of_memory, keep_freed_memory

SMALLEST_TILE = 64
"""Smaller tiles than these, px, are not tried when memory runs out: their margins are larger than they."""

Precision = Literal["fp32", "tf32", "bf16"]


@dataclass
class Network(WholeImage):
    """A denoiser on its device, with the precision it is run in.

    Parameters
    ----------
    module : DenoisingNetwork
        Takes and gives (B, C, H, W) of any size.
    device : torch.device
        Where its weights are.
    precision : {"fp32", "tf32", "bf16"}
        `fp32` computes in 32 bits; with `tf32` a GPU's convolutions round to 10 bits what they multiply (on
        CPUs it is the same); `bf16` runs convolutions under autocast. The result is float32 always.
    channels_last : bool
        Whether inputs and weights are laid out NHWC.
    compiled : bool
        Whether training goes through PyTorch's compiler, which sees each size of batch for itself.
        Inference goes without it, since images have many sizes.
    cudnn_benchmark : bool
        Whether a GPU tries several algorithms for each size of batch in training and takes the fastest.
    tiling : Tiling
        How large images are cut when they are denoised. Smaller parts are set when memory runs out.
    ensemble : bool
        Whether a denoised image is the mean over its 8 flips and rotations.
    """

    module: DenoisingNetwork
    device: torch.device
    precision: Precision = "fp32"
    channels_last: bool = False
    compiled: bool = False
    cudnn_benchmark: bool = False
    tiling: Tiling = field(default_factory=Tiling)
    ensemble: bool = False

    def __post_init__(self) -> None:
        self.module.to(device=self.device, memory_format=self._layout)  # type: ignore[call-overload]
        self._trained = _compiled(self.module) if self.compiled else self.module
        self._folded: DenoisingNetwork | None = None  # while an image is denoised
        if self.device.type == "cpu":
            keep_freed_memory()

    @property
    def _layout(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def __call__(self, images: Tensor, window: Window | None = None) -> Tensor:
        """Denoise images (B, C, H, W) in [0, 1] on the device; float32, not clipped.

        With a window the images are tiles, see `src.model.DenoisingNetwork`.
        """
        images = images.contiguous(memory_format=self._layout)
        with self.arithmetic(), torch.autocast(self.device.type, torch.bfloat16, self.precision == "bf16"):
            if self.module.training:
                # For no images at all the compiler makes code that fails.
                denoised = (self._trained if len(images) else self.module)(images)
            else:
                module = self._folded or self.module
                denoised = module(images) if window is None else module.forward_tile(images, window)
        return denoised.float()

    @contextmanager
    def arithmetic(self) -> Iterator[None]:
        """How a GPU convolves while the `with` block runs, forward or backward; elsewhere nothing changes."""
        if self.device.type != "cuda":
            yield
            return
        cudnn = torch.backends.cudnn
        with cudnn.flags(
            enabled=cudnn.enabled, deterministic=cudnn.deterministic, allow_tf32=self.precision != "fp32",
            benchmark=self.cudnn_benchmark and self.module.training,
        ):  # fmt: skip
            yield

    @contextmanager
    def inference(self) -> Iterator[None]:
        """While the `with` block runs, evaluate as quickly as can be; then it is in the mode it was in."""
        was_training = self.module.training
        self.module.eval()
        try:
            # For one image alone: weights may change and leave no trace (`.data`, a fused optimiser).
            self._folded = folded(self.module)
            yield
        finally:
            self._folded = None
            self.module.train(was_training)

    @torch.no_grad()
    def denoise_bands(self, height: int, width: int, read: Reader, write: Writer, name: str) -> None:
        """Denoise one image, whole or in tiles; see `WholeImage`."""
        with self.inference():
            while not self._fits(height, width, read, write, name):
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()

    def _fits(self, height: int, width: int, read: Reader, write: Writer, name: str) -> bool:
        """Denoise an image, or halve the tile where memory does not suffice and say False."""
        edge = self.tiling.edge(height, width, self.device.type, self.module.receptive_radius)
        try:
            for top, band in self._bands(height, width, edge, read):
                expect_finite(band, name)
                write(top, band[:, : height - top, :width])
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        else:
            return True
        if self.module.receptive_radius is None and self.tiling.overlap == "auto":
            raise OutOfMemoryError(
                f"{name}: out of memory on {self.device}; how far this network looks is not known: with"
                " --overlap N (px) images are cut into tiles"
            )
        smaller = min(edge or max(height, width), max(height, width)) // 2
        if smaller < SMALLEST_TILE:
            raise OutOfMemoryError(f"{name}: out of memory on {self.device}, even with small tiles")
        LOG.warning("%s: out of memory; going on with tiles of %d px (--tile %d)", name, smaller, smaller)
        self.tiling = replace(self.tiling, tile=smaller)
        return False

    def _bands(self, height: int, width: int, edge: int, read: Reader) -> Iterator[tuple[int, Tensor]]:
        if not edge and not self.ensemble:
            whole = read(np.arange(height), np.arange(width))
            yield 0, self(whole[None].to(self.device))[0].cpu()
            return
        stride, receptive_radius = self.module.stride, self.module.receptive_radius
        margin, blend = self.tiling.margin(receptive_radius), self.tiling.blend(receptive_radius)
        down, across = padded_positions(height, stride), padded_positions(width, stride)
        rows, columns = (divide(len(axis), edge, margin, stride, blend) for axis in (down, across))
        with progress_bar(len(rows) * len(columns), "tile") as bar:

            def results() -> Iterator[Tensor]:
                before: Tensor | None = None
                for row, column in product(rows, columns):
                    tile = read(down[row.start : row.stop], across[column.start : column.stop])
                    window = Window(row.start, column.start, len(down), len(across))
                    denoised = self._denoise_tile(tile.to(self.device), window)
                    # A GPU works on this tile while the one before is fetched and the next one read.
                    if before is not None:
                        yield before.cpu()
                    before = denoised
                    bar.update()
                assert before is not None
                yield before.cpu()

            yield from stitch(rows, columns, results())

    def _denoise_tile(self, tile: Tensor, window: Window) -> Tensor:
        """Once, or the mean over the flips and rotations of the whole image that the tile lies in."""
        if not self.ensemble:
            return self._at(tile, window)
        total = torch.zeros_like(tile)
        for transposed, *flipped in product((False, True), repeat=3):
            axes = [axis for axis, flip in zip((1, 2), flipped, strict=True) if flip]
            place = _flipped(window, tile.shape[1:], flipped)
            turned = tile.flip(axes)
            if transposed:
                turned, place = turned.transpose(1, 2), Window(*(place[i] for i in (1, 0, 3, 2)))
            denoised = self._at(turned, place)
            total += (denoised.transpose(1, 2) if transposed else denoised).flip(axes)
        return total / 8

    def _at(self, tile: Tensor, window: Window) -> Tensor:
        return self(tile[None], None if tile.shape[1:] == window[2:] else window)[0]


def _compiled(module: DenoisingNetwork) -> Callable[[Tensor], Tensor]:
    """The same through PyTorch's compiler, which begins with the first call."""
    # Each size for itself: code for sizes that vary would depend on the order in which a run meets them.
    call = torch.compile(module, dynamic=False)

    def checked(images: Tensor) -> Tensor:
        try:
            denoised: Tensor = call(images)
        except RuntimeError as error:
            if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                raise ConfigError(
                    f"training.compile: PyTorch's compiler failed ({str(error).splitlines()[0]}); on a CPU it"
                    " needs g++ or another C++ compiler; with `compile: false` training goes without it"
                ) from None
            raise
        return denoised

    return checked


def _flipped(window: Window, tile: tuple[int, ...], flipped: list[bool]) -> Window:
    """Where a tile lies once its whole image is flipped."""
    top, left = (
        whole - start - edge if flip else start
        for start, whole, edge, flip in zip(window[:2], window[2:], tile, flipped, strict=True)
    )
    return Window(top, left, *window[2:])
