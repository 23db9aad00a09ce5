"""`measure_noise` finds the known strength and correlation of synthetic noise."""

from functools import cache

import cv2
import numpy as np
import pytest

from src.data_handlers.datasets.generated import Generated
from src.trainer.adapt.measure import MAX_LAG, measure_noise, noise_places, noise_ratio
from src.trainer.finish.strips import Pair

STEP = 1 / 255


@cache
def scene(seed, size=256, channels=3):
    """Return a clean image: shapes and textures in its upper half, flat squares below, values 0.2 to 0.8."""
    image = Generated(count=1, size=size, textured=0.1, dark=0).draw(0, np.random.default_rng(seed)).noisy
    flat = cv2.resize(
        np.random.default_rng(seed).random((4, 4, 3), np.float32), (size, size), interpolation=0
    )
    image = np.where(np.arange(size)[:, None, None] < size // 2, image / np.float32(255), flat)
    clean = np.ascontiguousarray(0.2 + 0.6 * image[..., :channels], np.float32)
    clean.setflags(write=False)
    return clean


def pair(clean, noise, left=0.0, step=STEP):
    """Return a noisy image and the output of a network that leaves the share `left` of the noise."""
    noisy = clean + noise
    if step:
        noisy = np.rint(noisy.clip(0, 1) / step).astype(np.float32) * np.float32(step)
    return Pair(noisy, clean + np.float32(left) * noise, 1.0, step)


def white(clean, seed, sigma=0.04):
    return np.float32(sigma) * np.random.default_rng(seed).standard_normal(clean.shape, np.float32)


def blurred(clean, seed, sigma=0.04, width=2.0):
    noise = cv2.GaussianBlur(white(clean, seed, 1), (0, 0), width).reshape(clean.shape)
    return np.float32(sigma) * noise / noise.std()


def measured(pairs, gamma=1.0, step=STEP):
    found = measure_noise([noise_places(each, gamma) for each in pairs], gamma, step)
    assert found is not None
    return found


def deviation_at(found, level, image=0, channel=1):
    """Standard deviation in the image, if measured with gamma 1."""
    own = found.of_image(image)
    return 1.055 * np.interp(level, own.levels[channel], own.deviations[channel])


def along_rows(found, lag, channel=1):
    return found.noise.shared[MAX_LAG, MAX_LAG + lag, channel, channel]


@pytest.mark.parametrize("left", [0.0, 0.6])
@pytest.mark.parametrize(("kind", "neighbour", "farther"), [(white, 0.0, 0.0), (blurred, 0.94, 0.37)])
def test_strength_and_correlation_do_not_depend_on_noise_that_the_network_leaves(
    left, kind, neighbour, farther
):
    pairs = [pair(clean := scene(seed), kind(clean, seed), left) for seed in range(6)]
    found = measured(pairs)
    for level in (0.3, 0.5, 0.7):
        assert deviation_at(found, level) == pytest.approx(0.04, rel=0.12)
    assert along_rows(found, 1) == pytest.approx(neighbour, abs=0.05)
    assert along_rows(found, 4) == pytest.approx(farther, abs=0.15)
    assert abs(found.noise.shared[MAX_LAG, MAX_LAG, 0, 1]) < 0.1


@pytest.mark.parametrize("left", [0.0, 0.3])
def test_the_noise_is_compared_with_what_the_network_removed(left):
    places = [noise_places(pair(clean := scene(seed), white(clean, seed), left), 1.0) for seed in range(3)]
    assert noise_ratio(places) == pytest.approx((1 - left) ** -2, rel=0.05)


def test_each_image_has_its_own_strength():
    pairs = [
        pair(clean := scene(seed), white(clean, seed, sigma)) for seed, sigma in enumerate((0.02, 0.04, 0.08))
    ]
    found = measured(pairs)
    for image, sigma in enumerate((0.02, 0.04, 0.08)):
        assert deviation_at(found, 0.5, image) == pytest.approx(sigma, rel=0.12)


def test_strength_follows_brightness():
    pairs = []
    for seed in range(6):
        clean = scene(seed)
        pairs.append(pair(clean, white(clean, seed, 1) * np.float32(0.08) * np.sqrt(clean)))
    found = measured(pairs)
    for level in (0.3, 0.5, 0.7):
        assert deviation_at(found, level) == pytest.approx(0.08 * np.sqrt(level), rel=0.12)


def test_noise_shared_by_channels_is_correlated():
    pairs = []
    for seed in range(4):
        clean = scene(seed)
        pairs.append(pair(clean, np.repeat(white(clean[..., :1], seed), 3, axis=2)))
    assert measured(pairs).noise.shared[MAX_LAG, MAX_LAG, 0, 2] == pytest.approx(1, abs=0.02)


def test_stripes_are_correlated_in_one_direction_only():
    pairs = []
    for seed in range(4):
        clean = scene(seed)
        rows = white(clean[:, :1], seed)
        pairs.append(pair(clean, np.broadcast_to(rows, clean.shape).copy()))
    found = measured(pairs)
    assert along_rows(found, 12) > 0.9 and abs(found.noise.shared[MAX_LAG + 1, MAX_LAG, 1, 1]) < 0.12


def test_clipped_noise_is_measured_on_its_unclipped_side():
    pairs = [pair(clean := 0.2 * scene(seed) - 0.02, white(clean, seed, 0.06)) for seed in range(6)]
    found = measured(pairs)
    assert deviation_at(found, 0.06) == pytest.approx(0.06, rel=0.15)


def test_texture_everywhere_is_not_taken_for_noise():
    """Where no place is flat, the variance that the network removes is the upper bound."""
    pairs = []
    for seed in range(3):
        clean = scene(seed)
        texture = blurred(clean, 100 + seed, 0.1, 1.5)
        pairs.append(pair(clean + texture, white(clean, seed, 0.02)))
    assert deviation_at(measured(pairs), 0.5) < 0.025


def test_texture_everywhere_in_few_images_does_not_count_as_noise():
    texture = blurred(clean := np.full((256, 256, 3), 0.5, np.float32), 1, sigma=0.03)
    found = measured([pair(clean + texture, white(clean, 0))])
    assert deviation_at(found, 0.5) == pytest.approx(0.04, rel=0.1)
    assert abs(along_rows(found, 1)) < 0.05


@pytest.mark.parametrize("channels", [1, 5])
def test_any_number_of_channels(channels):
    pairs = []
    for seed in range(3):
        clean = np.repeat(scene(seed, channels=1), channels, axis=2)
        pairs.append(pair(clean, white(clean, seed), step=0.0))
    found = measured(pairs, step=0.0)
    assert found.noise.levels.shape[0] == channels and found.noise.shared.shape[2:] == (channels, channels)
    assert deviation_at(found, 0.5, channel=channels - 1) == pytest.approx(0.04, rel=0.12)


def test_grey_images_among_coloured_ones_count_as_equal_channels():
    pairs = [
        pair(clean := scene(seed, channels=channels), white(clean, seed))
        for seed, channels in enumerate((3, 1, 3, 1))
    ]
    found = measured(pairs)
    assert len(found.noise.levels) == 3 and len(found.strengths) == 4
    assert deviation_at(found, 0.5) == pytest.approx(0.04, rel=0.12)


def test_images_without_noise_or_places_give_none():
    flat, small = np.full((64, 64, 3), 0.5, np.float32), np.zeros((20, 20, 3), np.float32)
    for each in (pair(flat, 0 * flat), pair(small, white(small, 0))):
        assert measure_noise([noise_places(each, 1.0)], 1.0, STEP) is None


def test_simulated_noise_has_the_measured_strength_and_correlation():
    pairs = [pair(clean := scene(seed), blurred(clean, seed, 0.05, 1.0)) for seed in range(4)]
    found = measured(pairs)
    clean = scene(9)
    simulated = found.of_image(0).added_to(clean, 1.0, np.random.default_rng(0)) - clean
    assert simulated.std() == pytest.approx(0.05, rel=0.1)
    neighbours = (simulated[:, 1:] * simulated[:, :-1]).mean() / (simulated**2).mean()
    assert neighbours == pytest.approx(0.78, abs=0.06)
