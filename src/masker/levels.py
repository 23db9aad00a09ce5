"""The search in images of 8 bits, by their levels: whole numbers, so that every distance is exact.

Letters: B images, C channels, H and W rows and columns, N spots, K candidates, D = s*s*C values of a patch.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

WHITE = 255

# oneDNN multiplies bytes some ten times faster than floats; without it torch does so in plain loops.
HAS_INTEGER_PRODUCT = torch.backends.mkldnn.is_available()

# Values of a patch: their squared differences must fit into 32 bits, and a product over a single one is wrong
# in torch 2.13.
PATCH_VALUES = range(2, (2**31 - 1) // WHITE**2)

# Bytes of the search's largest tensor, unless one row of candidates takes more; its peak is a few of them.
CHUNK_BYTES = 2**25

_FARTHEST = 2**31 - 1


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


def nearest_by_levels(levels: Tensor, corners: Tensor, edge: int, stride: int) -> Tensor:
    """Find the candidate nearest to each patch; see `src.masker.similarity.find_similar`.

    Parameters
    ----------
    levels : Tensor
        (B, C, H, W) padded images on the CPU, whole numbers from 0 to 255.
    corners : Tensor
        (B, N, 2) int64, upper left corners of the patches around the spots.
    edge : int
        Edge of the patches, px; edge^2 * C is in `PATCH_VALUES`.
    stride : int
        Step of the grid of candidates, px.

    Returns
    -------
    Tensor
        (B, N, 2) int64, upper left corners of the nearest candidates.
    """
    nearest = torch.empty_like(corners)
    for image, places, found in zip(levels, corners, nearest, strict=True):
        # Around 0 they fit into signed bytes.
        centred = (image - (WHITE + 1) // 2).to(torch.int8)
        patches = patch_view(centred[None], edge)[0]
        energies = _energies(centred, edge)
        references = patches[places[:, 0], places[:, 1]].flatten(1)
        own = energies[places[:, 0], places[:, 1]][:, None]
        grid, grid_energies = patches[::stride, ::stride], energies[::stride, ::stride]
        index = _nearest_candidates(references, own, grid, grid_energies)
        found[:] = torch.stack((index // grid.shape[1], index % grid.shape[1]), dim=-1) * stride
    return nearest


def _nearest_candidates(references: Tensor, own: Tensor, grid: Tensor, energies: Tensor) -> Tensor:
    """Which candidate (N,) of a grid (I, J, s, s*C), counted row by row, is nearest to each reference (N, D).

    `own` (N, 1) and `energies` (I, J) are the sums of their squares.
    """
    columns = grid.shape[1]
    rows = max(1, CHUNK_BYTES // (columns * max(references.shape[1], 4 * len(references))))
    best = torch.full((len(references),), _FARTHEST, dtype=torch.int32)
    nearest = torch.zeros(len(references), dtype=torch.int64)
    for top in range(0, len(grid), rows):
        products = torch._int_mm(references, grid[top : top + rows].flatten(2).flatten(0, 1).mT)
        distances = torch.add(energies[top : top + rows].flatten(), products, alpha=-2)
        least, index = distances.masked_fill_(distances == -own, _FARTHEST).min(1)
        # Of equally near ones the first is taken, also across the chunks.
        nearer = least < best
        best = torch.where(nearer, least, best)
        nearest = torch.where(nearer, index + top * columns, nearest)
    return nearest


def patch_view(images: Tensor, edge: int) -> Tensor:
    """All patches (B, H - s + 1, W - s + 1, s, s*C) of images (B, C, H, W), by their corners; no copies."""
    # With the channels last, each row of a patch is one piece of memory.
    channels = images.shape[1]
    rows = images.permute(0, 2, 3, 1).flatten(2)
    return rows.unfold(1, edge, 1).unfold(2, edge * channels, channels)


def _energies(centred: Tensor, edge: int) -> Tensor:
    """Sum of squares (H - s + 1, W - s + 1) int32 of each patch of an int8 image (C, H, W)."""
    squares = centred.int().square_().sum(0, dtype=torch.int32)
    # The table may wrap around; the differences come out right all the same.
    table = pad(squares.cumsum(0, dtype=torch.int32).cumsum(1, dtype=torch.int32), (1, 0, 1, 0))
    return table[edge:, edge:] - table[:-edge, edge:] - table[edge:, :-edge] + table[:-edge, :-edge]
