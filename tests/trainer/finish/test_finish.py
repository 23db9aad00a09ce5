"""Restoring light and detail, and the independence of strips."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from src.trainer.finish import Finish, found_gamma, strips
from src.util.errors import ConfigError
from tests.trainer.finish.conftest import (
    anything,
    finished,
    pair,
    scene,
    square_means,
    stored,
    taken_by_a_sensor,
)

# Light


def test_light_restores_colours_shifted_by_the_tone_curve():
    """A network that keeps the mean of finished images shifts colours."""
    clean = scene(256, low=0.3)
    noisy = taken_by_a_sensor(clean, 1e-2)
    denoised = square_means(noisy)
    off = 255 * (denoised - clean).mean(axis=(0, 1))
    assert np.abs(off).min() > 0.6
    result = finished(pair(stored(noisy), denoised), light=16)
    assert np.abs(255 * (result - clean).mean(axis=(0, 1))).max() < 0.25
    worst = [np.abs(square_means(values) - clean).max() for values in (result, denoised)]
    assert worst[0] < 0.5 * worst[1]


def test_gamma_is_estimated_from_the_noise():
    clean = scene(256, seed=3)
    noisy = taken_by_a_sensor(clean, 1e-3)
    additive = clean + 0.06 * np.random.default_rng(2).standard_normal(clean.shape)
    for values, gamma in ((noisy, 2.2), (additive, 1.0)):
        for kind in (stored(values), values.astype(np.float32)):
            assert found_gamma(iter([pair(kind, square_means(values))])) == pytest.approx(gamma, abs=0.2)


def test_gamma_of_several_images_and_of_too_few_places():
    clean = [scene(64, seed=seed) for seed in range(16)]
    pairs = [pair(stored(taken_by_a_sensor(c, seed=n)), c) for n, c in enumerate(clean)]
    assert found_gamma(iter(pairs)) == pytest.approx(2.2, abs=0.3)
    tiny = pair(stored(clean[0][:20, :20]), clean[0][:20, :20])
    assert found_gamma(iter([tiny])) == 1.8 == found_gamma(iter([]))


def test_too_weak_noise_gives_the_fallback_gamma():
    clean = np.full((256, 256, 3), (0.3, 0.31, 0.32))
    weak = clean + 1.2 / 255 * np.random.default_rng(2).standard_normal(clean.shape)
    assert found_gamma(iter([pair(stored(weak), clean)])) == 1.8


def test_a_given_gamma_is_used():
    given = anything((64, 64, 3), np.uint8)
    results = [finished(given, light=8, gamma=gamma) for gamma in (1, 3)]
    assert not np.array_equal(*results)
    with_one = given.denoised.mean(axis=(0, 1)) + (given.strip(0, 64)[0] - given.denoised).mean(axis=(0, 1))
    np.testing.assert_allclose(results[0].mean(axis=(0, 1)), with_one, atol=2e-3)


@pytest.mark.parametrize(("value", "wrong"), [(0.02, 0.05), (0.02, 0.0), (0.98, 0.95), (1.0, 0.95)])
def test_light_is_right_where_values_are_clipped(value, wrong):
    """Clipping changes the mean of the noise, but not its median."""
    clean = np.full((64, 192, 3), 0.5)
    clean[:, 64:] = value
    denoised = np.where(clean == 0.5, 0.45, wrong)
    noisy = clean + 0.1 * np.random.default_rng(0).standard_normal(clean.shape)
    result = finished(pair(stored(noisy), denoised), light=6, gamma=1).clip(0, 1)
    assert result[:, :32].mean() == pytest.approx(0.5, abs=0.005)
    assert result[:, 128:].mean() == pytest.approx(value, abs=0.02)
    mean = noisy.clip(0, 1)[:, 128:].mean()
    assert abs(mean - value) > 0.025
    of_floats = finished(pair(noisy.clip(0, 1).astype(np.float32), denoised), light=6, gamma=1)
    assert of_floats[:, 128:].mean() == pytest.approx(mean, abs=0.005)  # floats are not clipped


def test_counts_keep_their_mean_where_most_are_zero():
    counts = np.random.default_rng(0).poisson(0.2, (64, 64, 1))
    result = finished(pair((20 * counts).astype(np.uint8), np.full((64, 64, 1), 4 / 255)), light=6, gamma=1)
    assert 255 * result.mean() == pytest.approx(4, abs=0.5)


def test_light_adds_no_noise():
    clean = scene(128)
    noisy = taken_by_a_sensor(clean)
    result = finished(pair(stored(noisy), clean), light=16, gamma=2.2)
    assert np.abs(np.diff(result - clean, axis=0)).max() < 0.2 / 255
    assert (result - clean).std() < 0.05 * (noisy - clean).std()


# Detail


def test_detail_restores_texture_without_noise():
    rng, clean = np.random.default_rng(0), np.tile(scene(64), (2, 2, 1))
    rows, columns = np.mgrid[:128, :128]
    texture = 0.2 * np.sin(rows * 1.3)[..., None] * np.sin(columns * 1.1)[..., None]
    textured = clean + texture * ((rows < 64) & (columns < 64))[..., None]
    noisy = (textured + 0.04 * rng.standard_normal(clean.shape)).astype(np.float32)
    result = finished(pair(noisy, clean), detail=3)
    before, after = ((values - textured) ** 2 for values in (clean, result))
    lost, flat = (slice(8, 56), slice(8, 56)), (slice(80, None), slice(80, None))
    assert after[lost].mean() < 0.5 * before[lost].mean()
    assert after[flat].mean() < 0.02 * 0.04**2


def test_lost_texture_is_not_mistaken_for_strong_noise():
    """The denoised image is flat everywhere."""
    rng, clean = np.random.default_rng(0), np.full((128, 128, 3), 0.4)
    stripes = 0.15 * np.sin(np.arange(128) * 1.3)[:, None, None] * (np.arange(128) % 64 < 16)[:, None]
    noisy = (clean + stripes + 0.03 * rng.standard_normal(clean.shape)).astype(np.float32)
    result = finished(pair(noisy, clean), detail=3)
    assert ((result - clean - stripes) ** 2).mean() < 0.5 * (stripes**2).mean()


def test_detail_does_not_restore_correlated_noise():
    """Its variance differs from place to place, as if there were detail."""
    clean = scene(256)
    white = np.random.default_rng(1).standard_normal(clean.shape[:2])
    noise = ndimage.gaussian_filter(white, 2)[..., None]
    noise *= 0.04 / noise.std()
    result = finished(pair((clean + noise).astype(np.float32), clean), detail=3)
    assert (result - clean).var() < 0.1 * noise.var()


def test_overexposed_places_do_not_pass_for_uneven_noise():
    """They have no noise at all."""
    rng, clean = np.random.default_rng(0), np.tile(scene(64), (4, 4, 1))
    texture = np.zeros_like(clean)
    texture[:64, :64] = 0.06 * np.sin(np.arange(64) * 1.3)[:, None, None]
    noisy = clean + texture + 0.03 * rng.standard_normal(clean.shape)
    for exposed in (noisy, np.where(np.arange(256)[:, None, None] < 192, noisy, 1)):
        denoised = np.where(exposed == 1, 1, clean)
        result = finished(pair(stored(exposed), denoised), detail=3)
        given_back = ((result - clean) * texture)[8:56, 8:56].sum() / (texture**2)[8:56, 8:56].sum()
        assert given_back > 0.3


def test_detail_does_not_restore_impulses():
    rng, clean = np.random.default_rng(0), np.tile(scene(64), (2, 2, 1))
    noisy = clean + 0.02 * rng.standard_normal(clean.shape)
    hit = rng.random((128, 128)) < 0.02
    noisy[hit] = 1
    result = finished(pair(noisy.astype(np.float32), clean), detail=3)
    assert np.abs(result - clean)[hit].max() < 0.1


def test_detail_needs_enough_flat_places():
    """Without them the noise is unknown."""
    given = anything((48, 48, 3), np.uint8)
    assert np.array_equal(finished(given, detail=3), given.denoised)


# Both


SHAPES = [(1, 1, 3), (1, 40, 1), (17, 40, 5), (33, 5, 1), (70, 100, 3), (131, 67, 5)]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_result_does_not_depend_on_strips(monkeypatch, shape, dtype):
    given = anything(shape, dtype)
    kept = given.noisy.copy(), given.denoised.copy()
    keys_of_all = {"light": 16, "coarse": 4, "detail": 3, "strength": 0.7}
    for keys in ({"light": 3}, {"detail": 2}, {"light": 16, "detail": 3}, keys_of_all):
        monkeypatch.setattr(strips, "_VALUES", 2**22)
        whole = finished(given, **keys)
        assert whole.shape == shape and whole.dtype == np.float32 and np.isfinite(whole).all()
        assert shape != SHAPES[-1] or not np.array_equal(whole, given.denoised)
        for rows in (16, 32, 48):
            monkeypatch.setattr(strips, "_VALUES", rows * shape[1] * shape[2] * strips.EDGE)
            anew = replace(given)
            monkeypatch.setattr(strips, "_VALUES", rows * shape[1] * shape[2])
            assert len(anew.strips) == -(-shape[0] // rows)
            assert np.array_equal(finished(anew, **keys), whole)
    assert np.array_equal(kept[0], given.noisy) and np.array_equal(kept[1], given.denoised)


def test_the_default_changes_nothing():
    given = anything((70, 100, 3), np.uint8)
    assert not Finish().changes
    assert np.array_equal(finished(given), given.denoised)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_strength_interpolates_between_noisy_and_result(strength):
    given = anything((70, 100, 3), np.uint8)
    noisy, _ = given.strip(0, 70)
    all_of_it = finished(given, light=4)
    result = finished(given, light=4, strength=strength)
    np.testing.assert_allclose(result, (1 - strength) * noisy + strength * all_of_it, atol=1e-6)
    assert strength > 0 or np.array_equal(result, noisy)
    assert Finish(strength=strength).changes == (strength < 1)


def test_a_tensor_is_finished_like_an_image():
    given = anything((70, 100, 3), np.uint8)
    noisy, denoised = (torch.from_numpy(v.transpose(2, 0, 1).copy()) for v in given.strip(0, 70))
    finish = Finish(light=4, detail=3)
    expected = np.concatenate([band for _, band in finish(given)])
    result = finish.tensor(noisy, denoised, 1 / 255)
    assert result.shape == (3, 70, 100)
    np.testing.assert_allclose(result.permute(1, 2, 0).numpy(), expected, atol=1e-6)


def test_chosen_parts_keep_their_settings():
    assert Finish().chosen(None, None) == Finish()
    assert Finish(light=5, strength=0.3).chosen(None, None) == Finish(light=5, strength=0.3)
    assert Finish(light=5).chosen("all", None) == Finish(light=5, detail=3)
    assert Finish(light=5, coarse=3).chosen("light", None) == Finish(light=5, coarse=3)
    assert Finish(detail=2).chosen("light", 0.5) == Finish(light=16, coarse=8, strength=0.5)
    assert Finish(light=5, gamma=2).chosen("detail", None) == Finish(detail=3, gamma=2)
    assert Finish(light=5, coarse=3, detail=2).chosen("none", None) == Finish()
    assert Finish(strength=0.3).chosen("all", 1).strength == 1


@pytest.mark.parametrize("strength", [-0.1, 1.01, float("nan"), float("inf")])
def test_an_invalid_strength_is_refused(strength):
    with pytest.raises(ConfigError, match=r"^strength: expected a number from 0 to 1, got"):
        Finish().chosen(None, strength)
