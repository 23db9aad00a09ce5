"""Blind spots: their number, distance and distribution, compared with one-by-one rejection."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from src.masker import MASKERS
from src.masker.blind_spots import draw_blind_spots, max_spots


def one_by_one(count: int, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Draw (N, 2) spots one by one, rejecting pixels too near to an earlier spot."""
    spots = np.empty((0, 2), dtype=int)
    while len(spots) < count:
        spot = rng.integers((height, width))
        if ((spots - spot) ** 2).sum(1).min(initial=10**9) >= 144:
            spots = np.vstack((spots, spot))
    return spots


def pair_distances(spots: np.ndarray) -> np.ndarray:
    """Return all distances between (B, N, 2) spots of the same image."""
    first, second = np.triu_indices(spots.shape[1], 1)
    return np.sqrt(((spots[:, first] - spots[:, second]) ** 2).sum(-1)).ravel()


@pytest.mark.parametrize(
    ("batch", "count", "height", "width"),
    [(1, 1, 1, 1), (4, 131, 244, 244), (3, 20, 50, 90), (2, 400, 300, 310), (2, 0, 9, 9)],
)
def test_spots_have_the_requested_number_and_distance(
    batch: int, count: int, height: int, width: int, generator: torch.Generator
) -> None:
    spots = draw_blind_spots(batch, count, height, width, generator)
    assert spots.shape == (batch, count, 2) and spots.dtype == torch.int64
    assert ((spots >= 0) & (spots < torch.tensor([height, width]))).all()
    if count > 1:
        assert pair_distances(spots.numpy()).min() >= 12


def test_distance_12_itself_is_allowed(generator: torch.Generator) -> None:
    """Two spots fit at the ends of a strip of 13 px."""
    drawn = draw_blind_spots(2000, 1, 1, 13, generator)
    assert set(drawn[..., 1].flatten().tolist()) == set(range(13))
    distances = pair_distances(draw_blind_spots(100, 40, 120, 120, generator).numpy())
    assert distances.min() == 12


def test_distances_match_one_by_one_rejection(generator: torch.Generator) -> None:
    """At a density where both stages run and earlier spots restrict later ones."""
    count, edge = 40, 96
    rng = np.random.default_rng(0)
    plain = np.stack([one_by_one(count, edge, edge, rng) for _ in range(300)])
    ours = draw_blind_spots(1000, count, edge, edge, generator).numpy()
    near = [distances[distances < 40] for distances in map(pair_distances, (plain, ours))]
    assert stats.ks_2samp(*near).pvalue > 0.01
    order = [((spots[:, -1] - spots[:, 0]) ** 2).sum(-1) for spots in (plain, ours)]
    assert stats.ks_2samp(*order).pvalue > 0.01


def test_coverage_matches_one_by_one_rejection(generator: torch.Generator) -> None:
    """Counts in a grid of cells agree by a chi-square test; both have more spots near the border."""
    count, edge, cell = 12, 60, 10
    rng = np.random.default_rng(0)
    plain = np.stack([one_by_one(count, edge, edge, rng) for _ in range(1500)])
    ours = draw_blind_spots(6000, count, edge, edge, generator).numpy()
    tables = [
        np.bincount((spots[..., 0] // cell * (edge // cell) + spots[..., 1] // cell).ravel(), minlength=36)
        for spots in (plain, ours)
    ]
    assert stats.chi2_contingency(np.stack(tables)).pvalue > 0.01


def test_a_single_spot_is_uniform(generator: torch.Generator) -> None:
    drawn = draw_blind_spots(40_000, 1, 7, 11, generator)[:, 0]
    counts = torch.bincount(drawn[:, 0] * 11 + drawn[:, 1], minlength=77)
    assert stats.chisquare(counts.numpy()).pvalue > 0.01


@pytest.mark.parametrize(
    ("height", "width"), [(13, 13), (24, 40), (14, 200), (1, 300), (64, 64), (256, 256), (300, 90)]
)
def test_m2_max_spots_can_always_be_placed(height: int, width: int) -> None:
    """The published code looped forever on counts that do not fit."""
    count = max_spots(height, width)
    spots = draw_blind_spots(4, count, height, width, torch.Generator().manual_seed(1))
    assert spots.shape == (4, count, 2)
    assert count == 1 or pair_distances(spots.numpy()).min() >= 12
    # At least three quarters of the average jamming limit, except in tiny regions.
    if min(height, width) >= 64:
        assert count >= 0.75 * 0.0047 * (height + 4) * (width + 4)


def test_m2_a_jammed_image_is_redrawn(generator: torch.Generator) -> None:
    """In such a strip about one image in several hundred has no space for the last spot."""
    spots = draw_blind_spots(3000, max_spots(12, 52), 12, 52, generator)
    assert pair_distances(spots.numpy()).min() >= 12


def test_m2_too_many_spots_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected at most 21 spots 12 px apart in 64x64 px, got 22"):
        draw_blind_spots(1, 22, 64, 64)
    for height, width in ((0, 64), (64, 0)):
        with pytest.raises(ValueError, match="expected at most 0 spots"):
            draw_blind_spots(1, 1, height, width)


@pytest.mark.parametrize("masker", MASKERS.values(), ids=MASKERS)
@pytest.mark.parametrize(("edge", "perc"), [(64, 0.02), (256, 0.005), (32, 0.01), (16, 0.02)])
def test_m2_too_large_pixel_perc_is_refused_with_the_largest_valid_value(
    masker: type, edge: int, perc: float
) -> None:
    with pytest.raises(ValueError, match=r"^pixel_perc: expected at most 0\.\d+ for an image of") as error:
        masker(pixel_perc=perc).mask(torch.rand(1, 1, edge, edge))
    largest = float(str(error.value).split()[4])
    masker(pixel_perc=largest).check_size(edge, edge)
    with pytest.raises(ValueError, match="pixel_perc"):
        masker(pixel_perc=largest + 1.5 / edge**2).check_size(edge, edge)


@pytest.mark.parametrize("masker", MASKERS.values(), ids=MASKERS)
def test_m3_an_image_without_a_spot_is_refused_with_valid_values(masker: type) -> None:
    with pytest.raises(
        ValueError, match=r"^pixel_perc: expected at least (\S+) .* at least 23x23 px"
    ) as error:
        masker(pixel_perc=0.002).mask(torch.rand(1, 3, 22, 22))
    masker(pixel_perc=float(str(error.value).split()[4])).check_size(22, 22)
    masker(pixel_perc=0.002).check_size(23, 23)


@pytest.mark.parametrize("masker", MASKERS.values(), ids=MASKERS)
def test_number_of_spots_is_rounded_down(masker: type, generator: torch.Generator) -> None:
    options = {"center_only": True} if "sim_patch_edge" in masker.__init__.__annotations__ else {}
    mask = masker(pixel_perc=0.003, **options).mask(torch.rand(3, 2, 70, 45), generator).mask
    assert mask.sum((1, 2, 3)).tolist() == [math.floor(70 * 45 * 0.003)] * 3


def test_spots_differ_from_image_to_image(generator: torch.Generator) -> None:
    first, second = draw_blind_spots(2, 8, 52, 52, generator)
    assert not torch.equal(first, second)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_gpu_generator_is_accepted() -> None:
    drawn = [draw_blind_spots(1, 8, 52, 52, torch.Generator("cuda").manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
