"""Replace regions of an image by other regions of the same image.

Letters: B images, C channels, H and W rows and columns, N spots, K similar patches, P = N*q*q pixels written.
"""

import torch
from torch import Tensor

from src.masker.base import Masked, flat_index, last_writes


def paste_regions(
    batch: Tensor, points: Tensor, similar: Tensor, edge: int, core_edge: int | None = None
) -> Masked:
    """Overwrite square regions of an image with the mean of other regions.

    Parameters
    ----------
    batch : Tensor
        (B, C, H, W).
    points : Tensor
        (B, N, 2) int64, centres of the regions to overwrite, rows and columns.
    similar : Tensor
        (B, N, K, 2) int64, centres of the regions to average; with K = 1 the region is copied.
    edge : int
        Edge of the regions, px, odd; all lie inside the image.
    core_edge : int, optional
        Edge of the squares that the mask counts, px, odd; None counts the regions.

    Returns
    -------
    Masked
        All values come from the unmasked image. In an overlap, the region in which the pixel has the larger
        (row offset, column offset) from the centre wins.
    """
    images, channels, height, width = batch.shape
    targets = _squares(points, edge, width)
    last = last_writes(targets, height * width)[:, None]
    flat = batch.flatten(2)
    fills = _mean_at(flat, [_squares(centres, edge, width) for centres in similar.unbind(2)])
    written = fills.gather(2, last.clamp(min=0).expand(-1, channels, -1))
    image = torch.where(last >= 0, written, flat).view_as(batch)
    counted = _squares(points, core_edge or edge, width)
    mask = batch.new_zeros(images, height * width).scatter_(1, counted, 1.0)
    return Masked(image, mask.view(images, 1, height, width))


def _squares(centres: Tensor, edge: int, width: int) -> Tensor:
    """Return flat indices (B, P) of the squares around (B, N, 2) centres, offset by offset for all N."""
    # In this order of writes the larger offset comes last and wins in an overlap.
    side = torch.arange(edge, device=centres.device) - edge // 2
    offsets = flat_index(torch.cartesian_prod(side, side), width)[:, None]
    return (offsets + flat_index(centres, width)[:, None]).flatten(1)


def _mean_at(flat: Tensor, places: list[Tensor]) -> Tensor:
    """Return the mean (B, C, P) of the values of flat images (B, C, H*W) at K lists of (B, P) pixels."""
    first, *others = (flat.gather(2, index[:, None].expand(-1, flat.shape[1], -1)) for index in places)
    if not others:
        return first
    # For the same bits on every device: a fixed order of summation, and division by a tensor. A GPU divides
    # by a Python number by multiplying with its inverse.
    exact = torch.promote_types(flat.dtype, torch.float32)
    total = sum(others, first.to(exact))
    return (total / torch.full((), len(places), dtype=exact, device=flat.device)).to(flat.dtype)
