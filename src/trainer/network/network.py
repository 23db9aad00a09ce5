"""Call the network: precision, memory layout and compilation for training and inference.

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
"""Smallest tile to try when memory runs out, px; the margins of smaller tiles exceed the tile."""

Precision = Literal["fp32", "tf32", "bf16"]


@dataclass
class Network(WholeImage):
    """A denoiser on its device, with its precision.

    Parameters
    ----------
    module : DenoisingNetwork
        Maps (B, C, H, W) of any size to the same shape.
    device : torch.device
        Device of the weights.
    precision : {"fp32", "tf32", "bf16"}
        `fp32` computes in 32 bits. With `tf32` a GPU's convolutions round their factors to 10 bits; on CPUs
        it equals `fp32`. `bf16` runs convolutions under autocast. The result is always float32.
    channels_last : bool
        Whether inputs and weights have the memory layout NHWC.
    compiled : bool
        Whether training uses PyTorch's compiler, once for each batch size. Inference never does, since images
        have many sizes.
    cudnn_benchmark : bool
        Whether a GPU tries several algorithms for each batch size in training and takes the fastest.
    tiling : Tiling
        Tile sizes for denoising whole images. Reduced when memory runs out.
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
        """Denoise images (B, C, H, W) in [0, 1] on the device; return float32, not clipped.

        With a window the images are tiles, see `src.model.DenoisingNetwork`.
        """
        images = images.contiguous(memory_format=self._layout)
        with self.arithmetic(), torch.autocast(self.device.type, torch.bfloat16, self.precision == "bf16"):
            if self.module.training:
                # Compiled code fails on empty batches.
                denoised = (self._trained if len(images) else self.module)(images)
            else:
                module = self._folded or self.module
                denoised = module(images) if window is None else module.forward_tile(images, window)
        return denoised.float()

    @contextmanager
    def arithmetic(self) -> Iterator[None]:
        """Set up a GPU's convolutions for the `with` block, forward and backward; do nothing elsewhere."""
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
        """Use eval mode and folded batch norms within the `with` block, then restore the mode."""
        was_training = self.module.training
        self.module.eval()
        try:
            # Not kept for later: weights can change without a trace (`.data`, a fused optimiser).
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
        """Denoise an image. If memory runs out, halve the tile size and return False."""
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
                f"{name}: out of memory on {self.device}; the receptive field of this network is unknown: add"
                " --overlap N (px) to divide images into tiles"
            )
        smaller = min(edge or max(height, width), max(height, width)) // 2
        if smaller < SMALLEST_TILE:
            raise OutOfMemoryError(f"{name}: out of memory on {self.device}, even with small tiles")
        LOG.warning("%s: out of memory; continuing with tiles of %d px (--tile %d)", name, smaller, smaller)
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
                    # A GPU computes this tile while the previous one is copied and the next one is read.
                    if before is not None:
                        yield before.cpu()
                    before = denoised
                    bar.update()
                assert before is not None
                yield before.cpu()

            yield from stitch(rows, columns, results())

    def _denoise_tile(self, tile: Tensor, window: Window) -> Tensor:
        """Denoise a tile; with `ensemble` average over the flips and rotations of its whole image."""
        if not self.ensemble:
            return self._at(tile, window)
        total = torch.zeros_like(tile)
        for transposed, *flipped in product((False, True), repeat=3):
            axes = [axis for axis, flip in zip((1, 2), flipped, strict=True) if flip]
            position = _flipped(window, tile.shape[1:], flipped)
            turned = tile.flip(axes)
            if transposed:
                turned, position = turned.transpose(1, 2), Window(*(position[i] for i in (1, 0, 3, 2)))
            denoised = self._at(turned, position)
            total += (denoised.transpose(1, 2) if transposed else denoised).flip(axes)
        return total / 8

    def _at(self, tile: Tensor, window: Window) -> Tensor:
        return self(tile[None], None if tile.shape[1:] == window[2:] else window)[0]


def _compiled(module: DenoisingNetwork) -> Callable[[Tensor], Tensor]:
    """Return a compiled version of a network; compilation starts with the first call."""
    # Not dynamic: code for varying sizes would depend on the order in which a run meets them.
    call = torch.compile(module, dynamic=False)

    def checked(images: Tensor) -> Tensor:
        try:
            denoised: Tensor = call(images)
        except RuntimeError as error:
            if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                raise ConfigError(
                    f"training.compile: PyTorch's compiler failed ({str(error).splitlines()[0]}); on a CPU it"
                    " needs g++ or another C++ compiler; set `compile: false` to train without it"
                ) from None
            raise
        return denoised

    return checked


def _flipped(window: Window, tile: tuple[int, ...], flipped: list[bool]) -> Window:
    """Return the window of a tile after its whole image is flipped."""
    top, left = (
        whole - start - edge if flip else start
        for start, whole, edge, flip in zip(window[:2], window[2:], tile, flipped, strict=True)
    )
    return Window(top, left, *window[2:])
