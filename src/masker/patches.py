"""Patches of images as both searches see them, and how much of them is held at once.

Letters: B images, C channels, H and W rows and columns, I and J those of a grid of patches, N spots.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Search = Callable[[Tensor, Tensor], Tensor]
"""(B, C, H, W) images and the corners (B, N, 2) of patches in them to the corners (B, N, 2) of others."""


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


def in_groups(search: Search, images: Tensor, corners: Tensor, group: int) -> Tensor:
    """Search a batch, so many images at once."""
    group = max(1, group)
    found = [search(images[i : i + group], corners[i : i + group]) for i in range(0, len(images), group)]
    return torch.cat(found) if found else corners
