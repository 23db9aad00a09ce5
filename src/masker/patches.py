"""Patches of images as both searches see them, and how much of them is held at once.

Letters: B images, C channels, H and W rows and columns, I and J those of a grid of patches, N spots, K found.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Search = Callable[[Tensor, Tensor], Tensor]
"""(B, C, H, W) images and the corners (B, N, 2) of patches in them to the corners (B, N, K, 2) of others."""


class Wanted(NamedTuple):
    """Which patches are compared, and how many of them are found for each spot."""

    edge: int
    """Edge s of the patches, px."""
    stride: int
    """Step of the grid of candidates, px."""
    exclude: int = 0
    """Candidates nearer to the spot than this are passed over, px from centre to centre, by the larger of
    the distances in rows and columns."""
    number: int = 1
    """K, how many are found."""

    def passed_over(self, corners: Tensor, rows: range, columns: int) -> Tensor:
        """Whether each of some rows of candidates is too near to each patch.

        Parameters
        ----------
        corners : Tensor
            (B, N, 2) int64, upper left corners of the patches around the spots.
        rows : range
            Rows of the grid of candidates.
        columns : int
            How many there are.

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
    """How many candidates are left for a spot at the worst place.

    Parameters
    ----------
    stride, exclude : int
        See `Wanted`.
    height, width : int
        From a patch's first place to its last, px.
    """
    grid, near = 1, 1
    for last in (height, width):
        places = last // stride + 1
        grid *= places
        near *= min(places, most_near(stride, exclude))
    return grid - near


def smallest_with(number: int, stride: int, exclude: int) -> int:
    """The smallest `height` and `width`, px, for which `fewest_candidates` leaves so many."""
    return stride * math.isqrt(most_near(stride, exclude) ** 2 + number - 1)


def most_near(stride: int, exclude: int) -> int:
    """How many candidates, side by side, can be nearer to a spot than `exclude`."""
    return max(0, -(-(2 * exclude - 1) // stride))


def chunk_bytes(device: torch.device) -> int:
    """Size that the largest tensor of a search is meant to have; its peak is a few of them."""
    # On a CPU more is not faster; a GPU wants many images in one launch.
    return 2**25 if device.type == "cpu" else 2**28


def patch_view(images: Tensor, edge: int) -> Tensor:
    """All patches (B, H - s + 1, W - s + 1, s, s*C) of images (B, C, H, W), by their corners; no copies."""
    # With the channels last, each row of a patch is one piece of memory.
    channels = images.shape[1]
    rows = images.permute(0, 2, 3, 1).flatten(2)
    return rows.unfold(1, edge, 1).unfold(2, edge * channels, channels)


def grid_size(images: Tensor, edge: int, stride: int) -> tuple[int, int]:
    """Rows and columns of the grid of candidates in padded images (B, C, H, W)."""
    rows, columns = (len(range(0, length - edge + 1, stride)) for length in images.shape[2:])
    return rows, columns


def entries_at(grid: Tensor, places: Tensor) -> Tensor:
    """Entries (B, N, ...) of a (B, I, J, ...) grid at (B, N, 2) places."""
    image = torch.arange(len(places), device=places.device)[:, None]
    return grid[image, places[..., 0], places[..., 1]]


def found_for(corners: Tensor, count: int) -> Tensor:
    """Room (B, N, K, 2) for what a search finds."""
    return corners[:, :, None].repeat(1, 1, count, 1)


def in_groups(search: Search, images: Tensor, corners: Tensor, group: int, count: int) -> Tensor:
    """Search a batch for K patches a spot, so many images at once."""
    group = max(1, group)
    found = [search(images[i : i + group], corners[i : i + group]) for i in range(0, len(images), group)]
    return torch.cat(found) if found else found_for(corners, count)
