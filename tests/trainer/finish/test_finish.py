"""Light and detail given back: what comes back, what stays, and that strips show nowhere."""

import numpy as np
import pytest
import torch

from src.trainer.finish import Finish, found_gamma, strips
from src.trainer.finish.strips import Pair
from src.util.errors import ConfigError

EDGE = 64  # of the flat squares that scenes are made of


def scene(size, channels=3, seed=0, low=0.15, high=0.7):
    """Flat squares, float64 (size, size, channels)."""
    squares = np.random.default_rng(seed).uniform(low, high, (size // EDGE, size // EDGE, channels))
    return squares.repeat(EDGE, axis=0).repeat(EDGE, axis=1)


def square_means(values):
    squares = values.reshape(len(values) // EDGE, EDGE, -1, EDGE, values.shape[2]).mean(axis=(1, 3))
    return squares.repeat(EDGE, axis=0).repeat(EDGE, axis=1)


def taken_by_a_sensor(clean, shot=2e-3, seed=1):
    """Noise put on in linear light, before the tone curve; not clipped, not rounded."""
    light = ((clean + 0.055) / 1.055) ** 2.2
    noise = np.random.default_rng(seed).standard_normal(clean.shape)
    return np.maximum(light + np.sqrt(shot * light) * noise, 0) ** (1 / 2.2) * 1.055 - 0.055


def stored(values):
    return np.rint(values.clip(0, 1) * 255).astype(np.uint8)


def pair(noisy, denoised):
    data_range = {"u": np.iinfo(noisy.dtype).max if noisy.dtype.kind == "u" else 1}.get(noisy.dtype.kind, 1)
    step = 1 / data_range if noisy.dtype.kind == "u" else 0.0
    return Pair(noisy, denoised.astype(np.float32), data_range, step)


def finished(given, **keys):
    bands = list(Finish(**keys)(given))
    assert [top for top, _ in bands] == np.cumsum([0, *(len(band) for _, band in bands[:-1])]).tolist()
    return np.concatenate([band for _, band in bands])


def anything(shape, dtype, seed=0):
    random = np.random.default_rng(seed)
    smooth = np.full(shape, 0.4) + 0.1 * random.random((1, 1, shape[2]))
    noisy = smooth + 0.05 * random.standard_normal(shape)
    noisy[20:30, 10:20] += 0.3  # lost by the network
    levels = noisy if dtype == np.float32 else np.rint(noisy * np.iinfo(dtype).max)
    return pair(levels.astype(dtype), smooth + 0.02 * random.standard_normal(shape))


# Light


def test_light_brings_colours_back_that_the_tone_curve_took():
    """A network that keeps the mean of finished images gives the mean of what the curve bent."""
    clean = scene(256, low=0.3)
    noisy = taken_by_a_sensor(clean, 1e-2)
    denoised = square_means(noisy)
    off = 255 * (denoised - clean).mean(axis=(0, 1))
    assert np.abs(off).min() > 0.6
    result = finished(pair(stored(noisy), denoised), light=16)
    assert np.abs(255 * (result - clean).mean(axis=(0, 1))).max() < 0.25
    worst = [np.abs(square_means(values) - clean).max() for values in (result, denoised)]
    assert worst[0] < 0.5 * worst[1]


def test_the_noise_itself_tells_in_which_light_it_is_fair():
    clean = scene(256, seed=3)
    noisy = taken_by_a_sensor(clean, 1e-3)
    data_range = clean + 0.06 * np.random.default_rng(2).standard_normal(clean.shape)
    for values, gamma in ((noisy, 2.2), (data_range, 1.0)):
        for kind in (stored(values), values.astype(np.float32)):
            assert found_gamma(iter([pair(kind, square_means(values))])) == pytest.approx(gamma, abs=0.2)


def test_several_images_tell_it_together_and_too_few_places_do_not_tell():
    clean = [scene(64, seed=seed) for seed in range(16)]
    pairs = [pair(stored(taken_by_a_sensor(c, seed=n)), c) for n, c in enumerate(clean)]
    assert found_gamma(iter(pairs)) == pytest.approx(2.2, abs=0.3)
    tiny = pair(stored(clean[0][:20, :20]), clean[0][:20, :20])
    assert found_gamma(iter([tiny])) == 1.8 == found_gamma(iter([]))


def test_noise_of_less_than_two_steps_tells_nothing():
    clean = np.full((256, 256, 3), (0.3, 0.31, 0.32))
    weak = clean + 1.2 / 255 * np.random.default_rng(2).standard_normal(clean.shape)
    assert found_gamma(iter([pair(stored(weak), clean)])) == 1.8


def test_a_gamma_that_is_said_is_taken():
    given = anything((64, 64, 3), np.uint8)
    results = [finished(given, light=8, gamma=gamma) for gamma in (1, 3)]
    assert not np.array_equal(*results)
    with_one = given.denoised.mean(axis=(0, 1)) + (given.strip(0, 64)[0] - given.denoised).mean(axis=(0, 1))
    np.testing.assert_allclose(results[0].mean(axis=(0, 1)), with_one, atol=2e-3)


def test_light_is_left_alone_where_values_are_clipped():
    """What is left of noise there has another mean than the noise."""
    clean = np.full((64, 160, 3), 0.5)
    clean[:, 80:] = 1.0
    noisy = stored(clean + 0.1 * np.random.default_rng(0).standard_normal(clean.shape))
    denoised = clean - 0.05
    result = finished(pair(noisy, denoised), light=4, gamma=1)
    np.testing.assert_allclose(result[:, :40].mean(), 0.5, atol=0.005)
    assert np.array_equal(result[:, 120:], denoised.astype(np.float32)[:, 120:])
    of_floats = finished(pair(noisy.astype(np.float32) / 255, denoised), light=4, gamma=1)
    assert (of_floats[:, 120:] != denoised.astype(np.float32)[:, 120:]).any()  # which nothing has clipped


def test_light_adds_no_noise():
    clean = scene(128)
    noisy = taken_by_a_sensor(clean)
    result = finished(pair(stored(noisy), clean), light=16, gamma=2.2)
    assert np.abs(np.diff(result - clean, axis=0)).max() < 0.2 / 255
    assert (result - clean).std() < 0.05 * (noisy - clean).std()


# Detail


def test_detail_brings_texture_back_that_was_lost_and_leaves_noise_away():
    random, clean = np.random.default_rng(0), np.tile(scene(64), (2, 2, 1))
    rows, columns = np.mgrid[:128, :128]
    texture = 0.2 * np.sin(rows * 1.3)[..., None] * np.sin(columns * 1.1)[..., None]
    textured = clean + texture * ((rows < 64) & (columns < 64))[..., None]
    noisy = (textured + 0.04 * random.standard_normal(clean.shape)).astype(np.float32)
    result = finished(pair(noisy, clean), detail=3)
    before, after = ((values - textured) ** 2 for values in (clean, result))
    lost, flat = (slice(8, 56), slice(8, 56)), (slice(80, None), slice(80, None))
    assert after[lost].mean() < 0.5 * before[lost].mean()
    assert after[flat].mean() < 0.02 * 0.04**2


def test_texture_that_is_lost_is_not_taken_for_noise_that_is_strong():
    """The network left these places as flat as others of their brightness."""
    random, clean = np.random.default_rng(0), np.full((128, 128, 3), 0.4)
    stripes = 0.15 * np.sin(np.arange(128) * 1.3)[:, None, None] * (np.arange(128) % 64 < 16)[:, None]
    noisy = (clean + stripes + 0.03 * random.standard_normal(clean.shape)).astype(np.float32)
    result = finished(pair(noisy, clean), detail=3)
    assert ((result - clean - stripes) ** 2).mean() < 0.5 * (stripes**2).mean()


def test_without_flat_places_enough_no_detail_is_given_back():
    """How strong the noise is, is not known."""
    given = anything((48, 48, 3), np.uint8)
    assert np.array_equal(finished(given, detail=3), given.denoised)


# Both


SHAPES = [(1, 1, 3), (1, 40, 1), (17, 40, 5), (33, 5, 1), (70, 100, 3), (131, 67, 5)]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_result_is_the_same_to_the_bit_however_it_is_cut_into_strips(monkeypatch, shape, dtype):
    given = anything(shape, dtype)
    kept = given.noisy.copy(), given.denoised.copy()
    for keys in ({"light": 3}, {"detail": 2}, {"light": 16, "detail": 3, "strength": 0.7}):
        monkeypatch.setattr(strips, "_VALUES", 2**22)
        whole = finished(given, **keys)
        assert whole.shape == shape and whole.dtype == np.float32 and np.isfinite(whole).all()
        for rows in (16, 32, 48):
            monkeypatch.setattr(strips, "_VALUES", rows * shape[1] * shape[2] * strips.EDGE)
            anew = Pair(given.noisy, given.denoised, given.data_range, given.step)
            monkeypatch.setattr(strips, "_VALUES", rows * shape[1] * shape[2])
            assert len(anew.strips) == -(-shape[0] // rows)
            assert np.array_equal(finished(anew, **keys), whole)
    assert np.array_equal(kept[0], given.noisy) and np.array_equal(kept[1], given.denoised)


def test_light_and_detail_change_what_they_should_in_such_images():
    """Or the test above would compare nothing."""
    given = anything((131, 67, 5), np.uint8)
    for keys in ({"light": 3}, {"detail": 2}):
        assert not np.array_equal(finished(given, **keys), given.denoised)


def test_nothing_leaves_the_result_as_it_is():
    given = anything((70, 100, 3), np.uint8)
    assert not Finish().changes
    assert np.array_equal(finished(given), given.denoised)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_strength_goes_from_the_noisy_image_to_the_result(strength):
    given = anything((70, 100, 3), np.uint8)
    noisy, _ = given.strip(0, 70)
    all_of_it = finished(given, light=4)
    result = finished(given, light=4, strength=strength)
    np.testing.assert_allclose(result, (1 - strength) * noisy + strength * all_of_it, atol=1e-6)
    assert strength > 0 or np.array_equal(result, noisy)
    assert Finish(strength=strength).changes == (strength < 1)


def test_a_tensor_is_finished_as_an_image_is():
    given = anything((70, 100, 3), np.uint8)
    noisy, denoised = (torch.from_numpy(v.transpose(2, 0, 1).copy()) for v in given.strip(0, 70))
    finish = Finish(light=4, detail=3)
    expected = np.concatenate([band for _, band in finish(given)])
    result = finish.tensor(noisy, denoised, 1 / 255)
    assert result.shape == (3, 70, 100)
    np.testing.assert_allclose(result.permute(1, 2, 0).numpy(), expected, atol=1e-6)


def test_parts_may_be_chosen_and_those_that_were_set_keep_their_sigma():
    assert Finish().chosen(None, None) == Finish()
    assert Finish(light=5, strength=0.3).chosen(None, None) == Finish(light=5, strength=0.3)
    assert Finish(light=5).chosen("all", None) == Finish(light=5, detail=3)
    assert Finish(detail=2).chosen("light", 0.5) == Finish(light=16, strength=0.5)
    assert Finish(light=5, gamma=2).chosen("detail", None) == Finish(detail=3, gamma=2)
    assert Finish(light=5, detail=2).chosen("none", None) == Finish()
    assert Finish(strength=0.3).chosen("all", 1).strength == 1


@pytest.mark.parametrize("strength", [-0.1, 1.01, float("nan"), float("inf")])
def test_a_strength_that_is_none_is_refused(strength):
    with pytest.raises(ConfigError, match=r"^strength: expected a number from 0 to 1, got"):
        Finish().chosen(None, strength)
