"""The most similar other patch of an image for each blind spot: a matrix product with an exact re-check.

Letters: B images, C channels, H and W rows and columns, N spots, K candidates, L shortlisted, D = s*s*C
values of a patch.
"""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from src.masker.levels import PATCH_VALUES, nearest_by_levels, to_levels
from src.masker.patches import chunk_bytes, entries_at, grid_size, in_groups, patch_view

# Candidates for each spot whose distance is taken again in plain differences. One would do for photographs;
# several settle near-ties finer than the rounding of the matrix product.
RECHECKED = 5

# Odd, hence invertible modulo 2^64; otherwise arbitrary.
_ROW, _COLUMN, _CHANNEL, _MIX = 0x2545F4914F6CDD1D, 0x1B03738712FAD5C9, 0x369DEA0F31A53F85, 0x5851F42D4C957F2D


class _Candidates(NamedTuple):
    """The patches that may be copied, on a grid of I x J corners, or a few rows of it."""

    values: Tensor
    """(B, I, J, s, s*C) float64, a view of the images."""
    hashes: Tensor
    """(B, I, J) int64, equal for equal patches."""
    energies: Tensor
    """(B, I, J) float64, sum of the squares."""


class _References(NamedTuple):
    """The patches around the blind spots."""

    values: Tensor
    """(B, N, D) float64."""
    hashes: Tensor
    """(B, N) int64."""


@torch.no_grad()
def find_similar(
    batch: Tensor, points: Tensor, sim_patch_edge: int, repl_patch_edge: int, stride: int
) -> Tensor:
    """Find the candidate patch nearest to the patch around each blind spot.

    Parameters
    ----------
    batch : Tensor
        (B, C, H, W) images, floating point, or uint8, of which 255 is 1.0.
    points : Tensor
        (B, N, 2) int64 rows and columns, at least `repl_patch_edge // 2` away from the border.
    sim_patch_edge : int
        Edge s of the patches compared, px, odd.
    repl_patch_edge : int
        Edge q of the region to be replaced, px, odd, at most s. The images are reflect-padded by the
        difference of the radii, s//2 - q//2.
    stride : int
        Step of the grid of candidates, px.

    Returns
    -------
    Tensor
        (B, N, 2) int64, the centres of the nearest candidates, rows and columns in image coordinates.

    Notes
    -----
    A candidate is a patch of the padded image whose corner lies on the grid; the nearest has the smallest sum
    of squared differences. Candidates at distance 0 do not count: the patch itself, and its exact duplicates.
    The first in row-major order wins a tie, and is taken where all are at 0.

    The distances are |p|^2 + |r|^2 - 2 p.r, one matrix product of N*K*D multiplications. An image of 8 bits
    (uint8, or whole multiples of 1/255) is compared by its levels, whose distances are whole numbers, equal
    on every device. For other values the sum cancels, hence float64 and centred images; and what it ranks
    first is measured again in plain differences. Duplicates are told by a hash of the pixels' bits: the last
    bit of one pixel makes a difference, the rounding of a sum never does.
    """
    # MPS has no float64; half precision widens without loss.
    images = batch.cpu() if batch.device.type == "mps" else batch
    known = images.dtype == torch.uint8
    images = images if images.dtype == torch.float64 else images.float()
    radius, margin = repl_patch_edge // 2, sim_patch_edge // 2 - repl_patch_edge // 2
    padded = pad(images, (margin,) * 4, mode="reflect")
    # A patch's corner in the padded image has the coordinates that its region's corner has in the image.
    corners = points.to(images.device) - radius
    search = partial(_nearest_of_levels if known else _nearest_of_any, edge=sim_patch_edge, stride=stride)
    return (search(padded, corners) + radius).to(points.device)


def _nearest_of_levels(levels: Tensor, corners: Tensor, edge: int, stride: int) -> Tensor:
    """Corners (B, N, 2) of the candidates nearest to the patches of padded levels at `corners` (B, N, 2)."""
    fits = levels.shape[1] * edge**2 in PATCH_VALUES
    return (nearest_by_levels if fits else _nearest_of_floats)(levels, corners, edge, stride)


def _nearest_of_any(images: Tensor, corners: Tensor, edge: int, stride: int) -> Tensor:
    """The same for padded images of any values, each of them by its levels if it has some."""
    comparable, has_levels = to_levels(images)
    # A GPU is not asked which have them, for that takes a wait: the levels are compared as any values are.
    if images.device.type != "cpu":
        return _nearest_of_floats(comparable, corners, edge, stride)
    nearest = torch.empty_like(corners)
    for which, search in ((has_levels, _nearest_of_levels), (~has_levels, _nearest_of_floats)):
        nearest[which] = search(comparable[which], corners[which], edge, stride)
    return nearest


def window_hashes(images: Tensor, edge: int) -> Tensor:
    """Hash every edge x edge window of float images: equal for equal pixels, and as good as never otherwise.

    Parameters
    ----------
    images : Tensor
        (B, C, H, W) float32 or float64. 0.0 and -0.0 are the same pixel.
    edge : int
        Edge of the windows, px.

    Returns
    -------
    Tensor
        (B, H - edge + 1, W - edge + 1) int64.

    Notes
    -----
    A polynomial in the mixed bits of the pixels, modulo 2^64, whose sums over windows come from a summed-area
    table [1]_. Integers wrap around without loss, so neither size nor device changes a hash.

    References
    ----------
    .. [1] F. C. Crow, "Summed-area tables for texture mapping", SIGGRAPH 1984.
       https://doi.org/10.1145/800031.808600
    """
    bits = (images + 0.0).view(torch.int32 if images.dtype == torch.float32 else torch.int64).long() * _MIX
    mixed = (bits ^ (bits >> 32)) * _MIX
    channels, height, width = images.shape[1:]
    mixed = (mixed * _powers(_CHANNEL, channels, images.device)[:, None, None]).sum(1)
    weighted = mixed * _powers(_ROW, height, images.device)[:, None] * _powers(_COLUMN, width, images.device)
    table = pad(weighted.cumsum(1).cumsum(2), (1, 0, 1, 0))
    sums = (
        table[:, edge:, edge:] - table[:, :-edge, edge:] - table[:, edge:, :-edge] + table[:, :-edge, :-edge]
    )
    # Equal windows differ so far by the weight of their corners.
    rows, columns = sums.shape[1:]
    sums *= _powers(_inverse(_ROW), rows, images.device)[:, None]
    return sums * _powers(_inverse(_COLUMN), columns, images.device)


def _powers(base: int, number: int, device: torch.device) -> Tensor:
    return torch.full((number,), base, device=device).cumprod(0)


def _inverse(odd: int) -> int:
    """Inverse modulo 2^64, as a signed 64-bit integer."""
    inverse = pow(odd, -1, 2**64)
    return inverse - 2**64 if inverse >= 2**63 else inverse


def _nearest_of_floats(images: Tensor, corners: Tensor, edge: int, stride: int) -> Tensor:
    """The same for padded images of any values, compared as they are."""
    rows, columns = grid_size(images, edge, stride)
    values = rows * columns * max(images.shape[1] * edge**2, corners.shape[1])
    search = partial(_nearest_corners, edge=edge, stride=stride)
    return in_groups(search, images, corners, _chunk_values(images) // values)


def _chunk_values(tensor: Tensor) -> int:
    return chunk_bytes(tensor.device) // torch.float64.itemsize


def _nearest_corners(images: Tensor, corners: Tensor, edge: int, stride: int) -> Tensor:
    """The same for so many images as are held at once."""
    # A mean of 0 lessens the cancellation.
    centred = images.double() - images.double().mean((1, 2, 3), keepdim=True)
    hashes = window_hashes(images, edge)
    patches = patch_view(centred, edge)
    references = _References(entries_at(patches, corners).flatten(2), entries_at(hashes, corners))
    energies = avg_pool2d(centred.square().sum(1, keepdim=True), edge, stride, divisor_override=1)[:, 0]
    candidates = _Candidates(patches[:, ::stride, ::stride], hashes[:, ::stride, ::stride], energies)
    return _first_nearest(candidates, references, _shortlist(candidates, references)) * stride


def _rounding(references: _References) -> float:
    """Bound on the rounding of a sum of D products, relative to the sum of their magnitudes."""
    return references.values.shape[-1] * torch.finfo(torch.float64).eps


def _shortlist(candidates: _Candidates, references: _References) -> Tensor:
    """Row-major indices (B, N, L) of the candidates that may be nearest, ascending."""
    images, rows, columns = candidates.hashes.shape
    spots, values = references.values.shape[1:]
    energy = references.values.square().sum(-1) + 2 * candidates.energies.amax((1, 2))[:, None]
    tolerance = _rounding(references) * energy[..., None]
    step = max(1, _chunk_values(energy) // (images * columns * max(spots, values)))
    distances = torch.empty(images, spots, 0, dtype=energy.dtype, device=energy.device)
    indices = torch.empty(images, spots, 0, dtype=torch.int64, device=energy.device)
    for row in range(0, rows, step):
        chunk = _Candidates(*(field[:, row : row + step].flatten(1, 2) for field in candidates))
        measured = _distances(chunk, references)
        leading = _leading(measured, tolerance)
        distances = torch.cat((distances, measured.gather(-1, leading)), dim=-1)
        indices = torch.cat((indices, leading + row * columns), dim=-1)
        leading = _leading(distances, tolerance)
        distances, indices = distances.gather(-1, leading), indices.gather(-1, leading)
    return indices


def _distances(chunk: _Candidates, references: _References) -> Tensor:
    """Distances (B, N, K) less each reference's own energy, infinite for duplicates."""
    distances = torch.baddbmm(
        chunk.energies[:, None], references.values, chunk.values.flatten(2).mT, alpha=-2
    )
    return distances.masked_fill_(references.hashes[..., None] == chunk.hashes[:, None], torch.inf)


def _leading(distances: Tensor, tolerance: Tensor) -> Tensor:
    """Positions (B, N, L), ascending, of the first that may be the smallest and of the smallest others."""
    first = _first(distances <= distances.amin(-1, keepdim=True) + tolerance)
    others = distances.scatter(-1, first, torch.inf)
    nearest = others.topk(min(RECHECKED, distances.shape[-1]) - 1, largest=False).indices
    return torch.cat((first, nearest), dim=-1).sort(dim=-1).values


def _first(true: Tensor) -> Tensor:
    """Position (..., 1) of the first True in each row."""
    return true.view(torch.uint8).argmax(-1, keepdim=True)


def _first_nearest(candidates: _Candidates, references: _References, shortlist: Tensor) -> Tensor:
    """Places (B, N, 2) on the grid of the first of the nearest by plain differences."""
    columns = candidates.hashes.shape[2]
    measured = []
    for index in shortlist.unbind(-1):
        place = torch.stack((index // columns, index % columns), dim=-1)
        distance = entries_at(candidates.values, place).flatten(2).sub_(references.values).square_().sum(-1)
        measured.append(
            distance.masked_fill_(entries_at(candidates.hashes, place) == references.hashes, torch.inf)
        )
    distances = torch.stack(measured, dim=-1)
    least = distances.amin(-1, keepdim=True)
    index = shortlist.gather(-1, _first(distances <= least * (1 + _rounding(references))))[..., 0]
    return torch.stack((index // columns, index % columns), dim=-1)
