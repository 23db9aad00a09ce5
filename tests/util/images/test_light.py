"""Linear light."""

import numpy as np
import pytest

from src.util.images.light import from_light, slope_of_light, to_light

GAMMAS = [1.0, 1.7, 2.2, 3.0]


@pytest.mark.parametrize("gamma", GAMMAS)
def test_light_is_invertible_also_outside_the_data_range(gamma):
    """Values below black come from corrections and from floating-point images."""
    values = np.linspace(-0.2, 1.3, 301, dtype=np.float32)
    light = to_light(values, gamma)
    assert (np.diff(light) > 0).all()
    np.testing.assert_allclose(from_light(light, gamma), values, atol=2e-6)
    assert light[values >= 1 - 1e-6][0] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_light_has_no_kink_at_black(gamma):
    """Otherwise noise around black would shift the mean in light."""
    step = np.float32(1e-3)
    below, black, above = to_light(np.array([-step, 0, step]), gamma)
    assert black - below == pytest.approx(above - black, rel=0.05)
    slope = slope_of_light(np.zeros(1), gamma)[0]
    assert (black - below) / step == pytest.approx(slope, rel=1e-3)
