"""`Adapted` draws crops with real and with measured noise."""

import numpy as np
import pytest

from src.data_handlers.datasets.adapted import Adapted, Shares, Target, Targets
from src.data_handlers.datasets.measured_noise import MeasuredNoise

LEVELS = (0.25, 0.75)
"""Values of the two targets."""
DEVIATIONS = (0.01, 0.04)
"""Standard deviation of the noise of each."""


def noise(deviation):
    shared = np.zeros((3, 3, 3, 3), np.float32)
    shared[1, 1] = np.eye(3)
    return MeasuredNoise(
        1.0, np.full((3, 1), 0.5, np.float32), np.full((3, 1), deviation, np.float32), shared, 0.0
    )


def crops(real, own, measured=True, half=0.0, coarse=0.0):
    """Draw crops of two flat images, whose real noise is -0.1 everywhere."""
    images = []
    for level in LEVELS:
        target = np.full((64, 64, 3), level, np.float32)
        images.append(Target(f"{level}", target - np.float32(0.1), target))
    targets = Targets(images, [noise(each) for each in DEVIATIONS] if measured else None)
    source = Adapted(targets, 40, 32, Shares(real, own, half, coarse))
    return [source.draw(number, np.random.default_rng(number)) for number in range(40)]


def test_each_target_gets_the_noise_of_its_image():
    drawn = crops(real=0, own=1)
    assert {float(crop.clean.mean()) for crop in drawn} == set(LEVELS)
    for level, deviation in zip(LEVELS, DEVIATIONS, strict=True):
        found = [(crop.noisy - crop.clean).std() for crop in drawn if crop.clean.mean() == level]
        assert np.mean(found) == pytest.approx(1.055 * deviation, rel=0.15)  # the slope of light
        assert 0.05 < np.std(found) / np.mean(found) < 0.3  # strengths vary


def test_generated_images_get_the_noise_of_all_images():
    drawn = crops(real=0, own=0)
    found = sorted(float((crop.noisy - crop.clean).std()) for crop in drawn)
    assert found[0] < 0.015 and found[-1] > 0.03
    assert len({float(crop.clean.mean()) for crop in drawn}) == len(drawn)


def test_shares_of_real_noise_targets_and_generated_images():
    drawn = crops(real=0.5, own=0.25)
    real = [np.ptp(crop.noisy - crop.clean) < 1e-6 for crop in drawn]
    own = [float(crop.clean.mean()) in LEVELS for crop in drawn]
    assert 12 <= sum(real) <= 28 and 18 <= sum(own) <= 38 and sum(own) > sum(real)


def test_without_measured_noise_all_crops_are_real():
    assert all(np.ptp(crop.noisy - crop.clean) < 1e-6 for crop in crops(real=0, own=0, measured=False))


def test_crops_of_half_the_size_have_half_the_noise():
    """White noise: means over 2x2 px."""
    whole, half = crops(real=0, own=1), crops(real=0, own=1, half=1)
    spreads = [np.mean([(crop.noisy - crop.clean).std() for crop in drawn]) for drawn in (whole, half)]
    assert spreads[1] == pytest.approx(spreads[0] / 2, rel=0.1)
    assert all(crop.noisy.shape == crop.clean.shape == (32, 32, 3) for crop in half)
    assert all(np.ptp(crop.noisy - crop.clean) < 1e-6 for crop in crops(real=1, own=0, half=1))


def test_the_share_of_crops_of_half_the_size():
    spread = [float((crop.noisy - crop.clean).std()) for crop in crops(real=0, own=1, half=0.5)]
    weak = [each < 0.008 or 0.015 < each < 0.03 for each in spread]  # half of a deviation of LEVELS' noises
    assert 12 <= sum(weak) <= 28


@pytest.mark.parametrize(("coarse", "expected"), [(0.01, 40), (0.1, 20), (1.0, 0)])
def test_the_stronger_the_noise_the_more_crops_of_half_the_size(coarse, expected):
    """The images differ from their targets by 0.1: at `coarse` 0.1, half of the crops."""
    spread = [float((crop.noisy - crop.clean).std()) for crop in crops(0, 1, half=1, coarse=coarse)]
    weak = [each < 0.008 or 0.015 < each < 0.03 for each in spread]
    assert abs(sum(weak) - expected) <= 8


def test_half_of_the_targets_crops_are_of_the_target_at_half_its_size():
    """A checkerboard of single pixels is flat at half the size; its noise stays that of the whole size."""
    board = np.float32(0.4 + 0.2 * (np.indices((64, 64)).sum(0) % 2))[..., None].repeat(3, axis=2)
    source = Adapted(Targets([Target("a", board, board)], [noise(0.04)]), 40, 32, Shares(0, 1))
    drawn = [source.draw(number, np.random.default_rng(number)) for number in range(40)]
    flat = [crop.clean.std() < 0.01 for crop in drawn]
    assert 12 <= sum(flat) <= 28
    assert np.mean([(crop.noisy - crop.clean).std() for crop in drawn]) == pytest.approx(0.042, rel=0.15)


def test_generated_images_of_half_the_size():
    found = sorted(float((crop.noisy - crop.clean).std()) for crop in crops(real=0, own=0, half=1))
    assert found[0] < 0.008 and 0.015 < found[-1] < 0.035


def test_small_images_are_not_drawn_at_half_the_size():
    small = np.full((40, 64, 3), 0.5, np.float32)
    source = Adapted(Targets([Target("a", small, small)], [noise(0.04)]), 1, 32, Shares(0, 1, 1))
    drawn = [source.draw(number, np.random.default_rng(number)) for number in range(10)]
    assert np.mean([(crop.noisy - crop.clean).std() for crop in drawn]) > 0.03
