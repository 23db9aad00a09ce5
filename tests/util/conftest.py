"""An image that the tests of images share."""

import numpy as np
import pytest


@pytest.fixture
def rgb():
    return np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
