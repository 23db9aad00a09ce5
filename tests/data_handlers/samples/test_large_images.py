import math
import warnings

import numpy as np
import pytest
import torch

from src.data_handlers.datasets.base import Image
from src.data_handlers.datasets.noise import NoiseOptions
from src.data_handlers.loading.sampling import EpochSampler, build_loader
from src.data_handlers.samples import samples as samples_module
from src.data_handlers.samples.checks import check_images
from src.data_handlers.samples.view import View
from src.util.images.io import ImageWarning
from tests.data_handlers.conftest import make_samples


def order(count, images, together, epoch=1):
    sampler = EpochSampler(count, 0, True, images, together)
    sampler.set_epoch(epoch)
    return [index for _, index in sampler]


# Order


def test_crops_of_an_image_are_consecutive_in_an_order_that_depends_on_seed_and_epoch():
    indices = order(6 * 8, images=6, together=4)
    assert sorted(indices) == list(range(48))
    visits = [[i % 6 for i in indices[start : start + 4]] for start in range(0, 48, 4)]
    assert all(len(set(visit)) == 1 for visit in visits)
    assert sorted(visit[0] for visit in visits) == sorted([*range(6)] * 2)
    assert [visit[0] for visit in visits] != sorted(visit[0] for visit in visits)
    assert indices == order(48, 6, 4) != order(48, 6, 4, epoch=2)


@pytest.mark.parametrize(("repeats", "together"), [(1, 1), (3, 1), (5, 2), (2, 16)])
def test_all_crops_occur_once_if_visits_do_not_fill_an_epoch(repeats, together):
    indices = order(7 * repeats, 7, together)
    assert sorted(indices) == list(range(7 * repeats))


def test_one_crop_at_a_time_is_the_normal_order():
    plain = EpochSampler(21, 0, True)
    assert order(21, 7, 1, epoch=0) == [index for _, index in plain]


# Decoding


class Counting:
    def __init__(self, source):
        self.source, self.reads = source, []
        self.where, self.name, self.inspect = source.where, source.name, source.inspect

    def __len__(self):
        return len(self.source)

    def read(self, number):
        self.reads.append(number)
        return self.source.read(number)


@pytest.mark.parametrize(("together", "reads"), [(4, 6), (8, 3)])
def test_an_image_too_large_for_the_cache_is_decoded_once_per_visit(
    memory, coordinates, monkeypatch, together, reads
):
    monkeypatch.setattr(samples_module, "CACHE_BYTES", 0)
    source = Counting(memory([coordinates(40, 40)] * 3))
    samples = make_samples(source, crop_size=16, repeat_times=8, crops_at_a_time=together)
    batches = list(build_loader(samples, 8))
    assert len(batches) == 3
    assert 3 <= len(source.reads) <= reads  # fewer if, by chance, consecutive visits are to the same image
    assert len(samples._cache) == 0


def test_the_latest_image_has_the_noise_of_its_epoch(memory, coordinates, monkeypatch):
    monkeypatch.setattr(samples_module, "CACHE_BYTES", 0)
    samples = make_samples(memory([coordinates(20, 20)] * 2), add_noise=NoiseOptions(), repeat_times=2)
    first, again, other_epoch = samples[1, 0]["noisy"], samples[1, 2]["noisy"], samples[2, 0]["noisy"]
    assert torch.equal(first, again) and not torch.equal(first, other_epoch)
    assert torch.equal(samples[1, 0]["noisy"], first)


# Sources that read parts


class Parts:
    """A source that cannot read whole images."""

    where = "parts"

    def __init__(self, source):
        self.source, self.name, self.inspect, self.origin = source, source.name, source.inspect, source.origin

    def __len__(self):
        return len(self.source)

    def read(self, number):
        raise AssertionError("read as a whole")

    def read_crop(self, number, box):
        return self.source.read(number).crop(box)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("crop", [(12, 12), None])
def test_a_part_is_the_same_sample_as_a_crop_of_the_whole_image(memory, coordinates, training, crop):
    whole = memory([coordinates(40, 50, channels=1), coordinates(30, 20)])
    for index in range(2):
        options = {"crop_size": crop, "augmentations": ["flip", "rotate"]}
        one, other = (
            make_samples(source, training, **options)[3, index]["noisy"] for source in (whole, Parts(whole))
        )
        assert one.shape[0] == 3 and torch.equal(one, other)


def test_noise_is_drawn_for_the_whole_image_of_any_source(memory):
    class Both(Parts):
        def read(self, number):
            return self.source.read(number)

    source = memory([np.full((40, 50, 3), 99, np.uint8)])
    one, other = (
        make_samples(s, crop_size=12, add_noise=NoiseOptions())[1, 0]["noisy"] for s in (source, Both(source))
    )
    assert torch.equal(one, other)


# Advice


@pytest.mark.parametrize(
    ("changes", "has_advice"),
    [
        ({}, True),
        ({"crops_at_a_time": 4}, False),
        ({"cache": "disk"}, False),
        ({"crop_size": 60}, False),
        ({"crop_size": None}, False),
        ({"training": False}, False),
        ({"room": math.inf}, False),
    ],
)
def test_advice_for_large_images(memory, coordinates, monkeypatch, changes, has_advice):
    monkeypatch.setattr(samples_module, "CACHE_BYTES", changes.pop("room", 1000))
    options = {"crop_size": 16, "repeat_times": 4} | changes
    samples = make_samples(memory([coordinates(100, 100)]), **options)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        check_images(samples)
    assert ["crops_at_a_time: 16" in str(w.message) for w in found] == [True] * has_advice
    assert all(w.category is ImageWarning for w in found)


def test_sources_that_read_parts_need_no_advice(memory, coordinates, monkeypatch):
    monkeypatch.setattr(samples_module, "CACHE_BYTES", 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_images(make_samples(Parts(memory([coordinates(100, 100)])), crop_size=16))


def test_a_crop_is_a_box_of_the_image(coordinates):
    box = View(crop_size=(5, 7)).random_box((40, 50), 0, 1, 2)
    part = Image("a", coordinates(40, 50)).crop(box)
    assert part.shape == (5, 7)
    assert tuple(part.noisy[0, 0, :2]) == (box.top, box.left)
