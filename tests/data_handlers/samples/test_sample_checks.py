"""Checks of images before the first step."""

import warnings

import pytest
import torch

from src.data_handlers.datasets.noise import NoiseOptions
from src.data_handlers.samples.checks import check_images
from src.util.errors import DataError
from src.util.images.io import ImageWarning
from tests.data_handlers.conftest import make_samples


def test_d1_images_smaller_than_the_crop_are_all_named_before_the_first_step(memory, coordinates):
    source = memory([coordinates(*size) for size in ((64, 64), (63, 80), (80, 20))])
    with pytest.raises(DataError) as caught:
        check_images(make_samples(source, crop_size=64))
    first, second = str(caught.value).splitlines()
    assert "image 1: 63x80 px are less than crop_size 64x64" in first
    assert "image 2: 80x20" in second


def test_d7_every_broken_image_is_named_at_once(memory, coordinates):
    source = memory([coordinates(20, 20)] * 4, broken=(1, 3))
    with pytest.raises(DataError) as caught:
        check_images(make_samples(source))
    assert str(caught.value).splitlines() == ["image 1: broken", "image 3: broken"]
    assert check_images(make_samples(source, n_data=1)) == 3


def test_d18_images_of_different_sizes_need_a_crop_for_batches(memory, coordinates):
    mixed = memory([coordinates(20, 20), coordinates(20, 30)])
    with pytest.raises(DataError, match=r"^crop_size: .*20x20.*20x30"):
        check_images(make_samples(mixed), batch_size=2)
    assert check_images(make_samples(mixed), batch_size=1) == 3
    assert check_images(make_samples(mixed, crop_size=16), batch_size=2) == 3


def test_d4_whole_images_that_are_rotated_must_be_square_for_batches(memory, coordinates):
    oblong = memory([coordinates(20, 30)] * 2)
    with pytest.raises(DataError, match="crop_size"):
        check_images(make_samples(oblong, augmentations="rotate"), batch_size=2)
    assert check_images(make_samples(oblong, augmentations="flip"), batch_size=2) == 3


# Channels


def test_d8_grey_for_a_colour_network_becomes_equal_channels_with_a_warning(memory, coordinates):
    source = memory([coordinates(20, 20), coordinates(20, 20, channels=1)])
    samples = make_samples(source, add_noise=NoiseOptions())
    with pytest.warns(
        ImageWarning, match="3 equal channels in 1 of 2 images, first memory: image 1"
    ) as warned:
        assert check_images(samples) == 3
    # A file that another test left open may be collected here, with a warning of its own.
    assert [each.category for each in warned].count(ImageWarning) == 1
    sample = samples[1, 1]
    assert sample["noisy"].shape == (3, 20, 20)
    assert torch.equal(sample["noisy"][0], sample["noisy"][2])


def test_d8_colour_for_a_grey_network_is_rejected(memory, coordinates):
    source = memory([coordinates(20, 20, channels=1)] + [coordinates(20, 20)] * 2)
    with pytest.raises(DataError, match=r"image 1: .*in_channels: 1.*2 of 3 images"):
        check_images(make_samples(source, channels=1))


def test_grey_for_a_grey_network_has_no_warning(memory, coordinates):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_images(make_samples(memory([coordinates(20, 20, channels=1)]), channels=1)) == 1
