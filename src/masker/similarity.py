"""Find the patches most similar to that around each blind spot: a matrix product with an exact re-check.

Letters: B images, C channels, H and W rows and columns, N spots, K found, L shortlisted, M candidates,
D = s*s*C values of a patch.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from src.masker.levels import PATCH_VALUES, nearest_by_levels, to_levels
from src.masker.patches import Wanted, chunk_bytes, entries_at, grid_size, in_groups, patch_view, window_sums

# Extra candidates per spot whose distance is recomputed from plain differences. Photographs need none; they
# decide near-ties that are finer than the rounding of the matrix product.
RECHECKED = 4

# Stand-ins for the distance of a duplicate, an excluded and an already taken candidate. They differ by so
# much that rounding cannot change their order.
_DUPLICATE, _NEVER, _TAKEN = 2.0**1000, 2.0**1020, torch.inf

# Arbitrary odd numbers: odd numbers are invertible modulo 2^64.
_ROW, _COLUMN, _CHANNEL, _MIX = 0x2545F4914F6CDD1D, 0x1B03738712FAD5C9, 0x369DEA0F31A53F85, 0x5851F42D4C957F2D


class _Candidates(NamedTuple):
    """Candidate patches on a grid of I x J corners, or on a few rows of it."""

    values: Tensor
    """(B, I, J, s, s*C) float64, a view of the images."""
    hashes: Tensor
    """(B, I, J) int64, equal for equal patches."""
    energies: Tensor
    """(B, I, J) float64, sums of squares."""


class _References(NamedTuple):
    """The patches around the blind spots."""

    corners: Tensor
    """(B, N, 2) int64, upper left corners."""
    values: Tensor
    """(B, N, D) float64."""
    hashes: Tensor
    """(B, N) int64."""


@torch.no_grad()
def find_similar(
    batch: Tensor, points: Tensor, sim_patch_edge: int, repl_patch_edge: int, stride: int, exclude: int = 0,
    count: int = 1,
) -> Tensor:  # fmt: skip
    """Find the candidate patches nearest to the patch around each blind spot.

    Parameters
    ----------
    batch : Tensor
        (B, C, H, W) images, floating point, or uint8 with 255 as 1.0.
    points : Tensor
        (B, N, 2) int64 rows and columns, at least `repl_patch_edge // 2` from the border.
    sim_patch_edge : int
        Edge s of the patches compared, px, odd.
    repl_patch_edge : int
        Edge q of the region to be replaced, px, odd, at most s. The images are reflect-padded by the
        difference of the radii, s//2 - q//2.
    stride : int
        Stride of the grid of candidates, px.
    exclude : int
        Ignore candidates whose centre is nearer to the blind spot than this, px: the larger of the distances
        in rows and columns.
    count : int
        Number of candidates to find, K. The image must have that many, see `fewest_candidates`.

    Returns
    -------
    Tensor
        (B, N, K, 2) int64, the centres of the nearest candidates, nearest first, rows and columns in image
        coordinates.

    Notes
    -----
    A candidate is a patch of the padded image whose corner lies on the grid. The nearest one has the smallest
    sum of squared differences. The patch itself and its exact duplicates, at distance 0, rank after all
    others. Equally near candidates rank in row-major order.

    The distances are |p|^2 + |r|^2 - 2 p.r, one matrix product of N*M*D multiplications. 8-bit images (uint8,
    or multiples of 1/255) are compared by their grey levels; these distances are integers, equal on every
    device. For other values the sum cancels, so images are centred and compared in float64, and the distances
    of the best candidates are recomputed from plain differences. Duplicates are found by a hash of the
    pixels' bits, which sees the last bit of a single pixel and is free of rounding.
    """
    # MPS has no float64; half precision widens without loss.
    images = batch.cpu() if batch.device.type == "mps" else batch
    is_8_bit = images.dtype == torch.uint8
    images = images if images.dtype == torch.float64 else images.float()
    radius, margin = repl_patch_edge // 2, sim_patch_edge // 2 - repl_patch_edge // 2
    padded = pad(images, (margin,) * 4, mode="reflect")
    # A patch's corner in the padded image has the same coordinates as its region's corner in the image.
    corners = points.to(images.device) - radius
    search = _nearest_of_levels if is_8_bit else _nearest_of_any
    found = search(padded, corners, Wanted(sim_patch_edge, stride, exclude, count))
    return (found + radius).to(points.device)


def _nearest_of_levels(levels: Tensor, corners: Tensor, wanted: Wanted) -> Tensor:
    """Return the corners (B, N, K, 2) of the candidates nearest to the patches at (B, N, 2), 8-bit images."""
    fits = levels.shape[1] * wanted.edge**2 in PATCH_VALUES
    return (nearest_by_levels if fits else _nearest_of_floats)(levels, corners, wanted)


def _nearest_of_any(images: Tensor, corners: Tensor, wanted: Wanted) -> Tensor:
    """Search padded images of any values; compare 8-bit images by their grey levels."""
    comparable, has_levels = to_levels(images)
    # On a GPU, asking which images are 8-bit would wait for the device; floats hold the levels exactly, too.
    if images.device.type != "cpu":
        return _nearest_of_floats(comparable, corners, wanted)
    nearest = corners[:, :, None].repeat(1, 1, wanted.number, 1)
    for which, search in ((has_levels, _nearest_of_levels), (~has_levels, _nearest_of_floats)):
        nearest[which] = search(comparable[which], corners[which], wanted)
    return nearest


def window_hashes(images: Tensor, edge: int) -> Tensor:
    """Hash every edge x edge window of float images; different windows practically never collide.

    Parameters
    ----------
    images : Tensor
        (B, C, H, W) float32 or float64. 0.0 and -0.0 count as equal.
    edge : int
        Edge of the windows, px.

    Returns
    -------
    Tensor
        (B, H - edge + 1, W - edge + 1) int64.

    Notes
    -----
    The hash is a polynomial in the mixed bits of the pixels modulo 2^64. Its sums over windows come from a
    summed-area table [1]_. Integers wrap around without loss, so a hash does not depend on size or device.

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
    sums = window_sums(weighted, edge)
    # So far, equal windows differ by the weights of their corners.
    rows, columns = sums.shape[1:]
    sums *= _powers(_inverse(_ROW), rows, images.device)[:, None]
    return sums * _powers(_inverse(_COLUMN), columns, images.device)


def _powers(base: int, number: int, device: torch.device) -> Tensor:
    return torch.full((number,), base, device=device).cumprod(0)


def _inverse(odd: int) -> int:
    """Return the inverse modulo 2^64 as a signed 64-bit integer."""
    inverse = pow(odd, -1, 2**64)
    return inverse - 2**64 if inverse >= 2**63 else inverse


def _nearest_of_floats(images: Tensor, corners: Tensor, wanted: Wanted) -> Tensor:
    """Search padded images of any values, compared in float64."""
    rows, columns = grid_size(images, wanted.edge, wanted.stride)
    values = rows * columns * max(images.shape[1] * wanted.edge**2, corners.shape[1])
    search = partial(_nearest_at_once, wanted=wanted)
    return in_groups(search, images, corners, _chunk_values(images) // values, wanted.number)


def _chunk_values(tensor: Tensor) -> int:
    return chunk_bytes(tensor.device) // torch.float64.itemsize


def _nearest_at_once(images: Tensor, corners: Tensor, wanted: Wanted) -> Tensor:
    """Search all images of a group at once, in float64."""
    edge, stride = wanted.edge, wanted.stride
    # A mean of 0 reduces the cancellation.
    centred = images.double() - images.double().mean((1, 2, 3), keepdim=True)
    hashes = window_hashes(images, edge)
    patches = patch_view(centred, edge)
    references = _References(corners, entries_at(patches, corners).flatten(2), entries_at(hashes, corners))
    energies = avg_pool2d(centred.square().sum(1, keepdim=True), edge, stride, divisor_override=1)[:, 0]
    candidates = _Candidates(patches[:, ::stride, ::stride], hashes[:, ::stride, ::stride], energies)
    shortlist, rough = _shortlist(candidates, references, wanted)
    columns = energies.shape[2]
    places = torch.stack((shortlist // columns, shortlist % columns), dim=-1) * stride
    # From the original images, not the centred ones: the differences of grey levels stay integers.
    return _first_nearest(patch_view(images.double(), edge), corners, places, rough, wanted.number)


def _rounding(values: Tensor) -> float:
    """Bound the relative rounding error of sums of D products of values (B, N, D)."""
    # 8 covers the operations on single values.
    return (values.shape[-1] + 8) * torch.finfo(torch.float64).eps


def _shortlist(candidates: _Candidates, references: _References, wanted: Wanted) -> tuple[Tensor, Tensor]:
    """Return row-major indices (B, N, L), ascending, of possible nearest candidates, and their distances."""
    images, rows, columns = candidates.hashes.shape
    spots, values = references.values.shape[1:]
    energy = references.values.square().sum(-1) + 2 * candidates.energies.amax((1, 2))[:, None]
    tolerance = _rounding(references.values) * energy[..., None]
    step = max(1, _chunk_values(energy) // (images * columns * max(spots, values)))
    distances = torch.empty(images, spots, 0, dtype=energy.dtype, device=energy.device)
    indices = torch.empty(images, spots, 0, dtype=torch.int64, device=energy.device)
    for row in range(0, rows, step):
        chunk = _Candidates(*(field[:, row : row + step].flatten(1, 2) for field in candidates))
        measured = _distances(chunk, references)
        if wanted.exclude:
            here = range(row, min(row + step, rows))
            measured.masked_fill_(wanted.excluded(references.corners, here, columns), _NEVER)
        leading = _leading(measured, tolerance, wanted.number)
        distances = torch.cat((distances, measured.gather(-1, leading)), dim=-1)
        indices = torch.cat((indices, leading + row * columns), dim=-1)
        leading = _leading(distances, tolerance, wanted.number)
        distances, indices = distances.gather(-1, leading), indices.gather(-1, leading)
    return indices, distances


def _distances(chunk: _Candidates, references: _References) -> Tensor:
    """Return the distances (B, N, M) minus the energy of each reference; duplicates get `_DUPLICATE`."""
    distances = torch.baddbmm(
        chunk.energies[:, None], references.values, chunk.values.flatten(2).mT, alpha=-2
    )
    return distances.masked_fill_(references.hashes[..., None] == chunk.hashes[:, None], _DUPLICATE)


def _leading(distances: Tensor, tolerance: Tensor, count: int) -> Tensor:
    """Return positions (B, N, L), ascending: K that may be the smallest, and the smallest others."""
    count = min(count, distances.shape[-1])
    others = distances.clone()
    first = _take(others, count, lambda least: least + tolerance)
    nearest = others.topk(min(RECHECKED, distances.shape[-1] - count), largest=False).indices
    return torch.cat((first, nearest), dim=-1).sort(dim=-1).values


def _take(distances: Tensor, count: int, bound: Callable[[Tensor], Tensor]) -> Tensor:
    """Return positions (B, N, K) of the first smallest distances up to rounding, and mark them `_TAKEN`."""
    taken = []
    for _ in range(count):
        within = distances <= bound(distances.amin(-1, keepdim=True))
        taken.append(within.view(torch.uint8).argmax(-1, keepdim=True))
        distances.scatter_(-1, taken[-1], _TAKEN)
    return torch.cat(taken, dim=-1)


def _first_nearest(patches: Tensor, corners: Tensor, places: Tensor, rough: Tensor, count: int) -> Tensor:
    """Return the K nearest (B, N, K, 2) of places (B, N, L, 2) by plain differences, ties in order."""
    own = entries_at(patches, corners).flatten(2)
    measured = [
        entries_at(patches, place).flatten(2).sub_(own).square_().sum(-1) for place in places.unbind(2)
    ]
    distances = torch.where(rough < _DUPLICATE, torch.stack(measured, dim=-1), rough)
    first = _take(distances, count, lambda least: least * (1 + _rounding(own)))
    return places.take_along_dim(first[..., None], dim=2)
