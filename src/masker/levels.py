"""The search in images of 8 bits, by their levels: whole numbers, so that every distance is exact.

Letters: B images, C channels, H and W rows and columns, N spots, K found, D = s*s*C values of a
patch, M candidates.
"""

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad

from src.masker.patches import Wanted, chunk_bytes, entries_at, grid_size, in_groups, patch_view

WHITE = 255
_MIDDLE = (WHITE + 1) // 2

# oneDNN multiplies bytes some ten times faster than floats; without it torch does so in plain loops.
HAS_INTEGER_PRODUCT = torch.backends.mkldnn.is_available()

# Candidates of several small images are compared at once, for what it takes to begin a calculation; more than
# fits into a processor's caches would be slower.
GROUP_BYTES = 2**22

# Values of a patch: their squared differences must fit into 32 bits, and a product over a single one is wrong
# in torch 2.13.
PATCH_VALUES = range(2, (2**31 - 1) // WHITE**2)

# So many products of two numbers from -128 to 127 add up in float32 without rounding, in any order.
EXACT_IN_FLOAT = 2**24 // _MIDDLE**2

# A candidate's key, distance * 2^31 + index, is no other's: the smaller key is the nearer candidate, or the
# earlier one of two that are equally near.
_NEARER = 2**31

# What stands for a distance: of a duplicate, and of a candidate that is passed over.
_DUPLICATE, _NEVER = 2**31 - 2, 2**31 - 1


def to_levels(images: Tensor) -> tuple[Tensor, Tensor]:
    """Replace 8-bit images, whose values are whole multiples of 1/255, by those multiples.

    Parameters
    ----------
    images : Tensor
        (B, C, H, W) float32 or float64. Not modified.

    Returns
    -------
    comparable : Tensor
        (B, C, H, W) of the same dtype: levels 0 to 255 where an image has 8 bits, its own values elsewhere.
    has_levels : Tensor
        (B,) bool, which images have 8 bits. Both stay on the device of the images.

    Notes
    -----
    As float32 the multiples of 1/255 are rounded, which makes a difference between patches that are equally
    near. The levels are what the camera wrote.
    """
    levels = (images * WHITE).round_().clamp_(0, WHITE)
    # A GPU would multiply by the inverse of a plain number, and miss the last bit.
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
        Patches of such an edge s that s^2 * C is in `PATCH_VALUES`.

    Returns
    -------
    Tensor
        (B, N, K, 2) int64, upper left corners of the nearest candidates, nearest first, the same on every
        device.
    """
    by_bytes = HAS_INTEGER_PRODUCT and levels.device.type == "cpu"
    # Around 0 they fit into signed bytes.
    centred = (levels - _MIDDLE).to(torch.int8 if by_bytes else torch.float32)
    rows, columns = grid_size(levels, wanted.edge, wanted.stride)
    # The bytes of one row of candidates, or of its distances or keys.
    key = 4 if wanted.number == 1 else 8
    row = columns * max(levels.shape[1] * wanted.edge**2 * centred.element_size(), key * corners.shape[1])
    group = (GROUP_BYTES if by_bytes else chunk_bytes(levels.device)) // (rows * row)
    step = max(1, chunk_bytes(levels.device) // (max(1, group) * row))
    search = partial(_nearest, wanted=wanted, step=step)
    return in_groups(search, centred, corners, group, wanted.number)


def _nearest(centred: Tensor, corners: Tensor, wanted: Wanted, step: int) -> Tensor:
    """The same for images (B, C, H, W) of int8 or float32, `step` rows of candidates at a time."""
    stride = wanted.stride
    patches, energies = patch_view(centred, wanted.edge), _energies(centred, wanted.edge)
    references = entries_at(patches, corners).flatten(2)
    own = entries_at(energies, corners)[..., None]
    grid, energies = patches[:, ::stride, ::stride], energies[:, ::stride, ::stride]
    rows, columns = grid.shape[1:3]
    best = torch.empty(*corners.shape[:2], 0, dtype=torch.int64, device=corners.device)
    for top in range(0, rows, step):
        # Of an image no wider than a patch this would be a view, whose overlapping rows _int_mm gets wrong.
        candidates = grid[:, top : top + step].flatten(3).flatten(1, 2).contiguous()
        products = _products(references, candidates)
        distances = torch.add(energies[:, top : top + step].flatten(1)[:, None], products, alpha=-2)
        distances.masked_fill_(distances == -own, _DUPLICATE)
        if wanted.exclude:
            here = range(top, min(top + step, rows))
            distances.masked_fill_(wanted.passed_over(corners, here, columns), _NEVER)
        keys = _smallest_keys(distances, top * columns, wanted.number)
        best = torch.cat((best, keys), dim=-1).sort(dim=-1).values[..., : wanted.number]
    nearest = best.remainder(_NEARER)
    return torch.stack((nearest // columns, nearest % columns), dim=-1) * stride


def _smallest_keys(distances: Tensor, first: int, count: int) -> Tensor:
    """The K smallest keys (B, N, K) for distances (B, N, M) of candidates from index `first` on."""
    if count == 1:  # in a third of the time: torch's is the first of several minima
        least, index = distances.min(-1, keepdim=True)
        return least.long() * _NEARER + index + first
    index = torch.arange(first, first + distances.shape[-1], device=distances.device)
    keys = distances.long().mul_(_NEARER).add_(index)
    return keys.topk(min(count, keys.shape[-1]), largest=False).values


def _products(references: Tensor, candidates: Tensor) -> Tensor:
    """Exact scalar products (B, N, K) int32 of references (B, N, D) and candidates (B, M, D)."""
    if references.dtype == torch.int8:
        products = references.new_empty((*references.shape[:2], candidates.shape[1]), dtype=torch.int32)
        for own, others, product in zip(references, candidates, products, strict=True):
            torch._int_mm(own, others.mT, out=product)
        return products
    pieces = zip(references.split(EXACT_IN_FLOAT, -1), candidates.split(EXACT_IN_FLOAT, -1), strict=True)
    first, *further = (torch.bmm(a, b.mT).int() for a, b in pieces)
    return sum(further, first)


def _energies(centred: Tensor, edge: int) -> Tensor:
    """Sum of squares (B, H - s + 1, W - s + 1) int32 of each patch of images (B, C, H, W)."""
    squares = centred.int().square_().sum(1, dtype=torch.int32)
    # The table may wrap around; the differences come out right all the same.
    table = pad(squares.cumsum(1, dtype=torch.int32).cumsum(2, dtype=torch.int32), (1, 0, 1, 0))
    return (
        table[:, edge:, edge:] - table[:, :-edge, edge:] - table[:, edge:, :-edge] + table[:, :-edge, :-edge]
    )
