"""Draw blind spots by uniform random sequential addition, for a whole batch at once.

Spots are placed one after another, each uniform over the pixels at least `MIN_DISTANCE` from all earlier
spots. The draw needs only the image sizes, so it runs on the CPU: it gives the same spots for every device
and never waits for a GPU.

Letters: B images, N spots wanted, M candidates of one pass.
"""

import torch
from torch import Tensor

MIN_DISTANCE = 12
"""Smallest Euclidean distance between two spots of an image, in pixels."""

# Random sequential addition jams at about 0.0048 spots per pixel of a region widened by 2 px on each side,
# because a spot near the border excludes fewer pixels. With 4 % less, most attempts succeed; see `max_spots`.
FEASIBLE_DENSITY = 0.0046
FEASIBLE_MARGIN = 2

# Candidates per pass. The work grows with their square, so several short passes are faster than a long one.
MAX_CANDIDATES = 128

# Once a pass keeps less than this fraction of its candidates, listing the free pixels is faster.
WORTHWHILE = 0.1

# Attempts at an image that jams before it is full. Even at `max_spots` every second attempt succeeds.
MAX_ATTEMPTS = 200


def count_spots(height: int, width: int, pixel_perc: float) -> int:
    """Return the number of blind spots in an image: `height * width * pixel_perc`, rounded down."""
    return int(height * width * pixel_perc)


def max_spots(height: int, width: int) -> int:
    """Return the largest number of spots that random sequential addition reliably places in a region.

    Parameters
    ----------
    height, width : int
        Size of the region in which spots may lie, px.

    Returns
    -------
    int
        0 for an empty region, otherwise at least 1.

    Notes
    -----
    Checked by simulating 210 pairs of edges from 1 to 512 px to jamming, 4 to 400 times each. The result is
    never above the median number of spots placed: 21 of 25 for 64x64 px, 310 of 338 for 256x256 and 1224 of
    1295 for 512x512.
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
        Number of images, and of spots in each.
    height, width : int
        Size of the region, px.
    generator : torch.Generator, optional
        None is torch's default one. A generator of another device seeds one on the CPU.

    Returns
    -------
    Tensor
        (B, N, 2) int64 on the CPU, rows and columns in the region.

    Raises
    ------
    ValueError
        If `count` exceeds `max_spots`.

    Notes
    -----
    Candidates are drawn in passes, uniformly and in random order. As in one-by-one rejection, each candidate
    is kept if it is far enough from all that were kept before it. The kept ones are the lexicographically
    first maximal independent set of the candidates' conflict graph, which a few parallel rounds find for the
    whole batch [1]_. Images that are nearly full draw only from their free pixels, so the search always ends.

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
    """Return a CPU generator, seeded from the given one if that belongs to another device."""
    if generator is None or generator.device.type == "cpu":
        return generator
    seed = torch.randint(2**62, (), generator=generator, device=generator.device)
    return torch.Generator().manual_seed(int(seed))


def _draw_anywhere(
    batch: int, count: int, height: int, width: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Draw from the whole region while it pays: (B, N, 2) spots, and the number placed in each image (B,)."""
    # Unused slots lie far outside and conflict with nothing. The extra slot collects surplus spots.
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
    """Fill one image to (N, 2) spots from its free pixels; start again when it jams."""
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
    """Return flat indices of the pixels of a region at least `MIN_DISTANCE` from (N, 2) spots."""
    radius = MIN_DISTANCE - 1
    side = torch.arange(-radius, radius + 1)
    disc = torch.nonzero(side[:, None] ** 2 + side**2 < MIN_DISTANCE**2)
    rows, columns = (spots[:, None] + disc).unbind(-1)
    free = torch.ones(height + 2 * radius, width + 2 * radius, dtype=torch.bool)
    free[rows, columns] = False
    return torch.nonzero(free[radius : radius + height, radius : radius + width].flatten()).flatten()


def _sequential_addition(candidates: Tensor, spots: Tensor) -> Tensor:
    """Return which (B, M, 2) candidates one-by-one addition to (B, N, 2) spots keeps: (B, M) bool."""
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
    """Return which pairs of (B, M, 2) and (B, N, 2) points are nearer than `MIN_DISTANCE`: (B, M, N) bool."""
    # From plain differences of integers the root of 144 is exact; a matrix product would round.
    return torch.cdist(a.float(), b.float(), compute_mode="donot_use_mm_for_euclid_dist") < MIN_DISTANCE
