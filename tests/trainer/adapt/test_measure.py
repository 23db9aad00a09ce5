"""Noise that is known is measured: its strength by brightness and image, its correlation, its light."""

import cv2
import numpy as np
import pytest

from src.data_handlers.datasets.generated import Generated
from src.data_handlers.datasets.measured_noise import MeasuredNoise
from src.trainer.adapt.measure import REACH, measure_noise, noise_places
from src.trainer.finish.strips import Pair

STEP = 1 / 255


def scene(seed, size=256, channels=3):
    """A clean image with shapes, textures, and flat places between them, not too near to black and white."""
    image = Generated(count=1, size=size, textured=0.1, dark=0).draw(0, np.random.default_rng(seed)).noisy
    flat = cv2.resize(
        np.random.default_rng(seed).random((4, 4, 3), np.float32), (size, size), interpolation=0
    )
    image = np.where(np.arange(size)[:, None, None] < size // 2, image / np.float32(255), flat)
    return np.ascontiguousarray(0.2 + 0.6 * image[..., :channels], np.float32)


def pair(clean, noise, left=0.0, step=STEP):
    """The image and what a network makes of it that leaves so much of the noise."""
    noisy = clean + noise
    if step:
        noisy = np.rint(noisy.clip(0, 1) / step).astype(np.float32) * np.float32(step)
    return Pair(noisy, clean + np.float32(left) * noise, 1.0, step)


def data_range(clean, seed, sigma=0.04):
    return np.float32(sigma) * np.random.default_rng(seed).standard_normal(clean.shape, np.float32)


def blurred(clean, seed, sigma=0.04, width=2.0):
    noise = cv2.GaussianBlur(data_range(clean, seed, 1), (0, 0), width)
    return np.float32(sigma) * noise / noise.std()


def measured(pairs, gamma=1.0, step=STEP):
    found = measure_noise([noise_places(each, gamma) for each in pairs], gamma, step)
    assert found is not None
    return found


def deviation_at(noise, level, image=0, channel=1):
    """In the image, for gamma 1."""
    curve = np.interp(level, noise.levels[channel], noise.deviations[channel])
    return 1.055 * curve * noise.strengths[image]


def along_rows(noise, lag, channel=1):
    return noise.shared[REACH, REACH + lag, channel, channel]


@pytest.mark.parametrize("left", [0.0, 0.6])
@pytest.mark.parametrize(("kind", "neighbour", "farther"), [(data_range, 0.0, 0.0), (blurred, 0.94, 0.37)])
def test_strength_and_correlation_are_those_of_the_noise_whatever_the_network_leaves(
    left, kind, neighbour, farther
):
    """What it takes off alone would be weaker and finer where it leaves a part."""
    pairs = [pair(clean := scene(seed), kind(clean, seed), left) for seed in range(6)]
    noise = measured(pairs)
    for level in (0.3, 0.5, 0.7):
        assert deviation_at(noise, level) == pytest.approx(0.04, rel=0.12)
    assert along_rows(noise, 1) == pytest.approx(neighbour, abs=0.05)
    assert along_rows(noise, 4) == pytest.approx(farther, abs=0.15)
    assert abs(noise.shared[REACH, REACH, 0, 1]) < 0.1


def test_each_image_has_its_own_strength():
    pairs = [
        pair(clean := scene(seed), data_range(clean, seed, sigma))
        for seed, sigma in enumerate((0.02, 0.04, 0.08))
    ]
    noise = measured(pairs)
    for image, sigma in enumerate((0.02, 0.04, 0.08)):
        assert deviation_at(noise, 0.5, image) == pytest.approx(sigma, rel=0.12)


def test_strength_follows_brightness():
    pairs = []
    for seed in range(6):
        clean = scene(seed)
        pairs.append(pair(clean, data_range(clean, seed, 1) * np.float32(0.08) * np.sqrt(clean)))
    noise = measured(pairs)
    for level in (0.3, 0.5, 0.7):
        assert deviation_at(noise, level) == pytest.approx(0.08 * np.sqrt(level), rel=0.12)


def test_channels_that_share_noise_are_told():
    pairs = []
    for seed in range(4):
        clean = scene(seed)
        pairs.append(pair(clean, np.repeat(data_range(clean[..., :1], seed), 3, axis=2)))
    assert measured(pairs).shared[REACH, REACH, 0, 2] == pytest.approx(1, abs=0.02)


def test_stripes_are_long_in_one_direction_only():
    pairs = []
    for seed in range(4):
        clean = scene(seed)
        rows = data_range(clean[:, :1], seed)
        pairs.append(pair(clean, np.broadcast_to(rows, clean.shape).copy()))
    noise = measured(pairs)
    assert along_rows(noise, 12) > 0.9 and abs(noise.shared[REACH + 1, REACH, 1, 1]) < 0.12


def test_clipped_noise_is_measured_by_its_other_side():
    pairs = [pair(clean := 0.2 * scene(seed) - 0.02, data_range(clean, seed, 0.06)) for seed in range(6)]
    noise = measured(pairs)
    assert deviation_at(noise, 0.06) == pytest.approx(0.06, rel=0.15)


def test_texture_everywhere_is_not_taken_for_noise():
    """What the network takes off bounds it, where no place is flat."""
    pairs = []
    for seed in range(3):
        clean = scene(seed)
        texture = blurred(clean, 100 + seed, 0.1, 1.5)
        pairs.append(pair(clean + texture, data_range(clean, seed, 0.02)))
    assert deviation_at(measured(pairs), 0.5) < 0.025


@pytest.mark.parametrize("channels", [1, 5])
def test_any_number_of_channels(channels):
    pairs = []
    for seed in range(3):
        clean = np.repeat(scene(seed, channels=1), channels, axis=2)
        pairs.append(pair(clean, data_range(clean, seed), step=0.0))
    noise = measured(pairs, step=0.0)
    assert noise.levels.shape[0] == channels and noise.shared.shape[2:] == (channels, channels)
    assert deviation_at(noise, 0.5, channel=channels - 1) == pytest.approx(0.04, rel=0.12)


def test_grey_images_among_coloured_ones_count_as_equal_channels():
    pairs = [
        pair(clean := scene(seed, channels=channels), data_range(clean, seed))
        for seed, channels in enumerate((3, 1, 3, 1))
    ]
    noise = measured(pairs)
    assert len(noise.levels) == 3 and len(noise.strengths) == 4
    assert deviation_at(noise, 0.5) == pytest.approx(0.04, rel=0.12)


def test_without_noise_or_places_nothing_is_said():
    flat, small = np.full((64, 64, 3), 0.5, np.float32), np.zeros((20, 20, 3), np.float32)
    for each in (pair(flat, 0 * flat), pair(small, data_range(small, 0))):
        assert measure_noise([noise_places(each, 1.0)], 1.0, STEP) is None


def test_what_was_measured_makes_such_noise():
    pairs = [pair(clean := scene(seed), blurred(clean, seed, 0.05, 1.0)) for seed in range(4)]
    noise = measured(pairs)
    assert isinstance(noise, MeasuredNoise)
    clean = scene(9)
    again = noise.added_to(clean, float(noise.strengths[0]), np.random.default_rng(0)) - clean
    assert again.std() == pytest.approx(0.05, rel=0.1)
    neighbours = (again[:, 1:] * again[:, :-1]).mean() / (again**2).mean()
    assert neighbours == pytest.approx(0.78, abs=0.06)
