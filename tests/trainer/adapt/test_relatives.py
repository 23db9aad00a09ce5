"""`noise_of_each` finds the noise of each image among images with similar noise."""

import numpy as np
import pytest

from src.trainer.adapt.measure import MAX_LAG, measure_noise, noise_places
from src.trainer.adapt.relatives import RELATIVES, noise_of_each
from tests.trainer.adapt.test_measure import STEP, blurred, pair, scene, white


def noises_of(pairs):
    return noise_of_each([noise_places(each, 1.0) for each in pairs], 1.0, STEP)


def neighbour(noise):
    """Correlation with the right neighbour, and the deviation at mid grey."""
    deviation = 1.055 * np.interp(0.5, noise.levels[0], noise.deviations[0])
    return float(noise.shared[MAX_LAG, MAX_LAG + 1, 0, 0]), float(deviation)


def from_two_cameras(channels=(3,)):
    for seed in range(2 * RELATIVES):
        clean = scene(seed, channels=channels[seed % len(channels)])
        yield pair(clean, white(clean, seed, 0.03) if seed % 2 else blurred(clean, seed, 0.05))


def test_each_camera_has_its_own_noise():
    for number, noise in enumerate(noises_of(list(from_two_cameras()))):
        expected = (0.0, 0.03) if number % 2 else (0.94, 0.05)
        assert neighbour(noise) == pytest.approx(expected, abs=0.06)


def test_texture_in_one_image_does_not_count_as_its_noise():
    """The network removes the stripes, so the image looks flat."""
    pairs = [pair(clean := scene(seed), white(clean, seed)) for seed in range(2 * RELATIVES)]
    stripes = np.float32(0.04) * np.sin(np.arange(256, dtype=np.float32))[:, None, None]
    pairs[3] = pair(clean := scene(3), white(clean, 3) + stripes)
    correlations = [noise.shared[MAX_LAG + 6, MAX_LAG, 0, 0] for noise in noises_of(pairs)]
    alone = noises_of(pairs[3:4])[0].shared[MAX_LAG + 6, MAX_LAG, 0, 0]
    assert alone > 0.25 and max(map(abs, correlations)) < 0.5 * alone


def test_an_image_that_is_flat_nowhere_has_the_correlation_of_all():
    pairs = [pair(clean := scene(seed), white(clean, seed)) for seed in range(RELATIVES + 2)]
    clean = np.full((256, 256, 3), 0.5, np.float32)
    pairs.append(pair(clean + blurred(clean, 1), white(clean, 0)))
    places = [noise_places(each, 1.0) for each in pairs]
    of_all = measure_noise(places, 1.0, STEP).noise.shared
    *others, last = noise_of_each(places, 1.0, STEP)
    assert np.array_equal(last.shared, of_all)
    assert not any(np.array_equal(other.shared, of_all) for other in others)


def test_few_images_share_one_correlation():
    first, *others = noises_of(list(from_two_cameras())[:4])
    assert all(np.array_equal(first.shared, other.shared) for other in others)


def test_grey_and_coloured_images_can_be_relatives():
    noises = noises_of(list(from_two_cameras((3, 3, 1))))
    assert all(len(noise.levels) == 3 for noise in noises)
    assert neighbour(noises[2]) == pytest.approx((0.94, 0.05), abs=0.06)


def test_copies_of_one_image_are_measured():
    pairs = [pair(clean := scene(0), white(clean, 0))] * (RELATIVES + 2)
    assert neighbour(noises_of(pairs)[-1]) == pytest.approx((0, 0.04), abs=0.05)


def test_nothing_is_measured_without_places():
    clean = np.full((64, 64, 3), 0.5, np.float32)
    assert noises_of([pair(clean, np.zeros_like(clean))] * 2) == []
