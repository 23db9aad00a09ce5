"""Divide large images into tiles, and stitch the results.

An image is divided into parts of nearly equal size. The network sees each part with a margin around it: its
tile. If the margin is smaller than the receptive radius, neighbouring results differ; they are blended over a
few pixels on either side of the border between the parts.

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
"""Largest distance from the border between two parts, px, at which differing results are blended."""

# With UNet2 [96, 192] in 32 bits a tile of 496 px (432 plus margins) needs about 0.6 GB, and a whole image of
# 0.75 MP 1.2 GB, in addition to 0.3 GB for Python and torch.
_AUTO_TILE = {"cuda": 1024}
_AUTO_TILE_ELSEWHERE = 432
_WHOLE_TILES = 2  # images with at most the area of this many tiles squared are not divided


@dataclass(frozen=True)
class Tiling:
    """The sizes of tiles.

    Parameters
    ----------
    tile : int or "auto"
        Largest edge of a part without its margin, px; 0 denoises the whole image at once. `auto` does that up
        to 0.75 MP (4 MP on a GPU) and otherwise uses parts of 432 px (1024 on a GPU).
    overlap : int or "auto"
        Margin of a tile around its part on each side, px. `auto` is the receptive radius of the network: the
        tiles then give the whole image's result.

    Raises
    ------
    ConfigError
        If one of them is neither `auto` nor an integer >= 0.
    """

    tile: int | Literal["auto"] = "auto"
    overlap: int | Literal["auto"] = "auto"

    def __post_init__(self) -> None:
        for name, value in (("tile", self.tile), ("overlap", self.overlap)):
            if value != "auto" and (isinstance(value, str) or value < 0):
                raise ConfigError(f"--{name} {value}: expected auto, or a number of pixels, 0 or more")

    def edge(self, height: int, width: int, device: str, receptive_radius: int | None) -> int:
        """Return the largest edge of the parts of an image, px; 0 for the whole image.

        Raises
        ------
        ConfigError
            If the image must be divided, but neither overlap nor receptive radius is known.
        """
        if receptive_radius is None and self.overlap == "auto":
            if self.tile == "auto" or not self.tile or max(height, width) <= self.tile:
                return 0
            raise ConfigError(
                f"--tile {self.tile}: the receptive field of this network is unknown; add --overlap N (px)"
            )
        if self.tile != "auto":
            return 0 if max(height, width) <= self.tile else self.tile
        edge = _AUTO_TILE.get(device, _AUTO_TILE_ELSEWHERE)
        return 0 if height * width <= (_WHOLE_TILES * edge) ** 2 else edge

    def margin(self, receptive_radius: int | None) -> int:
        """Return the margin of tiles, px, for a receptive radius (None: unknown)."""
        return (receptive_radius or 0) if self.overlap == "auto" else self.overlap

    def blend(self, receptive_radius: int | None) -> int:
        """Return the distance from the border between parts up to which results are blended, px."""
        whole = receptive_radius is not None and self.margin(receptive_radius) >= receptive_radius
        return 0 if whole else BLEND  # equal results need no blending


class Span(NamedTuple):
    """A tile along one axis of the padded image: pixels `start` to `stop`; `first` to `last` are used."""

    start: int
    stop: int
    first: int
    last: int
    weights: Tensor
    """(last - first,), the weights of the used pixels; the weights of all spans add up to 1."""


def divide(length: int, tile: int, margin: int, stride: int, blend: int = 0) -> list[Span]:
    """Divide one axis into parts of nearly equal length.

    Parameters
    ----------
    length : int
        Length of the padded image, px, a multiple of `stride`.
    tile : int
        Longest part, px; 0 returns a single span.
    margin : int
        Margin of the tiles, px.
    stride : int
        Tiles begin and end at multiples of it, px, like the levels of the network.
    blend : int
        Distance from the border between two parts up to which both are used, px; at most `margin`.

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
    """Return a ramp over pixels `first` to `last`: 0 before a border between parts, 1 beyond it."""
    centres = torch.arange(first, last) + 0.5 - border
    if border == 0:
        return torch.ones_like(centres)
    return (centres / (2 * blend) + 0.5).clamp(0, 1) if blend else (centres > 0).float()


def stitch(
    rows: Sequence[Span], columns: Sequence[Span], results: Iterable[Tensor]
) -> Iterator[tuple[int, Tensor]]:
    """Stitch tiles, holding a single row of them in memory.

    Parameters
    ----------
    rows, columns : sequence of Span
        From `divide`.
    results : iterable of Tensor
        The network's result (C, H, W) for each tile, row by row.

    Yields
    ------
    top : int
        First row of a band of the result.
    band : Tensor
        (C, rows, width); bands come from the top down and cover the padded image.
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
    """Return the pixels of an axis that is extended to a multiple of `multiple`, as in `src.model.NL_BSN`."""
    missing = -length % multiple
    beyond = length - 2 - np.arange(missing) if missing < length else np.full(missing, length - 1)
    return np.concatenate([np.arange(length), beyond])


def reflected(positions: np.ndarray, length: int) -> np.ndarray:
    """Return the pixels of an axis at positions inside and outside it, with reflection at both ends."""
    period = max(1, 2 * (length - 1))
    folded = positions % period
    return np.minimum(folded, period - folded)
