"""Place blind spots on a grid: as many regions as fit into an image without touching.

Letters: N spots.
"""

import torch
from torch import Tensor

from src.masker.blind_spots import cpu_generator


def grid_points(
    height: int, width: int, pitch: int, edge: int, phase: tuple[int, int] = (0, 0), slack: int = 0
) -> Tensor:
    """Return the centres of square regions, one in each grid cell inside the image.

    Parameters
    ----------
    height, width : int
        Size of the image, px.
    pitch : int
        Distance from one region to the next, px.
    edge : int
        Edge of the regions, px, odd.
    phase : (int, int), optional
        Row and column where the first region begins, px.
    slack : int, optional
        Free space below and to the right of each region, px.

    Returns
    -------
    Tensor
        (N, 2) int64 on the CPU, rows and columns; N is 0 if no region fits.
    """
    axes = (
        torch.arange(first + edge // 2, length - edge // 2 - slack, pitch)
        for first, length in zip(phase, (height, width), strict=True)
    )
    return torch.cartesian_prod(*axes).reshape(-1, 2)


def jittered_grid(
    height: int, width: int, pitch: int, edge: int, generator: torch.Generator | None = None
) -> Tensor:
    """Draw the centres of square regions on a grid of random phase, each shifted at random within its cell.

    Parameters
    ----------
    height, width, pitch, edge : int
        As for `grid_points`; `edge` is less than `pitch`.
    generator : torch.Generator, optional
        None is torch's default one. A generator of another device seeds one on the CPU.

    Returns
    -------
    Tensor
        (N, 2) int64 on the CPU; regions are at least 1 px apart.

    Notes
    -----
    Without the jitter a network could learn the positions of the grid from the replaced pixels.
    """
    generator = cpu_generator(generator)
    slack = pitch - edge - 1
    # In a small image, a phase near the end of a cell would leave no region.
    most = (min(pitch, length - edge - slack + 1) for length in (height, width))
    down, across = (int(torch.randint(max(1, count), (), generator=generator)) for count in most)
    points = grid_points(height, width, pitch, edge, (down, across), slack)
    return points + torch.randint(slack + 1, points.shape, generator=generator)
