"""Images that are too large for the network at once: how they are cut, and laid together again.

An image is divided into parts of nearly equal size. The network sees each part with a margin around it, its
tile. Where the margin is less than the network looks far, neighbouring results differ, and are blended over a
few pixels on either side of the border between their parts.

Shape letters: C channels, H rows, W columns.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from src.util.errors import ConfigError

BLEND = 8
"""How far from the border between two parts, in px, results that differ there are blended."""

# With UNet2 [96, 192] in 32 bits a tile of 496 px (432 and its margins) takes about 0.6 GB, and an image of
# 0.75 MP at once 1.2 GB, besides the 0.3 GB of Python and torch.
_AUTO_TILE = {"cuda": 1024}
_AUTO_TILE_ELSEWHERE = 432
_WHOLE_TILES = 2  # images of up to so many tiles in height and width are taken whole


@dataclass(frozen=True)
class Tiling:
    """How large the parts of an image are.

    Parameters
    ----------
    tile : int or "auto"
        Edge of a part at most, px, without its margin; 0 gives the network the whole image at once.
        `auto` does so up to 0.75 MP (on a GPU 4 MP), and takes parts of 432 px (on a GPU 1024) beyond.
    overlap : int or "auto"
        How far a tile reaches over its part on each side, px. `auto` is as far as the network looks: then the
        tiles give the whole image's result.

    Raises
    ------
    ConfigError
        When one of them is neither `auto` nor a whole number from 0 on.
    """

    tile: int | Literal["auto"] = "auto"
    overlap: int | Literal["auto"] = "auto"

    def __post_init__(self) -> None:
        for name, value in (("tile", self.tile), ("overlap", self.overlap)):
            if value != "auto" and (isinstance(value, str) or value < 0):
                raise ConfigError(f"--{name} {value}: expected auto, or a number of pixels, 0 or more")

    def edge(self, height: int, width: int, device: str, receptive_radius: int | None) -> int:
        """Edge of a part of an image of this size; 0 for the image as a whole.

        Raises
        ------
        ConfigError
            When parts are asked for, but nothing says how far tiles must reach over them.
        """
        if receptive_radius is None and self.overlap == "auto":
            if self.tile == "auto" or not self.tile or max(height, width) <= self.tile:
                return 0
            raise ConfigError(
                f"--tile {self.tile}: how far this network looks is not known; say --overlap N (px), too"
            )
        if self.tile != "auto":
            return 0 if max(height, width) <= self.tile else self.tile
        edge = _AUTO_TILE.get(device, _AUTO_TILE_ELSEWHERE)
        return 0 if height * width <= (_WHOLE_TILES * edge) ** 2 else edge

    def margin(self, receptive_radius: int | None) -> int:
        """How far tiles overlap, px, for a receptive field of this radius (None: not known)."""
        return (receptive_radius or 0) if self.overlap == "auto" else self.overlap

    def blend(self, receptive_radius: int | None) -> int:
        """How far from their border, in px, two results are blended: not at all where they are the same."""
        whole = receptive_radius is not None and self.margin(receptive_radius) >= receptive_radius
        return 0 if whole else BLEND


class Span(NamedTuple):
    """A tile along one axis of the padded image, px: what the network sees, and what is used of it."""

    start: int
    stop: int
    first: int
    last: int
    """`first` to `last` is used, with these `weights` (last - first); all spans' weights add up to 1."""
    weights: Tensor


def divide(length: int, tile: int, margin: int, stride: int, blend: int = 0) -> list[Span]:
    """Divide one axis into parts of nearly equal length.

    Parameters
    ----------
    length : int
        Of the padded image, a multiple of `stride`.
    tile : int
        Longest part; 0 gives the axis as a whole.
    margin : int
        How far tiles reach over their parts.
    stride : int
        Tiles begin and end at multiples of it, as the network's levels do.
    blend : int
        How far from the border between two parts both are used; at most as far as they receptive_radius.

    Returns
    -------
    list of Span
        In order.
    """
    units = length // stride
    parts = 1 if tile == 0 else min(units, -(-units // max(tile // stride, 1)))
    borders = [units * number // parts * stride for number in range(parts + 1)]
    margin = -(-margin // stride) * stride
    blend = min(blend, margin)
    spans = []
    for begin, end in pairwise(borders):
        first, last = max(begin - blend, 0), min(end + blend, length)
        share = _beyond(begin, first, last, blend) - _beyond(end, first, last, blend) * (end < length)
        start, stop = max(begin - margin, 0), min(end + margin, length)
        spans.append(Span(start, stop, first, last, share))
    return spans


def _beyond(border: int, first: int, last: int, blend: int) -> Tensor:
    """A ramp over pixels `first` to `last`: 0 before a border between parts, 1 beyond it."""
    centres = torch.arange(first, last) + 0.5 - border
    if border == 0:
        return torch.ones_like(centres)
    return (centres / (2 * blend) + 0.5).clamp(0, 1) if blend else (centres > 0).float()


def stitch(
    rows: Sequence[Span], columns: Sequence[Span], results: Iterable[Tensor]
) -> Iterator[tuple[int, Tensor]]:
    """Lay tiles together, holding a single row of them.

    Parameters
    ----------
    rows, columns : sequence of Span
        Of `divide`.
    results : iterable of Tensor
        The network's result (C, H, W) for each tile, row by row.

    Yields
    ------
    top : int
        First row of a band of the result.
    band : Tensor
        (C, rows, whole width), done; bands come from the top down and cover the padded image.
    """
    tiles = iter(results)
    carried: Tensor | None = None
    for number, row in enumerate(rows):
        band: Tensor | None = None
        for column in columns:
            used = next(tiles)[
                :,
                row.first - row.start : row.last - row.start,
                column.first - column.start : column.last - column.start,
            ]
            if band is None:
                band = used.new_zeros(len(used), row.last - row.first, columns[-1].last)
            band[..., column.first : column.last] += used * row.weights[:, None] * column.weights
        assert band is not None
        if carried is not None:
            band[:, : carried.shape[1]] += carried
        done = (rows[number + 1].first if number + 1 < len(rows) else row.last) - row.first
        yield row.first, band[:, :done]
        carried = band[:, done:].clone()


def padded_positions(length: int, multiple: int) -> np.ndarray:
    """Which pixels an axis shows once it is extended, by reflection, until `multiple` divides its length.

    As `src.model.NL_BSN` extends images.
    """
    missing = -length % multiple
    beyond = length - 2 - np.arange(missing) if missing < length else np.full(missing, length - 1)
    return np.concatenate([np.arange(length), beyond])


def reflected(positions: np.ndarray, length: int) -> np.ndarray:
    """Which pixels of an axis stand at positions on, before and behind it, for it is mirrored at its ends."""
    period = max(1, 2 * (length - 1))
    folded = positions % period
    return np.minimum(folded, period - folded)
