"""Near the border the neighbourhood is reflected, as published, and can contain the spot itself."""

import numpy as np
import pytest
import torch
from scipy import stats

from src.masker import N2VMasker

HEIGHT, WIDTH = 14, 17
DRAWS = 6000


def taken(strategy: str, radius: int, spot: tuple[int, int], size: tuple[int, int]) -> torch.Tensor:
    """Return the flat indices (DRAWS,) of the pixels that replaced a spot; pixel values are their indices."""
    batch = torch.arange(float(size[0] * size[1])).view(1, 1, *size).expand(DRAWS, -1, -1, -1)
    masker = N2VMasker(strat_name=strategy, prox_radius=radius)
    image = masker.mask_at(batch, torch.tensor([spot]), torch.Generator().manual_seed(0)).image
    return image[:, 0, spot[0], spot[1]].long()


def wanted(strategy: str, radius: int, spot: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Return each pixel's expected share of the draws: its weight in the reflected image minus the centre."""
    reach = 3 * radius if strategy == "normal_withoutCP" else radius
    numbers = np.pad(np.arange(size[0] * size[1]).reshape(size), reach, mode="reflect")
    rows, columns = (slice(place, place + 2 * reach + 1) for place in spot)
    side = np.arange(-reach, reach + 1)
    squares = side[:, None] ** 2 + side**2
    weights = np.exp(-squares / (2 * radius**2)) if strategy == "normal_withoutCP" else np.ones(squares.shape)
    weights[reach, reach] = 0
    shares = np.bincount(numbers[rows, columns].ravel(), weights.ravel(), minlength=size[0] * size[1])
    return shares / shares.sum()


@pytest.mark.parametrize(
    ("strategy", "radius"), [("uniform_withoutCP", 2), ("uniform_withoutCP", 3), ("normal_withoutCP", 1)]
)
@pytest.mark.parametrize(
    "spot", [(0, 8), (1, 8), (2, 8), (3, 8), (1, 1), (1, 0), (HEIGHT - 2, 8), (6, WIDTH - 2)], ids=str
)
def test_draws_follow_the_weights_of_the_reflected_image(
    strategy: str, radius: int, spot: tuple[int, int]
) -> None:
    shares = wanted(strategy, radius, spot, (HEIGHT, WIDTH))
    counts = np.bincount(taken(strategy, radius, spot, (HEIGHT, WIDTH)), minlength=len(shares))
    assert counts[shares == 0].sum() == 0
    often = shares * DRAWS >= 5
    observed, expected = counts[often], shares[often] * DRAWS
    assert stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue > 0.001


@pytest.mark.parametrize(
    ("radius", "spot", "share"),
    [
        (3, (5, 8), 0), (3, (0, 8), 0), (3, (2, 8), 0),
        (3, (1, 8), 1 / 48), (3, (1, 1), 3 / 48), (2, (1, 1), 3 / 24), (4, (2, 8), 1 / 80),
    ],
)  # fmt: skip
def test_frequency_of_the_own_value_is_as_documented(
    radius: int, spot: tuple[int, int], share: float
) -> None:
    """With the published R of 3: none in row 0 or beyond R/2, 2 % in row 1, 6 % next to the corner."""
    drawn = taken("uniform_withoutCP", radius, spot, (HEIGHT, WIDTH))
    own = int((drawn == spot[0] * WIDTH + spot[1]).sum())
    assert own == 0 if share == 0 else stats.binomtest(own, DRAWS, share).pvalue > 0.001
