"""N2V's strategies: the values that replace blind spots.

Images are reflected at their border, as published. The reflection of a spot that is 1 to R/2 px from the
border (1 to 3R/2 px for `normal_withoutCP`, whose neighbourhood is larger) lies in its own neighbourhood;
"without the spot" does not leave out this reflection.

Letters: B images, C channels, H and W rows and columns, N spots, K pixels of a neighbourhood of radius R.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from src.masker.base import flat_index, to_device

Strategy = Callable[[Tensor, Tensor, int, torch.Generator | None], Tensor]
"""Maps a batch (B, C, H, W) in [0, 1], spots (B, N, 2) int64, the radius R in px, and a CPU generator (None =
torch's default one) to values (B, C, N). CPU generators give the same numbers for every device."""

# Normally distributed offsets are cut off at this many standard deviations; 0.3 % lie beyond.
CUTOFF = 3


def uniform_with_centre(
    batch: Tensor, points: Tensor, radius: int, generator: torch.Generator | None
) -> Tensor:
    """Take a random pixel of the (2R+1)^2 neighbourhood, which may be the spot itself."""
    offsets = _square(radius)
    return _random_pixel(batch, points, offsets, torch.ones(len(offsets)), generator)


def uniform_without_centre(
    batch: Tensor, points: Tensor, radius: int, generator: torch.Generator | None
) -> Tensor:
    """Take a random pixel of the (2R+1)^2 neighbourhood other than the spot; the published setting."""
    offsets = _surroundings(radius)
    return _random_pixel(batch, points, offsets, torch.ones(len(offsets)), generator)


def normal_without_centre(
    batch: Tensor, points: Tensor, radius: int, generator: torch.Generator | None
) -> Tensor:
    """Take the pixel at a normally distributed offset, standard deviation R px, never (0, 0)."""
    offsets = _surroundings(CUTOFF * radius)
    return _random_pixel(
        batch, points, offsets, torch.exp(-offsets.square().sum(-1) / (2 * radius**2)), generator
    )


def prox_mean(batch: Tensor, points: Tensor, radius: int, generator: torch.Generator | None) -> Tensor:
    """Take the mean of each channel over the neighbourhood without the spot."""
    return _around(batch, points, _surroundings(radius)).mean(-1)


def prox_median(batch: Tensor, points: Tensor, radius: int, generator: torch.Generator | None) -> Tensor:
    """Take the median of each channel over the neighbourhood without the spot: the lower middle value."""
    return _around(batch, points, _surroundings(radius)).median(-1).values


def normal_additive(batch: Tensor, points: Tensor, radius: int, generator: torch.Generator | None) -> Tensor:
    """Add normal noise to the spot's own value, standard deviation R 8-bit grey levels, clipped to [0, 1]."""
    own = _read(batch, points)
    return (own + _normal(own, generator) * radius / 255).clamp(0, 1)


def normal_fitted(batch: Tensor, points: Tensor, radius: int, generator: torch.Generator | None) -> Tensor:
    """Draw from a normal distribution fitted to each channel's neighbourhood, clipped to [0, 1]."""
    deviation, mean = torch.std_mean(_around(batch, points, _square(radius)), dim=-1, correction=0)
    return (mean + _normal(mean, generator) * deviation).clamp(0, 1)


STRATEGIES: dict[str, Strategy] = {
    "uniform_withCP": uniform_with_centre,
    "uniform_withoutCP": uniform_without_centre,
    "normal_withoutCP": normal_without_centre,
    "prox_mean": prox_mean,
    "prox_median": prox_median,
    "normal_additive": normal_additive,
    "normal_fitted": normal_fitted,
}


def _square(radius: int) -> Tensor:
    """Return the offsets (K, 2) of the (2R+1)^2 pixels around a spot, row by row."""
    side = torch.arange(-radius, radius + 1)
    return torch.cartesian_prod(side, side)


def _surroundings(radius: int) -> Tensor:
    """Return the offsets (K, 2) of `_square` without (0, 0)."""
    offsets = _square(radius)
    return offsets[offsets.any(-1)]


def _random_pixel(
    batch: Tensor, points: Tensor, offsets: Tensor, weights: Tensor, generator: torch.Generator | None
) -> Tensor:
    """Return the values (B, C, N) at one of (K, 2) offsets from each spot, drawn with (K,) weights."""
    drawn = weights.multinomial(points[..., 0].numel(), replacement=True, generator=generator)
    return _read(batch, points + to_device(offsets[drawn].view(points.shape), batch.device))


def _around(batch: Tensor, points: Tensor, offsets: Tensor) -> Tensor:
    """Return the values (B, C, N, K) at (K, 2) offsets from (B, N, 2) spots."""
    return _read(batch, points[:, :, None] + to_device(offsets, batch.device))


def _read(batch: Tensor, points: Tensor) -> Tensor:
    """Return the values (B, C, ...) of the reflected images at (B, ..., 2) rows and columns."""
    height, width = batch.shape[2:]
    inside = torch.stack((_reflect(points[..., 0], height), _reflect(points[..., 1], width)), dim=-1)
    index = flat_index(inside, width)
    values = batch.flatten(2).gather(2, index.flatten(1)[:, None].expand(-1, batch.shape[1], -1))
    return values.unflatten(2, index.shape[1:])


def _reflect(coordinates: Tensor, size: int) -> Tensor:
    """Reflect coordinates at the outermost pixels until they lie inside."""
    period = max(1, 2 * (size - 1))
    folded = coordinates.remainder(period)
    return torch.minimum(folded, period - folded)


def _normal(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw standard normal numbers in the shape of a tensor, on its device and of its dtype."""
    return to_device(torch.randn(like.shape, generator=generator), like.device).to(like.dtype)
