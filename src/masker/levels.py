"""The patch search in 8-bit images. Grey levels are integers, so every distance is exact.

Letters: B images, C channels, H and W rows and columns, N spots, K found, D = s*s*C values of a
patch, M candidates.
"""

from functools import partial

import torch
from torch import Tensor

from src.masker.patches import Wanted, chunk_bytes, entries_at, grid_size, in_groups, patch_view, window_sums

WHITE = 255
_MIDDLE = (WHITE + 1) // 2

# oneDNN multiplies bytes about ten times faster than floats; without oneDNN torch uses plain loops.
HAS_INTEGER_PRODUCT = torch.backends.mkldnn.is_available()

# Small images are searched in groups, which saves overhead; larger groups would not fit into a CPU's caches.
GROUP_BYTES = 2**22

# Allowed numbers of values D of a patch: the sum of squared differences must fit into 32 bits, and torch 2.13
# computes products of length 1 wrongly.
PATCH_VALUES = range(2, (2**31 - 1) // WHITE**2)

# The number of products of two integers in [-128, 127] whose sum is exact in float32, in any order.
EXACT_IN_FLOAT = 2**24 // _MIDDLE**2

# Candidates are ranked by the key distance * 2^31 + index: equal distances rank by index.
_KEY_SCALE = 2**31

# Many candidates are ranked in runs of this length, by the least distance of each run: fifteen times faster.
_RUN = 32
_FEWEST_RUNS = 4

# Stand-ins for the distance of a duplicate, and of an excluded candidate.
_DUPLICATE, _NEVER = 2**31 - 2, 2**31 - 1


def to_levels(images: Tensor) -> tuple[Tensor, Tensor]:
    """Convert 8-bit images, whose values are multiples of 1/255, to grey levels.

    Parameters
    ----------
    images : Tensor
        (B, C, H, W) float32 or float64. Not modified.

    Returns
    -------
    comparable : Tensor
        (B, C, H, W) of the same dtype: levels 0 to 255 of 8-bit images, other images unchanged.
    has_levels : Tensor
        (B,) bool, which images are 8-bit. Both outputs stay on the images' device.

    Notes
    -----
    In float32 the multiples of 1/255 are rounded, which could rank equally near patches by rounding errors.
    """
    levels = (images * WHITE).round_().clamp_(0, WHITE)
    # A GPU divides by a Python number by multiplying with its inverse, which can change the last bit.
    white = torch.full((), WHITE, dtype=images.dtype, device=images.device)
    has_levels = (levels / white == images).flatten(1).all(1)
    return torch.where(has_levels[:, None, None, None], levels, images), has_levels


def nearest_by_levels(levels: Tensor, corners: Tensor, wanted: Wanted) -> Tensor:
    """Find the candidates nearest to each patch; see `src.masker.similarity.find_similar`.

    Parameters
    ----------
    levels : Tensor
        (B, C, H, W) padded images, whole numbers from 0 to 255 in floating point.
    corners : Tensor
        (B, N, 2) int64, upper left corners of the patches around the spots.
    wanted : Wanted
        The search; s^2 * C must be in `PATCH_VALUES`.

    Returns
    -------
    Tensor
        (B, N, K, 2) int64, upper left corners of the nearest candidates, nearest first, the same on every
        device.
    """
    by_bytes = HAS_INTEGER_PRODUCT and levels.device.type == "cpu"
    centred = (levels - _MIDDLE).to(torch.int8 if by_bytes else torch.float32)
    rows, columns = grid_size(levels, wanted.edge, wanted.stride)
    # Bytes of a row of candidates, or of its distances or keys if these are larger.
    key = 4 if wanted.number == 1 else 8
    row = columns * max(levels.shape[1] * wanted.edge**2 * centred.element_size(), key * corners.shape[1])
    group = (GROUP_BYTES if by_bytes else chunk_bytes(levels.device)) // (rows * row)
    step = max(1, chunk_bytes(levels.device) // (max(1, group) * row))
    search = partial(_nearest, wanted=wanted, step=step)
    return in_groups(search, centred, corners, group, wanted.number)


def _nearest(centred: Tensor, corners: Tensor, wanted: Wanted, step: int) -> Tensor:
    """Search int8 or float32 images (B, C, H, W), `step` rows of candidates at a time."""
    stride = wanted.stride
    patches = patch_view(centred, wanted.edge)
    energies = window_sums(centred.int().square_().sum(1, dtype=torch.int32), wanted.edge)
    references = entries_at(patches, corners).flatten(2)
    own = entries_at(energies, corners)[..., None]
    grid, energies = patches[:, ::stride, ::stride], energies[:, ::stride, ::stride]
    rows, columns = grid.shape[1:3]
    best = torch.empty(*corners.shape[:2], 0, dtype=torch.int64, device=corners.device)
    for top in range(0, rows, step):
        # For an image no wider than a patch this would be a view whose rows overlap; _int_mm fails on it.
        candidates = grid[:, top : top + step].flatten(3).flatten(1, 2).contiguous()
        products = _products(references, candidates)
        distances = torch.add(energies[:, top : top + step].flatten(1)[:, None], products, alpha=-2)
        distances.masked_fill_(distances == -own, _DUPLICATE)
        if wanted.exclude:
            here = range(top, min(top + step, rows))
            distances.masked_fill_(wanted.excluded(corners, here, columns), _NEVER)
        keys = _smallest_keys(distances, top * columns, wanted.number)
        best = torch.cat((best, keys), dim=-1).sort(dim=-1).values[..., : wanted.number]
    nearest = best.remainder(_KEY_SCALE)
    return torch.stack((nearest // columns, nearest % columns), dim=-1) * stride


def _smallest_keys(distances: Tensor, first: int, count: int) -> Tensor:
    """Return the K smallest keys (B, N, K) for distances (B, N, M) of candidates from index `first` on."""
    if count == 1:  # three times faster; `min` returns the first of several minima
        least, index = distances.min(-1, keepdim=True)
        return least.long() * _KEY_SCALE + index + first
    number = distances.shape[-1]
    index = torch.arange(number, device=distances.device)
    in_runs = number - number % _RUN
    if in_runs < _FEWEST_RUNS * _RUN * count:
        return _sorted_keys(distances, index + first, count)
    # The K smallest keys lie in the K runs with the smallest least keys, or in the rest after the last run.
    least = distances[..., :in_runs].unflatten(-1, (-1, _RUN)).amin(-1)
    runs = _sorted_keys(least, index[: least.shape[-1]], count).remainder_(_KEY_SCALE)
    within = (runs[..., None] * _RUN + index[:_RUN]).flatten(-2)
    rest = index[in_runs:].expand(*within.shape[:-1], -1)
    within = torch.cat((within, rest), dim=-1)
    return _sorted_keys(distances.gather(-1, within), within + first, count)


def _sorted_keys(distances: Tensor, index: Tensor, count: int) -> Tensor:
    keys = distances.long().mul_(_KEY_SCALE).add_(index)
    return keys.topk(min(count, keys.shape[-1]), largest=False).values


def _products(references: Tensor, candidates: Tensor) -> Tensor:
    """Return exact scalar products (B, N, M) int32 of references (B, N, D) and candidates (B, M, D)."""
    if references.dtype == torch.int8:
        products = references.new_empty((*references.shape[:2], candidates.shape[1]), dtype=torch.int32)
        for own, others, product in zip(references, candidates, products, strict=True):
            torch._int_mm(own, others.mT, out=product)
        return products
    pieces = zip(references.split(EXACT_IN_FLOAT, -1), candidates.split(EXACT_IN_FLOAT, -1), strict=True)
    first, *further = (torch.bmm(a, b.mT).int() for a, b in pieces)
    return sum(further, first)
