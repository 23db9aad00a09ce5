"""Measured noise: its strength and correlation."""

import io

import numpy as np
import pytest

from src.data_handlers.datasets.measured_noise import MeasuredNoise, load_measured_noise


def make(shared=None, gamma=1.0, step=0.0, channels=2, levels=(0.2, 0.8), deviations=(0.05, 0.1)):
    if shared is None:
        shared = np.zeros((3, 3, channels, channels), np.float32)
        shared[1, 1] = np.eye(channels)
    curves = (np.tile(np.array(row, np.float32), (channels, 1)) for row in (levels, deviations))
    return MeasuredNoise(gamma, *curves, shared, step)


def coefficient(a, b):
    return (a * b).mean() / np.sqrt((a**2).mean() * (b**2).mean())


@pytest.mark.parametrize("shape", [(96, 128), (97, 65), (3, 4)])
def test_noise_has_the_measured_correlation_of_pixels_and_channels(shape):
    shared = np.zeros((41, 41, 2, 2), np.float32)
    shared[20, 20] = [[1, 0.3], [0.3, 1]]
    shared[20, 21] = [[0.4, 0.35], [0, 0]]  # channel 0 with both channels of the right neighbour
    shared[20, 19] = shared[20, 21].T
    rng = np.random.default_rng(0)
    noise = np.stack(
        [make(shared).pattern(shape, rng) for _ in range(max(4, 60_000 // (shape[0] * shape[1])))]
    )
    assert noise.dtype == np.float32 and noise.std(axis=(0, 1, 2)) == pytest.approx([1, 1], abs=0.03)
    if shape == (3, 4):
        return  # left and right neighbour overlap there
    left, right = noise[:, :, :-1], noise[:, :, 1:]
    assert coefficient(left[..., 0], right[..., 0]) == pytest.approx(0.4, abs=0.04)
    assert coefficient(left[..., 0], right[..., 1]) == pytest.approx(0.35, abs=0.04)
    assert coefficient(left[..., 1], right[..., 0]) == pytest.approx(0, abs=0.04)
    assert coefficient(noise[..., 0], noise[..., 1]) == pytest.approx(0.3, abs=0.04)
    assert abs(coefficient(noise[:, 1:, :, 0], noise[:, :-1, :, 0])) < 0.04


@pytest.mark.parametrize(("value", "deviation"), [(0.2, 0.05), (0.5, 0.075), (0.8, 0.1), (0.1, 0.05)])
@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_the_strength_depends_on_brightness(value, deviation, strength):
    clean = np.full((128, 128, 2), value, np.float32)
    noise = make().added_to(clean, strength, np.random.default_rng(1)) - clean
    slope = 1.055  # of image values over light
    assert noise.std() == pytest.approx(slope * strength * deviation, rel=0.04)
    assert abs(noise.mean()) < 0.002 and (clean == np.float32(value)).all()


def test_noise_is_unbiased_in_light_and_quantised():
    clean = np.full((128, 128, 2), 0.3, np.float32)
    noisy = make(gamma=2.2, step=1 / 255).added_to(clean, 0.5, np.random.default_rng(2))
    light = ((noisy + 0.055) / 1.055) ** 2.2
    assert light.mean() == pytest.approx(float(((0.3 + 0.055) / 1.055) ** 2.2), rel=0.02)
    assert noisy.mean() < 0.298  # biased by the tone curve
    assert np.abs(noisy * 255 - np.rint(noisy * 255)).max() < 1e-3 and noisy.min() >= 0
    floating = make(step=0.0).added_to(np.zeros((64, 64, 2), np.float32), 1.0, np.random.default_rng(2))
    assert len(np.unique(floating)) > 1000


def test_noise_depends_only_on_the_random_numbers_and_can_be_saved():
    noise, file = make(gamma=1.4, step=1 / 255), io.BytesIO()
    noise.save(file)
    file.seek(0)
    again, clean = load_measured_noise(file), np.full((40, 30, 2), 0.5, np.float32)
    first, second, other = (
        which.added_to(clean, 0.7, np.random.default_rng(seed))
        for which, seed in ((noise, 3), (again, 3), (again, 4))
    )
    assert np.array_equal(first, second) and not np.array_equal(first, other)


def test_a_correlation_that_no_noise_has_becomes_the_nearest_power_spectrum():
    """Neighbours with 0.9, tapered to 0.675, and nothing beyond: some powers would be negative."""
    shared = np.zeros((5, 5, 1, 1), np.float32)
    shared[2, 1:4, 0, 0] = 0.9, 1, 0.9
    level = np.full((1, 1), 0.5, np.float32)
    pattern = MeasuredNoise(1.0, level, level, shared, 0.0).pattern((256, 512), np.random.default_rng(0))
    waves = np.cos(np.linspace(0, 2 * np.pi, 1000, endpoint=False))
    powers = (1 + 1.35 * waves).clip(0)
    neighbours = float((pattern[:, 1:] * pattern[:, :-1]).mean())
    assert pattern.std() == pytest.approx(1, abs=0.015)
    assert neighbours == pytest.approx((powers * waves).mean() / powers.mean(), abs=0.015)
