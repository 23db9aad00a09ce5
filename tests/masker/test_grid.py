"""Regions on a grid: inside the image, separate, shifted at random."""

import pytest
import torch

from src.masker.grid import grid_points, jittered_grid


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (40, 96), (17, 33), (17, 17)])
def test_regions_lie_inside_and_apart(height, width):
    for seed in range(20):
        points = jittered_grid(height, width, 18, 13, seeded(seed))
        assert (
            len(points) >= max(1, (height - 17) // 18) * max(1, (width - 17) // 18) or min(height, width) < 17
        )
        assert (points >= 6).all() and (points < torch.tensor([height - 6, width - 6])).all()
        apart = (points[:, None] - points).abs().amax(-1)
        assert (apart + 99 * torch.eye(len(points), dtype=torch.int64)).min() > 13


def test_each_pixel_can_be_a_centre():
    seen = torch.zeros(64, 64)
    for seed in range(4_000):
        rows, columns = jittered_grid(64, 64, 18, 13, seeded(seed)).unbind(1)
        seen[rows, columns] += 1
    inside = seen[6:58, 6:58]
    assert (inside.sum(0) > 0).all() and (inside.sum(1) > 0).all()
    assert (inside[8:40, 8:40] > 0).all()


def test_a_grid_begins_at_its_phase_and_jitters_by_the_generator():
    assert grid_points(40, 22, 18, 13, (2, 5)).tolist() == [[8, 11], [26, 11]]
    first, again, other = (jittered_grid(64, 64, 18, 13, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert len(set((first - first[0])[:, 0].remainder(18).tolist())) > 1  # different shifts
