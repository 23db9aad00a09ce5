"""Noise2Void's masker, strategy by strategy."""

import pytest
import torch
from scipy import stats

from src.masker import N2VMasker, StructN2V
from src.masker.replacement import STRATEGIES

SPOT = torch.tensor([[20, 30]])
FOUND = ["uniform_withCP", "uniform_withoutCP", "normal_withoutCP"]


def where_from(strategy: str, radius: int, draws: int, spot: tuple[int, int] = (40, 50)) -> torch.Tensor:
    """Return the offsets (draws, 2) of the pixels that replaced a spot; pixel values are their indices."""
    height, width = 90, 110
    batch = torch.arange(float(height * width)).view(1, 1, height, width).expand(draws, -1, -1, -1)
    masker = N2VMasker(strat_name=strategy, prox_radius=radius)
    image = masker.mask_at(batch, torch.tensor([spot]), torch.Generator().manual_seed(0)).image
    taken = image[:, 0, spot[0], spot[1]].long()
    return torch.stack((taken // width - spot[0], taken % width - spot[1]), -1)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_only_the_spots_change(
    strategy: str, batch: torch.Tensor, generator: torch.Generator, device: torch.device
) -> None:
    batch = batch.to(device)
    untouched = batch.clone()
    image, mask = N2VMasker(strat_name=strategy).mask(batch, generator)
    assert torch.equal(batch, untouched)
    assert image.shape == batch.shape and mask.shape == (len(batch), 1, *batch.shape[2:])
    assert image.dtype == mask.dtype == batch.dtype
    assert mask.sum() == len(batch) * int(batch[0, 0].numel() * 0.002)
    assert not (image != batch)[(mask == 0).expand_as(batch)].any()
    if strategy != "uniform_withCP":
        assert (image != batch).any(1, keepdim=True)[mask == 1].all()
    assert image.min() >= 0 and image.max() <= 1


@pytest.mark.parametrize("strategy", FOUND)
def test_all_channels_come_from_one_pixel(strategy: str, generator: torch.Generator) -> None:
    batch = torch.rand(1, 3, 40, 50, generator=generator)
    image = N2VMasker(strat_name=strategy, prox_radius=2).mask_at(batch, SPOT, generator).image
    same = (batch == image[..., 20, 30][..., None, None]).all(1)
    assert same.sum() == 1


@pytest.mark.parametrize(("strategy", "pixels"), [("uniform_withCP", 25), ("uniform_withoutCP", 24)])
def test_uniform_strategies_draw_uniformly(strategy: str, pixels: int) -> None:
    offsets = where_from(strategy, radius=2, draws=3000)
    assert offsets.abs().max() == 2
    counts = torch.bincount((offsets[:, 0] + 2) * 5 + offsets[:, 1] + 2, minlength=25)
    assert (counts > 0).sum() == pixels and (counts[12] == 0) == (pixels == 24)
    assert stats.chisquare(counts[counts > 0].numpy()).pvalue > 0.01


def test_m13_normal_offsets_have_their_standard_deviation_and_skip_the_centre() -> None:
    offsets = where_from("normal_withoutCP", radius=3, draws=3000)
    assert offsets.any(1).all()
    assert offsets.double().mean().abs() < 0.15
    assert 2.8 < offsets.double().std() < 3.2
    assert where_from("normal_withoutCP", radius=1, draws=3000).any(1).all()


def test_m12_normal_offsets_do_not_wrap_in_a_large_image() -> None:
    """The published code stored coordinates in 8 bits."""
    batch = torch.arange(300.0).view(1, 1, 300, 1).expand(500, 1, 300, 40)
    masker = N2VMasker(strat_name="normal_withoutCP")
    image = masker.mask_at(batch, torch.tensor([[290, 20]]), torch.Generator().manual_seed(0)).image
    assert 281 <= image[:, 0, 290, 20].min() < 286 and 294 < image[:, 0, 290, 20].max()


@pytest.mark.parametrize("strategy", FOUND)
@pytest.mark.parametrize("spot", [(0, 0), (89, 109), (0, 60)])
def test_neighbourhoods_at_the_border_are_reflected(strategy: str, spot: tuple[int, int]) -> None:
    """No value comes from outside or from the opposite side of the image."""
    reach = 9 if strategy == "normal_withoutCP" else 3
    offsets = where_from(strategy, radius=3, draws=500, spot=spot)
    assert offsets.abs().max() <= reach
    if spot == (0, 0):
        assert offsets.min() == 0


def test_an_image_smaller_than_the_neighbourhood_is_reflected_again(generator: torch.Generator) -> None:
    batch = torch.rand(1, 1, 5, 1, generator=generator)
    for strategy in STRATEGIES:
        image = N2VMasker(strat_name=strategy, prox_radius=7).mask_at(batch, torch.tensor([[2, 0]])).image
        assert image.isfinite().all()


def test_mean_and_median_exclude_the_centre() -> None:
    batch = torch.tensor([[0.0, 0.1, 0.2], [0.3, 9.0, 0.5], [0.6, 0.7, 1.0]]).view(1, 1, 3, 3)
    point = torch.tensor([[1, 1]])
    mean = N2VMasker(strat_name="prox_mean", prox_radius=1).mask_at(batch, point).image[0, 0, 1, 1]
    median = N2VMasker(strat_name="prox_median", prox_radius=1).mask_at(batch, point).image[0, 0, 1, 1]
    assert mean.item() == pytest.approx(3.4 / 8)
    assert median.item() == pytest.approx(0.3)


def test_m14_additive_noise_is_in_grey_levels_and_clipped() -> None:
    batch = torch.full((4000, 1, 3, 3), 0.5)
    batch[:, :, 0, 0] = 1
    masker = N2VMasker(strat_name="normal_additive", prox_radius=5)
    image = masker.mask_at(batch, torch.tensor([[1, 1], [0, 0]]), torch.Generator().manual_seed(0)).image
    assert (image[..., 1, 1].std() * 255).item() == pytest.approx(5, rel=0.05)
    assert image[..., 1, 1].mean().item() == pytest.approx(0.5, abs=0.002)
    assert image.max() == 1 and image[..., 0, 0].min() < 1


def test_m15_fitted_noise_has_the_moments_of_the_neighbourhood_and_is_clipped() -> None:
    around = torch.tensor([[0.4, 0.5, 0.6], [0.5, 0.5, 0.5], [0.3, 0.7, 0.5]])
    batch = torch.stack((around, torch.eye(3))).expand(4000, -1, -1, -1)
    masker = N2VMasker(strat_name="normal_fitted", prox_radius=1)
    drawn = masker.mask_at(batch, torch.tensor([[1, 1]]), torch.Generator().manual_seed(0)).image[..., 1, 1]
    assert drawn[:, 0].mean().item() == pytest.approx(0.5, abs=0.01)
    assert drawn[:, 0].std().item() == pytest.approx(around.std(correction=0).item(), rel=0.05)
    assert drawn.min() == 0 and drawn.max() == 1
    assert torch.corrcoef(drawn.T)[0, 1].abs() < 0.1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_same_generator_same_mask(strategy: str, batch: torch.Tensor, device: torch.device) -> None:
    masker = N2VMasker(strat_name=strategy, structN2V={"direction": "Q", "edge": 2})
    first, same, other = (
        masker.mask(batch.to(device), torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)
    )
    assert torch.equal(first.image, same.image) and torch.equal(first.mask, same.mask)
    assert not torch.equal(first.mask, other.mask)
    on_cpu = masker.mask(batch, torch.Generator().manual_seed(5))
    torch.testing.assert_close(first.image.cpu(), on_cpu.image)


@pytest.mark.parametrize(
    ("direction", "rows", "columns"),
    [
        ("H", slice(20, 21), slice(26, 35)),
        ("V", slice(16, 25), slice(30, 31)),
        ("Q", slice(16, 25), slice(26, 35)),
    ],
)
def test_structn2v_overwrites_row_column_or_square(
    direction: str, rows: slice, columns: slice, generator: torch.Generator
) -> None:
    """H is horizontal: along the row. The mask covers only the spot."""
    batch = torch.full((2, 3, 40, 50), 2.0)
    masker = N2VMasker(structN2V={"direction": direction, "edge": 4})
    image, mask = masker.mask_at(batch, SPOT, generator)
    footprint = torch.zeros(40, 50, dtype=torch.bool)
    footprint[rows, columns] = True
    footprint[20, 30] = False
    assert torch.equal(image != batch, footprint.expand_as(batch))
    noise = image[image != batch]
    assert noise.min() >= 0 and noise.max() <= 1 and len(noise.unique()) > 0.99 * len(noise)
    assert torch.equal(torch.nonzero(mask[0, 0]), SPOT) and mask.sum() == 2


def test_structn2v_does_not_overwrite_neighbouring_spots(generator: torch.Generator) -> None:
    batch = torch.full((1, 1, 40, 50), 2.0)
    masker = N2VMasker(strat_name="prox_mean", structN2V={"direction": "H", "edge": 20})
    image = masker.mask_at(batch, torch.tensor([[20, 20], [20, 32]]), generator).image
    assert image[0, 0, 20, 20] == image[0, 0, 20, 32] == 2
    assert (image[0, 0, 20] != 2).sum() == 48


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"structN2V": {"direction": "X", "edge": 4}}, "direction"),
        ({"structN2V": {"direction": "H"}}, "edge"),
        ({"structN2V": {"direction": "H", "edge": 0}}, "edge"),
        ({"structN2V": {"direction": "H", "edge": 4, "angle": 3}}, "angle"),
        ({"strat_name": "median"}, r"^strat_name: .*uniform_withCP, .*normal_fitted, got 'median'$"),
        ({"prox_radius": 0}, "prox_radius"),
    ],
)
def test_m5_m16_invalid_options_are_refused(options: dict[str, object], message: str) -> None:
    """The published code failed in the first step and listed strategies it did not have."""
    with pytest.raises(ValueError, match=message):
        N2VMasker(**options)


def test_points_outside_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^points: .* got \[40, 3\]$"):
        N2VMasker().mask_at(torch.rand(1, 3, 40, 50), torch.tensor([[0, 0], [40, 3]]))


def test_structn2v_is_accepted_as_object_or_dict() -> None:
    built = StructN2V(direction="V", edge=2)
    assert (
        N2VMasker(structN2V=built).structN2V == N2VMasker(structN2V={"direction": "V", "edge": 2}).structN2V
    )
