import numpy as np
import pytest
import torch
from pydantic import ValidationError

from src.data_handlers.datasets.noise import NoiseOptions, add_noise
from src.util.seed import make_generator


def noise_on(level, size=256, draw=0, **options):
    """Return noise in grey levels on a flat grey image."""
    clean = torch.full((3, size, size), level)
    noisy = add_noise(clean, NoiseOptions(**options), make_generator(0, "noise", draw))
    return (noisy - clean) * 255


def test_white_noise_has_the_given_sigma():
    noise = noise_on(0.5, sigma=25)
    assert noise.std() == pytest.approx(25, rel=0.02)
    assert noise.mean().abs() < 0.3


@pytest.mark.parametrize(("edge", "sigma"), [(3, 0.55), (5, 1.0), (9, 2.0), (5, 20.0)])
def test_d13_correlated_noise_has_the_given_sigma(edge, sigma):
    noise = noise_on(0.5, size=512, sigma=25, correlate=True, kernel_edge=edge, kernel_sigma=sigma)
    assert noise.std() == pytest.approx(25, rel=0.02)


def test_d13_correlated_noise_has_the_same_strength_at_the_border():
    draws = [
        noise_on(0.5, size=24, draw=d, sigma=25, correlate=True, kernel_edge=9, kernel_sigma=2.0)
        for d in range(600)
    ]
    strength = torch.cat(draws).std(dim=0)
    border = torch.cat([strength[0], strength[-1], strength[:, 0], strength[:, -1]])
    assert border.mean() == pytest.approx(25, rel=0.02)
    assert strength[8:16, 8:16].mean() == pytest.approx(25, rel=0.02)


def test_only_correlated_noise_has_the_correlation_of_its_kernel():
    def correlation(noise, lag):
        return (noise[:, :, lag:] * noise[:, :, :-lag]).mean() / noise.var()

    white = noise_on(0.5, size=512, sigma=25)
    correlated = noise_on(0.5, size=512, sigma=25, correlate=True, kernel_edge=13, kernel_sigma=1.0)
    assert abs(correlation(white, 1)) < 0.01
    for lag in (1, 2):
        assert correlation(correlated, lag) == pytest.approx(np.exp(-(lag**2) / 4), abs=0.02)
        assert correlation(correlated.transpose(1, 2), lag) == pytest.approx(np.exp(-(lag**2) / 4), abs=0.02)


@pytest.mark.parametrize("correlate", [False, True])
@pytest.mark.parametrize("level", [0.0, 0.25, 1.0])
def test_shot_noise_grows_with_the_signal(level, correlate):
    noise = noise_on(level, size=512, sigma=5, shot=20, correlate=correlate)
    assert noise.std() == pytest.approx((25 + 400 * level) ** 0.5, rel=0.02)


def test_negative_values_get_no_shot_noise():
    clean = torch.full((1, 64, 64), -0.1)
    assert torch.equal(add_noise(clean, NoiseOptions(sigma=0, shot=20), make_generator(0, "noise")), clean)


def test_d13_shot_noise_depends_on_the_pixel_not_its_neighbours():
    clean = torch.zeros(1, 256, 256)
    clean[..., ::2] = 1.0
    options = NoiseOptions(sigma=0, shot=20, correlate=True, kernel_edge=9, kernel_sigma=2.0)
    noise = (add_noise(clean, options, make_generator(0, "noise")) - clean) * 255
    assert noise[..., 1::2].abs().max() == 0
    assert noise[..., ::2].std() == pytest.approx(20, rel=0.04)


@pytest.mark.parametrize("correlate", [False, True])
def test_d13_the_mean_is_in_grey_levels(correlate):
    assert noise_on(0.5, sigma=1, mean=10, correlate=correlate).mean() == pytest.approx(10, rel=0.01)


def test_quantised_results_are_8_bit():
    clean = torch.full((1, 64, 64), 0.95)
    noisy = add_noise(clean, NoiseOptions(sigma=25, quantise=True), make_generator(0, "noise"))
    assert noisy.max() == 1
    assert torch.allclose(noisy * 255, (noisy * 255).round(), atol=1e-4)
    assert add_noise(clean, NoiseOptions(sigma=25), make_generator(0, "noise")).max() > 1


@pytest.mark.parametrize("correlate", [False, True])
def test_noise_depends_only_on_the_generator_and_leaves_the_clean_image_unchanged(correlate):
    clean = torch.rand(3, 17, 31)
    before = clean.clone()
    options = NoiseOptions(correlate=correlate, shot=5)
    noisy = [add_noise(clean, options, make_generator(0, "noise", draw)) for draw in (1, 1, 2)]
    assert torch.equal(clean, before)
    assert noisy[0].shape == clean.shape
    assert noisy[0].dtype == torch.float32
    assert torch.equal(noisy[0], noisy[1])
    assert not torch.equal(noisy[0], noisy[2])


def test_channels_have_independent_noise():
    noise = noise_on(0.5, sigma=25)
    assert (noise[0] * noise[1]).mean().abs() < 10


@pytest.mark.parametrize(
    "wrong",
    [
        {"sigma": -1},
        {"sigma": float("nan")},
        {"shot": -1},
        {"kernel_edge": 4},
        {"kernel_edge": 0},
        {"kernel_sigma": 0},
        {"sigmma": 5},
        {"correlate": "perhaps"},
    ],
)
def test_invalid_options_are_rejected(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        NoiseOptions(**wrong)
