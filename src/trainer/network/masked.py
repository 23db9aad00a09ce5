"""Denoise pixels that are hidden from the network, as in training.

Shape letters: B images, N regions, C channels, H rows, W columns.
"""

import math
from collections.abc import Sequence
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from src.masker import NonLocalMasker
from src.masker.grid import grid_points
from src.trainer.network.network import Network
from src.trainer.network.tiling import reflected
from src.trainer.network.whole_image import Reader, WholeImage, Writer, expect_finite
from src.util.errors import ConfigError, OutOfMemoryError
from src.util.logger import LOG, progress_bar
from src.util.memory import is_out_of_memory

BLOCK = 256
"""Edge of the blocks of an image, px; their grid begins in the upper left corner. The last block of a row or
column takes what is left if that is less than `_NARROW` px: a narrow block is mostly surroundings."""

_NARROW = 64

_AT_ONCE = {"cuda": 2**20}
_AT_ONCE_ELSEWHERE = 2**18
"""Pixels per call of the network: with UNet2 [96, 192] in 32 bits 2**18 px need about 0.6 GB."""

Phase = Sequence[int]
"""Row and column of the image at which the first core of a grid begins, px."""


class _Span(NamedTuple):
    """A block along one axis: `begin` to `end`, px, and the area around it, whose first pixel is `start`.

    `pixels` (area,) are the image's pixels in the area, reflected outside the image.
    """

    begin: int
    end: int
    start: int
    pixels: np.ndarray

    @property
    def block(self) -> slice:
        """The position of the block in its area."""
        return slice(self.begin - self.start, self.end - self.start)

    @property
    def inside(self) -> np.ndarray:
        """The positions in the area of its pixels; for reflected pixels those of the originals."""
        return self.pixels - self.start


def passes(masker: NonLocalMasker) -> int:
    """Return the number of passes after which each pixel has been in a core at least once."""
    return math.ceil(masker.pitch / _core(masker)) ** 2


def _core(masker: NonLocalMasker) -> int:
    return 1 if masker.center_only else masker.core_edge or masker.repl_patch_edge


class Masked(WholeImage):
    """Denoises with a network that does not see the pixels it predicts.

    Each pass hides regions on a grid and keeps only their cores of the network's result. Then the grid is
    shifted by the edge of a core, until each pixel was in a core: `ceil(pitch / core)**2` passes. A pixel's
    result is the mean over all cores that contained it.

    The image is processed in blocks of `BLOCK` px with the network's receptive field around them. A result
    depends only on this area, neither on tiles nor on the size of the image.

    Parameters
    ----------
    network : Network
        Trained to predict what `masker` hides; its `tiling` is not used.
    masker : NonLocalMasker
        Searches for similar patches within a block and its surroundings.

    Raises
    ------
    ConfigError
        If regions on the masker's grid would touch, or the network is not suitable.

    Notes
    -----
    The image is reflected at its border, so that the cores of regions reach the border. Pixels hidden inside
    are also hidden in the reflection.

    A hidden pixel influences which patches are similar to those around it, and can be part of what replaces a
    region at least `exclude` px away.
    """

    def __init__(self, network: Network, masker: NonLocalMasker) -> None:
        edge = masker.repl_patch_edge
        if masker.pitch <= edge:
            raise ConfigError(
                f"masker.masker_args.pitch: --masked expects more than repl_patch_edge ({edge}), got"
                f" {masker.pitch}: regions would touch"
            )
        if network.module.receptive_radius is None:
            raise ConfigError("--masked: the receptive field of this network is unknown: leave --masked out")
        if network.ensemble:
            raise ConfigError("--masked and --ensemble: say one of them")
        self.network = network
        self.module = network.module
        self.masker = masker
        self.core = _core(masker)
        self.phases = [*product(range(0, masker.pitch, self.core), repeat=2)]
        self._ring = (edge - self.core) // 2
        self._margin = max(network.module.receptive_radius, edge)
        # The smallest area in which every region has enough candidates outside `exclude`.
        beyond = masker.sim_patch_edge + masker.speedup_factor * math.ceil(math.sqrt(masker.similar))
        self._least = edge + 2 * masker.exclude + beyond
        self._at_once = _AT_ONCE.get(network.device.type, _AT_ONCE_ELSEWHERE)

    @torch.no_grad()
    def denoise_bands(self, height: int, width: int, read: Reader, write: Writer, name: str) -> None:
        """Denoise one image, block by block; see `WholeImage`."""
        rows, columns = self._spans(height), self._spans(width)
        total = len(rows) * len(columns) * len(self.phases)
        with self.network.inference(), progress_bar(total, "pass") as bar:
            for row in rows:
                blocks = [self._block(read(row.pixels, c.pixels), row, c, name, bar) for c in columns]
                band = torch.cat(blocks, dim=2)
                expect_finite(band, name)
                write(row.begin, band)

    def _spans(self, length: int) -> list[_Span]:
        spans = []
        begins = range(0, max(1, length - _NARROW + 1), BLOCK)
        for begin, end in pairwise([*begins, length]):
            before = max(self._margin, self._least - (end - begin))
            start = max(begin - before, -self._ring)
            stop = max(min(end + self._margin, length + self._ring), start + self._least)
            spans.append(_Span(begin, end, start, reflected(np.arange(start, stop), length)))
        return spans

    def _block(self, area: Tensor, row: _Span, column: _Span, name: str, bar: "tqdm[Any]") -> Tensor:
        """Denoise a block within its area (C, ...); return (C, H, W) on the CPU."""
        area = area[None].to(self.network.device)
        total, count = area[0].new_zeros(area.shape[1:]), area.new_zeros(area.shape[2:])
        due = self.phases
        while due:
            batch = due[: max(1, self._at_once // count.numel())]
            try:
                cores, masks = self._cores(area, batch, row, column)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._take_less(len(batch), count.numel(), name)
                continue
            # One by one, so that the order of summation does not depend on the batch size.
            for core, mask in zip(cores, masks, strict=True):
                total += core
                count += mask[0]
            due = due[len(batch) :]
            bar.update(len(batch))
        return (total / count)[:, row.block, column.block].cpu()

    def _cores(
        self, area: Tensor, phases: Sequence[Phase], row: _Span, column: _Span
    ) -> tuple[Tensor, Tensor]:
        """Denoise the cores of an area (1, C, H, W); return (B, C, H, W), 0 elsewhere, and their mask."""
        masked = [self.masker.mask_at(area, self._points(phase, row, column)) for phase in phases]
        mask = torch.cat([each.mask for each in masked])
        rows, columns = (torch.from_numpy(span.inside).to(area.device) for span in (row, column))
        images = torch.cat([each.image for each in masked])[..., rows[:, None], columns]
        return torch.where(mask > 0, self.network(images), 0), mask

    def _points(self, phase: Phase, row: _Span, column: _Span) -> Tensor:
        """Return the centres (N, 2) of the regions of a grid in an area."""
        pitch, edge = self.masker.pitch, self.masker.repl_patch_edge
        spans = (row, column)
        height, width = (len(span.pixels) for span in spans)
        top, left = ((p - self._ring - s.start) % pitch for p, s in zip(phase, spans, strict=True))
        more = self.core - 1
        points = grid_points(height + more, width + more, pitch, edge, (top, left))
        # Regions at the end of the area are moved inside by less than a core, so that they cover the last px.
        return torch.minimum(points, torch.tensor((height, width)) - 1 - edge // 2)

    def _take_less(self, images: int, pixels: int, name: str) -> None:
        """Halve the batch size after memory ran out for `images` areas of `pixels` px each."""
        if images == 1:
            raise OutOfMemoryError(
                f"{name}: out of memory on {self.network.device}, even with one block of {pixels} px at once"
            )
        self._at_once = images // 2 * pixels
        LOG.warning("%s: out of memory; continuing with %d blocks at once", name, images // 2)
        if self.network.device.type == "cuda":
            torch.cuda.empty_cache()
