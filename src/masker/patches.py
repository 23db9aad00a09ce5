"""Views of patches, the grid of candidates and batch sizes, shared by both searches.

Letters: B images, C channels, H and W rows and columns, I and J those of a grid of patches, N spots, K found.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

Search = Callable[[Tensor, Tensor], Tensor]
"""Maps images (B, C, H, W) and corners (B, N, 2) of patches to corners (B, N, K, 2) of similar patches."""


class Wanted(NamedTuple):
    """The parameters of a search."""

    edge: int
    """Edge s of the patches, px."""
    stride: int
    """Stride of the grid of candidates, px."""
    exclude: int = 0
    """Ignore candidates nearer to the spot than this, px: the larger of the distances of the centres in rows
    and columns."""
    number: int = 1
    """K, the number of candidates to find for each spot."""

    def excluded(self, corners: Tensor, rows: range, columns: int) -> Tensor:
        """Return which candidates are too near to which patch.

        Parameters
        ----------
        corners : Tensor
            (B, N, 2) int64, upper left corners of the patches around the spots.
        rows : range
            Rows of the grid of candidates.
        columns : int
            Number of columns of the grid.

        Returns
        -------
        Tensor
            (B, N, rows * columns) bool.
        """
        down, across = (
            (self.stride * torch.arange(places.start, places.stop, device=corners.device) - own[..., None])
            .abs()
            .less(self.exclude)
            for places, own in zip((rows, range(columns)), corners.unbind(-1), strict=True)
        )
        return (down[..., None] & across[..., None, :]).flatten(2)


def fewest_candidates(stride: int, exclude: int, height: int, width: int) -> int:
    """Return the number of candidates outside `exclude` for a spot in the worst position.

    Parameters
    ----------
    stride, exclude : int
        See `Wanted`.
    height, width : int
        Distance between the first and the last position of a patch, px.
    """
    grid, near = 1, 1
    for last in (height, width):
        places = last // stride + 1
        grid *= places
        near *= min(places, _most_near(stride, exclude))
    return grid - near


def smallest_with(number: int, stride: int, exclude: int) -> int:
    """Return the smallest `height` and `width`, px, with which `fewest_candidates` returns `number`."""
    return stride * math.isqrt(_most_near(stride, exclude) ** 2 + number - 1)


def _most_near(stride: int, exclude: int) -> int:
    """Return the largest number of adjacent candidates that can be nearer to a spot than `exclude`."""
    return max(0, -(-(2 * exclude - 1) // stride))


def chunk_bytes(device: torch.device) -> int:
    """Return the target size of a search's largest tensor; the peak memory is a few times that."""
    # On a CPU larger chunks are not faster; a GPU needs many images in one launch.
    return 2**25 if device.type == "cpu" else 2**28


def patch_view(images: Tensor, edge: int) -> Tensor:
    """Return all patches (B, H - s + 1, W - s + 1, s, s*C) of images (B, C, H, W) as a view."""
    # With the channels last, each row of a patch is contiguous.
    channels = images.shape[1]
    rows = images.permute(0, 2, 3, 1).flatten(2)
    return rows.unfold(1, edge, 1).unfold(2, edge * channels, channels)


def window_sums(values: Tensor, edge: int) -> Tensor:
    """Return the sums (B, H - s + 1, W - s + 1) of integers (B, H, W) over all s x s windows."""
    # The summed-area table may wrap around; its differences are correct all the same.
    table = pad(values.cumsum(1, dtype=values.dtype).cumsum(2, dtype=values.dtype), (1, 0, 1, 0))
    return (
        table[:, edge:, edge:] - table[:, :-edge, edge:] - table[:, edge:, :-edge] + table[:, :-edge, :-edge]
    )


def grid_size(images: Tensor, edge: int, stride: int) -> tuple[int, int]:
    """Return the rows and columns of the grid of candidates in padded images (B, C, H, W)."""
    rows, columns = (len(range(0, length - edge + 1, stride)) for length in images.shape[2:])
    return rows, columns


def entries_at(grid: Tensor, places: Tensor) -> Tensor:
    """Return the entries (B, N, ...) of a (B, I, J, ...) grid at (B, N, 2) places."""
    image = torch.arange(len(places), device=places.device)[:, None]
    return grid[image, places[..., 0], places[..., 1]]


def in_groups(search: Search, images: Tensor, corners: Tensor, group: int, count: int) -> Tensor:
    """Search a batch for K patches per spot, `group` images at a time."""
    group = max(1, group)
    found = [search(images[i : i + group], corners[i : i + group]) for i in range(0, len(images), group)]
    return torch.cat(found) if found else corners[:, :, None].repeat(1, 1, count, 1)
