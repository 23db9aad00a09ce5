import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, uniform_filter1d

from src.trainer.report.residual import MAX_LAG, RESIDUAL_GAIN, amplified, autocorrelation


def noise(height=256, width=256, channels=3):
    return np.random.default_rng(0).normal(0, 0.1, (height, width, channels)).astype(np.float32)


def test_a_residual_is_shown_around_mid_grey():
    residual = np.array([[[0.0], [0.02], [-0.02], [1.0], [-1.0]]])
    gain = 0.02 * RESIDUAL_GAIN
    assert amplified(residual).ravel() == pytest.approx([0.5, 0.5 + gain, 0.5 - gain, 1, 0])


def test_the_autocorrelation_of_four_pixels_by_hand():
    # 1 3 2 6 less its mean of 3 is -2 0 -1 3: the squares' mean is 14 / 4.
    found = autocorrelation(np.array([1.0, 3.0, 2.0, 6.0]).reshape(1, 4, 1))
    variance = 14 / 4
    assert found.rows[:4] == pytest.approx([1, -3 / 3 / variance, 2 / 2 / variance, -6 / variance])
    assert all(map(math.isnan, found.rows[4:]))
    assert found.columns[0] == 1 and all(map(math.isnan, found.columns[1:]))
    turned = autocorrelation(np.array([1.0, 3.0, 2.0, 6.0]).reshape(4, 1, 1))
    assert turned.columns == pytest.approx(found.rows, nan_ok=True)


def test_white_noise_gives_a_single_peak():
    found = autocorrelation(noise())
    for along in found:
        assert along[0] == pytest.approx(1, abs=1e-5)
        assert np.abs(along[1:]).max() < 0.02


def test_blurred_noise_gives_a_peak_as_wide_as_the_blur():
    # A Gaussian of sigma s makes noise with the autocorrelation exp(-lag^2 / 4 s^2).
    found = autocorrelation(gaussian_filter(noise(512, 512), (1.5, 1.5, 0), mode="wrap"))
    expected = np.exp(-(np.arange(MAX_LAG + 1) ** 2) / (4 * 1.5**2))
    for along in found:
        assert along == pytest.approx(expected, abs=0.05)


def test_rows_and_columns_are_distinguished():
    # A running mean of 4 px along the rows: a triangle that ends at a lag of 4.
    found = autocorrelation(uniform_filter1d(noise(512, 512), 4, axis=1, mode="wrap"))
    assert found.rows[:5] == pytest.approx([1, 0.75, 0.5, 0.25, 0], abs=0.03)
    assert np.abs(found.columns[1:]).max() < 0.03


def test_lost_signal_stays_in_the_residual():
    stripes = 0.1 * np.sin(2 * np.pi * np.arange(256) / 8)[None, :, None]
    found = autocorrelation(noise() + stripes.astype(np.float32))
    assert found.rows[8] > 0.25 and found.rows[4] < -0.25
    assert min(found.columns) > 0.25


def test_channel_means_do_not_count():
    assert autocorrelation(noise() + np.float32([0.3, -0.2, 0.1])).rows[5] == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("value", [0, 0.1, -1])
@pytest.mark.parametrize("shape", [(1, 1, 3), (20, 30, 1)])
def test_a_constant_residual_has_no_autocorrelation(value, shape):
    found = autocorrelation(np.full(shape, value, np.float32))
    assert all(map(math.isnan, found.rows + found.columns))
    assert len(found.rows) == len(found.columns) == MAX_LAG + 1


def test_the_residual_is_not_modified():
    residual = noise(16, 16)
    before = residual.copy()
    autocorrelation(residual)
    amplified(residual)
    assert np.array_equal(residual, before)


def test_pairs_with_a_nan_do_not_count():
    residual = np.random.default_rng(0).normal(size=(60, 50, 2))
    residual[1:] += residual[:-1]
    holed = np.concatenate([residual, np.full((7, 50, 2), np.nan)])
    for found, expected in zip(autocorrelation(holed), autocorrelation(residual), strict=True):
        assert found == pytest.approx(expected, abs=1e-5)
    assert all(map(math.isnan, autocorrelation(holed * np.nan).rows))
