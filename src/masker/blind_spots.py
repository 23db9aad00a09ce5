"""Where the blind spots lie: uniform random sequential addition, for a whole batch at once.

Spots are placed one after another, each uniform over the pixels that keep `MIN_DISTANCE` from all earlier
ones. It depends on sizes alone, so it is drawn on the CPU: the same spots on every device, and no wait for
the device.

Letters: B images, N spots wanted, M candidates of one pass.
"""

import torch
from torch import Tensor

MIN_DISTANCE = 12
"""Smallest Euclidean distance between two spots of an image, in pixels."""

# Random sequential addition jams at about 0.0048 spots per pixel of a region widened by 2 px on each side (a
# spot near the border shuts out fewer pixels). Asking for 4 % less keeps each attempt likely to succeed, see
# `max_spots`.
FEASIBLE_DENSITY = 0.0046
FEASIBLE_MARGIN = 2

# Candidates of one pass: the work grows with their square, so several short passes beat a long one.
MAX_CANDIDATES = 128

# Where a pass keeps less than this fraction of its candidates, listing the free pixels is worth its price.
WORTHWHILE = 0.1

# Attempts at an image that jams before it is full; even at `max_spots` at least every second one succeeds.
MAX_ATTEMPTS = 200


def count_spots(height: int, width: int, pixel_perc: float) -> int:
    """Blind spots of one image: the whole part of `height * width * pixel_perc`."""
    return int(height * width * pixel_perc)


def max_spots(height: int, width: int) -> int:
    """Largest number of spots that random sequential addition is sure to place in a region.

    Parameters
    ----------
    height, width : int
        Size of the region in which spots may lie, px.

    Returns
    -------
    int
        0 for an empty region, else at least 1.

    Notes
    -----
    Simulated to jamming for 210 pairs of edges from 1 to 512 px, 4 to 400 times each: the answer is nowhere
    above the median of the spots placed (25 for 64x64, 338 for 256x256, 1295 for 512x512, where it is 21, 310
    and 1224).
    """
    if min(height, width) < 1:
        return 0
    return max(1, int(FEASIBLE_DENSITY * (height + 2 * FEASIBLE_MARGIN) * (width + 2 * FEASIBLE_MARGIN)))


def draw_blind_spots(
    batch: int, count: int, height: int, width: int, generator: torch.Generator | None = None
) -> Tensor:
    """Draw `count` spots for each image, at least `MIN_DISTANCE` apart.

    Parameters
    ----------
    batch, count : int
        Images, and spots of each.
    height, width : int
        Size of the region, px.
    generator : torch.Generator, optional
        Source of the randomness; None is torch's default one. Another device's seeds one of the CPU.

    Returns
    -------
    Tensor
        (B, N, 2) int64 on the CPU, rows and columns in the region.

    Raises
    ------
    ValueError
        If more than `max_spots` are asked for.

    Notes
    -----
    Candidates are drawn in passes, uniformly and in a random order. Taking each that keeps its distance from
    all taken before it is what one-by-one rejection does, and is the lexicographically first maximal
    independent set of the candidates' conflict graph, found for the whole batch in a few parallel rounds
    [1]_. Images that are nearly full draw from their free pixels only, so the search always ends.

    References
    ----------
    .. [1] G. E. Blelloch, J. T. Fineman, J. Shun, "Greedy sequential maximal independent set and matching are
       parallel on average", SPAA 2012. https://doi.org/10.1145/2312005.2312058
    """
    if count > max_spots(height, width):
        raise ValueError(
            f"count: expected at most {max_spots(height, width)} spots {MIN_DISTANCE} px apart in "
            f"{height}x{width} px, got {count}"
        )
    generator = cpu_generator(generator)
    spots, placed = _draw_anywhere(batch, count, height, width, generator)
    for image in torch.nonzero(placed < count).flatten().tolist():
        spots[image] = _complete(spots[image, : placed[image]], count, height, width, generator)
    return spots


def cpu_generator(generator: torch.Generator | None) -> torch.Generator | None:
    """Stand-in on the CPU for a generator of another device."""
    if generator is None or generator.device.type == "cpu":
        return generator
    seed = torch.randint(2**62, (), generator=generator, device=generator.device)
    return torch.Generator().manual_seed(int(seed))


def _draw_anywhere(
    batch: int, count: int, height: int, width: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Draw from the whole region while it pays: (B, N, 2) spots, and how many of each image are placed."""
    # An unused place lies far off, where it disturbs nothing; the one past the end takes what is surplus.
    spots = torch.full((batch, count + 1, 2), -(10**6))
    placed = torch.zeros(batch, dtype=torch.int64)
    number = min(2 * count + 16, MAX_CANDIDATES)
    kept = torch.ones(batch, number, dtype=torch.bool)
    while placed.min() < count and kept.sum() >= WORTHWHILE * kept.numel():
        pixels = torch.randint(height * width, (batch, number), generator=generator)
        candidates = torch.stack((pixels // width, pixels % width), dim=-1)
        kept = _sequential_addition(candidates, spots[:, : int(placed.max())])
        place = torch.where(kept, placed[:, None] + kept.cumsum(1) - 1, count).clamp_(max=count)
        spots.scatter_(1, place[..., None].expand(-1, -1, 2), candidates)
        placed = (placed + kept.sum(1)).clamp_(max=count)
    return spots[:, :count], placed


def _complete(
    spots: Tensor, count: int, height: int, width: int, generator: torch.Generator | None
) -> Tensor:
    """Fill one image up to (N, 2) from its free pixels; an image that jams is begun anew."""
    for _ in range(MAX_ATTEMPTS):
        while len(spots) < count:
            free = _free_pixels(spots, height, width)
            if not len(free):
                break
            pixels = free[torch.randint(len(free), (min(len(free), MAX_CANDIDATES),), generator=generator)]
            candidates = torch.stack((pixels // width, pixels % width), dim=-1)
            kept = _sequential_addition(candidates[None], spots[None])[0]
            spots = torch.cat((spots, candidates[kept]))[:count]
        else:
            return spots
        spots = spots[:0]
    raise ValueError(f"count: {count} spots {MIN_DISTANCE} px apart did not fit in {height}x{width} px")


def _free_pixels(spots: Tensor, height: int, width: int) -> Tensor:
    """Flat indices of the pixels of a region that keep their distance from (N, 2) spots."""
    reach = MIN_DISTANCE - 1
    side = torch.arange(-reach, reach + 1)
    disc = torch.nonzero(side[:, None] ** 2 + side**2 < MIN_DISTANCE**2)
    rows, columns = (spots[:, None] + disc).unbind(-1)
    free = torch.ones(height + 2 * reach, width + 2 * reach, dtype=torch.bool)
    free[rows, columns] = False
    return torch.nonzero(free[reach : reach + height, reach : reach + width].flatten()).flatten()


def _sequential_addition(candidates: Tensor, spots: Tensor) -> Tensor:
    """Tell which of (B, M, 2) candidates one-by-one addition keeps beside (B, N, 2) spots: (B, M) bool."""
    keep = ~_too_close(candidates, spots).any(-1).flatten()
    image, earlier, later = torch.nonzero(_too_close(candidates, candidates).triu_(1), as_tuple=True)
    earlier, later = image * candidates.shape[1] + earlier, image * candidates.shape[1] + later
    while len(earlier):
        undecided = keep[earlier] & keep[later]
        earlier, later = earlier[undecided], later[undecided]
        waiting = torch.zeros_like(keep).index_fill_(0, later, True)
        keep[later[~waiting[earlier]]] = False
    return keep.view(candidates.shape[:2])


def _too_close(a: Tensor, b: Tensor) -> Tensor:
    """Which pairs of (B, M, 2) and (B, N, 2) points are nearer than `MIN_DISTANCE`: (B, M, N) bool."""
    # In plain differences these distances are exact where it matters: integers, and the root of 144.
    return torch.cdist(a.float(), b.float(), compute_mode="donot_use_mm_for_euclid_dist") < MIN_DISTANCE
