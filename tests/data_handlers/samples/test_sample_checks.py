"""What images are refused, or said of them, before the first step."""

import warnings

import pytest
import torch

from src.data_handlers.datasets.noise import NoiseOptions
from src.util.errors import DataError
from src.util.images.io import ImageWarning
from tests.data_handlers.conftest import seen


def test_d1_images_smaller_than_the_crop_are_all_named_before_the_first_step(memory, make_places):
    source = memory([make_places(*size) for size in ((64, 64), (63, 80), (80, 20))])
    with pytest.raises(DataError) as caught:
        seen(source, crop_size=64).check()
    first, second = str(caught.value).splitlines()
    assert "image 1: 63x80 px are less than crop_size 64x64" in first
    assert "image 2: 80x20" in second


def test_d7_every_broken_image_is_named_at_once(memory, make_places):
    source = memory([make_places(20, 20)] * 4, broken=(1, 3))
    with pytest.raises(DataError) as caught:
        seen(source).check()
    assert str(caught.value).splitlines() == ["image 1: broken", "image 3: broken"]
    assert seen(source, n_data=1).check() == 3


def test_d18_images_of_several_sizes_need_a_crop_to_be_stacked(memory, make_places):
    mixed = memory([make_places(20, 20), make_places(20, 30)])
    with pytest.raises(DataError, match=r"^crop_size: expected one.*20x20.*20x30"):
        seen(mixed).check(batch_size=2)
    assert seen(mixed).check(batch_size=1) == 3
    assert seen(mixed, crop_size=16).check(batch_size=2) == 3


def test_d4_whole_images_that_are_turned_must_be_square_to_be_stacked(memory, make_places):
    oblong = memory([make_places(20, 30)] * 2)
    with pytest.raises(DataError, match="crop_size"):
        seen(oblong, augmentations="rotate").check(batch_size=2)
    assert seen(oblong, augmentations="flip").check(batch_size=2) == 3


# Channels


def test_d8_grey_in_a_colour_network_becomes_equal_channels_and_is_said(memory, make_places):
    source = memory([make_places(20, 20), make_places(20, 20, channels=1)])
    samples = seen(source, add_noise=NoiseOptions())
    with pytest.warns(ImageWarning, match="3 equal channels in 1 of 2 images, first memory: image 1") as told:
        assert samples.check() == 3
    assert len(told) == 1
    sample = samples[1, 1]
    assert sample["noisy"].shape == (3, 20, 20)
    assert torch.equal(sample["noisy"][0], sample["noisy"][2])


def test_d8_colour_in_a_grey_network_is_refused(memory, make_places):
    source = memory([make_places(20, 20, channels=1)] + [make_places(20, 20)] * 2)
    with pytest.raises(DataError, match=r"image 1: .*in_channels: 1.*2 of 3 images"):
        seen(source, channels=1).check()


def test_grey_images_in_a_grey_network_are_taken_silently(memory, make_places):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert seen(memory([make_places(20, 20, channels=1)]), channels=1).check() == 1
