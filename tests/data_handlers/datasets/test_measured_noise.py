"""Noise of a given strength and correlation, put onto images."""

import io

import numpy as np
import pytest

from src.data_handlers.datasets.measured_noise import MeasuredNoise, load_measured_noise


def made(shared=None, gamma=1.0, step=0.0, channels=2, levels=(0.2, 0.8), deviations=(0.05, 0.1)):
    if shared is None:
        shared = np.zeros((3, 3, channels, channels), np.float32)
        shared[1, 1] = np.eye(channels)
    curves = (np.tile(np.array(row, np.float32), (channels, 1)) for row in (levels, deviations))
    return MeasuredNoise(gamma, *curves, shared, np.ones(1, np.float32), step)


def coefficient(a, b):
    return (a * b).mean() / np.sqrt((a**2).mean() * (b**2).mean())


@pytest.mark.parametrize("shape", [(96, 128), (97, 65), (3, 4)])
def test_noise_is_shared_by_pixels_and_channels_in_the_direction_that_was_measured(shape):
    shared = np.zeros((41, 41, 2, 2), np.float32)
    shared[20, 20] = [[1, 0.3], [0.3, 1]]
    shared[20, 21] = [[0.4, 0.35], [0, 0]]  # the first channel's pixel with both of the right neighbour
    shared[20, 19] = shared[20, 21].T
    rng = np.random.default_rng(0)
    noise = np.stack(
        [made(shared).pattern(shape, rng) for _ in range(max(4, 60_000 // (shape[0] * shape[1])))]
    )
    assert noise.dtype == np.float32 and noise.std(axis=(0, 1, 2)) == pytest.approx([1, 1], abs=0.03)
    if shape == (3, 4):
        return  # the neighbour is the neighbour on both sides there
    left, right = noise[:, :, :-1], noise[:, :, 1:]
    assert coefficient(left[..., 0], right[..., 0]) == pytest.approx(0.4, abs=0.04)
    assert coefficient(left[..., 0], right[..., 1]) == pytest.approx(0.35, abs=0.04)
    assert coefficient(left[..., 1], right[..., 0]) == pytest.approx(0, abs=0.04)
    assert coefficient(noise[..., 0], noise[..., 1]) == pytest.approx(0.3, abs=0.04)
    assert abs(coefficient(noise[:, 1:, :, 0], noise[:, :-1, :, 0])) < 0.04


@pytest.mark.parametrize(("value", "deviation"), [(0.2, 0.05), (0.5, 0.075), (0.8, 0.1), (0.1, 0.05)])
@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_its_strength_follows_the_brightness(value, deviation, strength):
    clean = np.full((128, 128, 2), value, np.float32)
    noise = made().added_to(clean, strength, np.random.default_rng(1)) - clean
    of_light = 1.055  # steps of an image's values are so many of its light
    assert noise.std() == pytest.approx(of_light * strength * deviation, rel=0.04)
    assert abs(noise.mean()) < 0.002 and (clean == np.float32(value)).all()


def test_it_is_fair_in_light_and_stored_as_images_are():
    clean = np.full((128, 128, 2), 0.3, np.float32)
    noisy = made(gamma=2.2, step=1 / 255).added_to(clean, 0.5, np.random.default_rng(2))
    light = ((noisy + 0.055) / 1.055) ** 2.2
    assert light.mean() == pytest.approx(float(((0.3 + 0.055) / 1.055) ** 2.2), rel=0.02)
    assert noisy.mean() < 0.298  # the tone curve bends it
    assert np.abs(noisy * 255 - np.rint(noisy * 255)).max() < 1e-3 and noisy.min() >= 0
    floating = made(step=0.0).added_to(np.zeros((64, 64, 2), np.float32), 1.0, np.random.default_rng(2))
    assert len(np.unique(floating)) > 1000


def test_it_is_a_function_of_the_random_numbers_and_comes_back_from_a_file():
    noise, file = made(gamma=1.4, step=1 / 255), io.BytesIO()
    noise.save(file)
    file.seek(0)
    again, clean = load_measured_noise(file), np.full((40, 30, 2), 0.5, np.float32)
    first, second, other = (
        which.added_to(clean, 0.7, np.random.default_rng(seed))
        for which, seed in ((noise, 3), (again, 3), (again, 4))
    )
    assert np.array_equal(first, second) and not np.array_equal(first, other)
