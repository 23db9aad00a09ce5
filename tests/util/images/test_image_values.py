"""Conversion of images to float tensors and back: no value wraps, is lost or is changed in place."""

import numpy as np
import pytest
import torch

from src.util.errors import DataError, NonFiniteError
from src.util.images.io import as_channels, to_float, to_uint8

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize("kind", [np.float32, np.float64, torch.float32, torch.bfloat16])
def test_f9_values_outside_are_clipped_not_wrapped(kind):
    values = [[[1.02, -0.3, 0.0, 1.0]]]
    made = torch.tensor(values, dtype=kind) if isinstance(kind, torch.dtype) else np.array(values, kind)
    assert to_uint8(made)[0, :, 0].tolist() == [255, 0, 0, 255]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_f10_a_non_finite_value_is_refused(value):
    with pytest.raises(NonFiniteError, match="1 of an image's 4 values"):
        to_uint8(torch.tensor([[[0.5, value], [0, 1]]]))


def test_f11_inputs_are_not_changed():
    values = torch.rand(3, 4, 5)
    before = values.clone()
    to_uint8(values)
    assert torch.equal(values, before)
    for image in (to_uint8(values), np.ones((4, 4, 1), np.float32)):
        kept = image.copy()
        to_float(image).zero_()
        assert np.array_equal(image, kept)


def test_values_are_rounded_to_nearest():
    assert to_uint8(np.array([[[0.49, 0.51, 254.51]]]) / 255).ravel().tolist() == [0, 1, 255]


def test_every_grey_level_survives_a_round_trip():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    assert np.array_equal(to_uint8(to_float(levels)), levels)


def test_e18_to_float_takes_grey_and_colour(rgb):
    for image in (rgb, rgb[..., :1], rgb[::-1, ::2]):
        values = to_float(image)
        assert values.shape == (image.shape[2], *image.shape[:2])
        assert values.dtype == torch.float32
        assert values[0, 1, 2] == pytest.approx(image[1, 2, 0] / 255)
        assert np.array_equal(to_uint8(values), image)


def test_to_uint8_refuses_other_arrays():
    for wrong in (np.zeros((4, 4)), np.zeros((1, 4, 4), int)):
        with pytest.raises(ValueError, match="floating point"):
            to_uint8(wrong)


def test_grey_is_repeated_to_equal_channels_and_colour_is_never_made_grey(rgb):
    grey = rgb[..., :1]
    assert as_channels(rgb, 3) is rgb
    assert np.array_equal(as_channels(grey, 3), np.dstack([grey] * 3))
    with pytest.raises(DataError, match="in_channels: 1"):
        as_channels(rgb, 1)
