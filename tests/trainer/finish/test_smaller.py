"""Light from smaller versions of an image."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from src.trainer.finish import Finish
from tests.trainer.finish.conftest import anything, finished, pair, stored, taken_by_a_sensor


def blotches(shape, sigma, seed=0):
    """Return coarse noise (H, W, C) of standard deviation 1."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal(shape), (0, 0), sigma)
    return (noise / noise.std()).reshape(shape)


def smoother(calls=None):
    """Return a network that removes fine noise alone. Every image it gets is appended to `calls`."""

    def denoise(image):
        if calls is not None:
            calls.append(image.copy())
        return cv2.GaussianBlur(image, (0, 0), 2.0).reshape(image.shape)

    return denoise


def denoised_by(denoise, noisy):
    """Return the pair of an image of floats or whole numbers."""
    given = pair(noisy, np.zeros_like(noisy, np.float32))
    return replace(given, denoised=denoise(given.strip(0, len(noisy))[0]), denoise=denoise)


@pytest.mark.parametrize("kind", [np.float32, np.uint8])
def test_smaller_versions_remove_coarse_noise(kind):
    clean = np.full((256, 256, 3), 0.5)
    noisy = clean + 0.08 * blotches(clean.shape, 3)
    noisy = stored(noisy) if kind == np.uint8 else noisy.astype(np.float32)
    given = denoised_by(smoother(), noisy)
    by_means, result = (finished(given, light=16, coarse=coarse, gamma=1) for coarse in (None, 8))
    assert (result - clean).std() < 0.8 * (by_means - clean).std()
    assert abs((result - clean).mean()) < 2e-3


def test_smaller_versions_hardly_count_in_weak_noise():
    """Their network would take texture of that size for noise."""
    rows, columns = np.mgrid[:128, :128] * (2 * np.pi / 24)
    clean = 0.5 + 0.01 * (np.sin(rows) * np.sin(columns))[..., None]
    noisy = (clean + 1e-3 * np.random.default_rng(0).standard_normal(clean.shape)).astype(np.float32)
    given = replace(denoised_by(smoother(), noisy), denoised=clean.astype(np.float32))
    given = replace(given, denoise=lambda image: cv2.GaussianBlur(image, (0, 0), 3.0)[..., None])
    errors = [np.abs(finished(given, light=16, coarse=c, gamma=1) - clean).max() for c in (None, 8, 0.01)]
    assert errors[0] <= errors[1] < 0.25 * errors[2]


def test_a_half_and_a_quarter_are_denoised_in_light():
    calls, clean = [], np.full((140, 131, 3), 0.3)
    noisy = taken_by_a_sensor(clean, 1e-2)
    finished(denoised_by(smoother(calls), stored(noisy)), light=16, coarse=8, detail=3, gamma=2.2)
    assert [image.shape for image in calls] == [(140, 131, 3), (70, 66, 3), (35, 33, 3)]
    assert abs(noisy.mean() - 0.3) > 0.004  # the tone curve's
    assert all(abs(image.mean() - 0.3) < 0.002 for image in calls[1:])
    calls.clear()
    finished(denoised_by(smoother(calls), stored(noisy)[:31]), light=16, coarse=8, gamma=2.2)
    assert len(calls) == 1  # too small


def test_smaller_versions_are_not_needed_without_light():
    calls, noisy = [], anything((70, 100, 3), np.uint8).noisy
    given = denoised_by(smoother(calls), noisy)
    for keys in ({"detail": 3, "coarse": 8}, {"light": 16}):
        assert Finish(**keys).denoises is False
        finished(given, **keys)
    assert len(calls) == 1


@pytest.mark.parametrize("value", [0.02, 0.98])
def test_smaller_versions_are_right_where_values_are_clipped(value):
    clean = np.full((128, 128, 1), value)
    noisy = stored(clean + 0.15 * np.random.default_rng(0).standard_normal(clean.shape))
    given = denoised_by(smoother(), noisy)
    assert abs(given.denoised.mean() - value) > 0.03
    result = finished(given, light=16, coarse=8, gamma=1).clip(0, 1)
    assert result.mean() == pytest.approx(value, abs=0.015)


def test_smaller_versions_add_no_fine_noise():
    clean = np.full((128, 128, 3), 0.5)
    noisy = stored(clean + 0.2 * np.random.default_rng(0).standard_normal(clean.shape))
    given = replace(pair(noisy, clean), denoise=lambda image: 0.25 + image / 2)
    error = finished(given, light=16, coarse=8, gamma=1) - clean
    assert np.abs(np.diff(error, axis=0)).mean() < 0.1 * np.abs(np.diff(noisy / 255, axis=0)).mean() / 2


def test_strength_counts_once():
    given = denoised_by(smoother(), anything((70, 100, 3), np.uint8).noisy)
    noisy, _ = given.strip(0, 70)
    halfway = (noisy + finished(given, light=16, coarse=8)) / 2
    np.testing.assert_allclose(finished(given, light=16, coarse=8, strength=0.5), halfway, atol=1e-6)


def test_light_stays_that_of_the_noisy_image():
    """A network may shift the light of the noise of smaller versions."""
    calls, clean = [], np.full((128, 128, 3), 0.5)
    noisy = stored(clean + 0.1 * np.random.default_rng(0).standard_normal(clean.shape))
    smooth = smoother(calls)
    given = replace(denoised_by(smooth, noisy), denoise=lambda image: smooth(image) + 0.05)
    result = finished(given, light=16, coarse=8, gamma=1)
    assert len(calls) == 3 and np.abs((result - clean).mean(axis=(0, 1))).max() < 0.005
