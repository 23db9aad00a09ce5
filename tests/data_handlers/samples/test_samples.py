"""Samples: crops, augmentations and noise, which depend only on seed, epoch and index."""

import pickle
from collections import Counter

import numpy as np
import pytest
import torch

from src.data_handlers.datasets.noise import NoiseOptions
from src.data_handlers.samples.checks import check_images
from src.data_handlers.samples.view import View
from src.util.errors import DataError
from tests.data_handlers.conftest import make_samples


@pytest.fixture
def pair(memory, coordinates):
    """A source whose noisy values are coordinates, and whose clean values differ by 9 in blue."""
    noisy = [coordinates(40, 50)]
    clean = [noisy[0] + np.array([0, 0, 9], np.uint8)]
    return memory(noisy, clean)


def levels(values):
    return (values * 255).round().int()


# Crops


def test_a_sample_has_the_documented_entries(pair):
    sample = make_samples(pair, crop_size=16)[1, 0]
    assert set(sample) == {"noisy", "clean", "index", "name"}
    assert sample["noisy"].shape == sample["clean"].shape == (3, 16, 16)
    assert sample["noisy"].dtype == torch.float32
    assert (sample["index"], sample["name"]) == (0, "image 0")
    assert sample["noisy"].is_contiguous()


def test_without_ground_truth_there_is_no_clean(memory, coordinates):
    assert "clean" not in make_samples(memory([coordinates(20, 20)]))[1, 0]


def test_d1_a_crop_as_large_as_the_image_works(pair):
    sample = make_samples(pair, crop_size=(40, 50))[1, 0]
    assert torch.equal(levels(sample["noisy"])[0, :, 0], torch.arange(40).int())


def test_d2_all_positions_of_a_crop_occur(memory, coordinates):
    samples = make_samples(memory([coordinates(18, 20)]), crop_size=(16, 17))
    corners = {tuple(levels(samples[epoch, 0]["noisy"])[:2, 0, 0].tolist()) for epoch in range(300)}
    assert corners == {(row, column) for row in range(3) for column in range(4)}


def test_a_crop_of_two_edges_is_height_and_width(pair):
    assert make_samples(pair, crop_size=[10, 30])[1, 0]["noisy"].shape == (3, 10, 30)


# Flip and rotate


def test_d3_noisy_and_clean_get_the_same_crop_flip_and_rotation(pair):
    samples = make_samples(pair, crop_size=12, augmentations=["flip", "rotate"])
    for epoch in range(50):
        sample = samples[epoch, 0]
        difference = levels(sample["clean"]) - levels(sample["noisy"])
        assert difference[:2].abs().max() == 0
        assert (difference[2] == 9).all()


def orientations(samples, count):
    """Count the orientations of a square, which two of its corners identify."""
    corners = [levels(samples[epoch, 0]["noisy"])[:2] for epoch in range(count)]
    return Counter((*c[:, 0, 0].tolist(), *c[:, 0, -1].tolist()) for c in corners)


@pytest.mark.parametrize(
    ("augmentations", "kinds"), [(None, 1), (["flip"], 4), (["rotate"], 4), (["flip", "rotate"], 8)]
)
def test_all_flips_and_rotations_occur_equally_often(memory, coordinates, augmentations, kinds):
    counts = orientations(make_samples(memory([coordinates(6, 6)]), augmentations=augmentations), 400)
    assert len(counts) == kinds
    assert min(counts.values()) > 400 / kinds * 0.6


def test_d4_rotate_needs_a_square_crop():
    with pytest.raises(
        ValueError, match=r"^augmentations: `rotate` needs a square crop_size, got \[32, 48\]"
    ):
        View(crop_size=(32, 48), augmentations="rotate")
    View(crop_size=(32, 48), augmentations="flip")


def test_d5_a_single_augmentation_may_be_a_string():
    assert View(augmentations="flip").augmentations == ("flip",)
    with pytest.raises(ValueError, match=r"^augmentations: expected `flip` or `rotate`, got 'f'"):
        View(augmentations=["f"])


# Number of images and crops


def test_d6_n_data_above_the_number_of_images_is_rejected(pair):
    with pytest.raises(DataError, match="n_data: 3 images asked for, memory has 1"):
        make_samples(pair, n_data=3)


@pytest.mark.parametrize("images", [1, 7, 3000])
def test_without_repeat_times_an_epoch_has_enough_crops(images, memory, coordinates):
    samples = make_samples(memory([coordinates(8, 8)] * images), repeat_times=None)
    assert len(samples) % images == 0
    assert 2880 <= len(samples) < 2880 + images or len(samples) == images >= 2880


def test_n_data_uses_the_first_images_and_repeat_times_gives_different_crops(memory, coordinates):
    samples = make_samples(memory([coordinates(40, 40)] * 3), crop_size=8, n_data=2, repeat_times=5)
    assert len(samples) == 10
    assert [samples[0, i]["name"] for i in range(10)] == ["image 0", "image 1"] * 5
    assert len({levels(samples[0, i]["noisy"]).sum().item() for i in range(10)}) > 5


def test_t6_an_empty_source_is_rejected(memory):
    with pytest.raises(DataError, match="no images"):
        make_samples(memory([]))


# Randomness


def test_a_sample_depends_only_on_seed_epoch_and_index(pair):
    options = {"crop_size": 8, "augmentations": ["flip", "rotate"], "repeat_times": 9}
    options["add_noise"] = NoiseOptions()
    one, two = make_samples(pair, **options), make_samples(pair, **options)
    order = [(e, i) for e in range(3) for i in range(9)]
    expected = {key: one[key]["noisy"] for key in order}
    torch.manual_seed(5)
    assert all(torch.equal(two[key]["noisy"], expected[key]) for key in reversed(order))
    assert len({values.sum().item() for values in expected.values()}) == len(order)
    assert not torch.equal(make_samples(pair, seed=1, **options)[0, 0]["noisy"], expected[0, 0])


def test_d17_the_global_generator_is_not_used(pair):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    make_samples(pair, crop_size=8, augmentations=["flip"], add_noise=NoiseOptions())[0, 0]
    assert torch.equal(torch.get_rng_state(), before)


# Validation and test


@pytest.mark.parametrize("crop", [(63, 63), (32, 63)])
def test_e2_validation_uses_the_centre_of_every_image(memory, coordinates, crop):
    source = memory([coordinates(65, 75)] * 3)
    samples = make_samples(source, training=False, crop_size=crop, augmentations="flip")
    for index in range(3):
        values = levels(samples[index, index]["noisy"])
        assert values.shape == (3, *crop)
        assert values[:2, 0, 0].tolist() == [(65 - crop[0]) // 2, (75 - crop[1]) // 2]


def test_e4_validation_uses_all_of_an_image_smaller_than_the_crop(memory, coordinates):
    samples = make_samples(memory([coordinates(30, 80)]), training=False, crop_size=32)
    check_images(samples)
    assert samples[0, 0]["noisy"].shape == (3, 30, 32)


def test_validation_uses_each_image_once_and_whole(memory, coordinates):
    source = memory([coordinates(20, 30), coordinates(25, 15)])
    samples = make_samples(source, training=False, repeat_times=4, augmentations=["flip", "rotate"])
    assert [samples[3, i]["noisy"].shape[1:] for i in range(len(samples))] == [(20, 30), (25, 15)]
    assert np.array_equal(levels(samples[3, 0]["noisy"]).permute(1, 2, 0), source.noisy[0])


# Noise


def test_noise_differs_between_epochs_unless_fixed(pair):
    free, fixed = (make_samples(pair, add_noise=NoiseOptions(fixed=kind)) for kind in (False, True))
    assert not torch.equal(free[1, 0]["noisy"], free[2, 0]["noisy"])
    assert torch.equal(fixed[1, 0]["noisy"], fixed[2, 0]["noisy"])


def test_d12_validation_noise_is_the_same_in_every_epoch(pair):
    samples = make_samples(pair, training=False, add_noise=NoiseOptions())
    assert torch.equal(samples[1, 0]["noisy"], samples[2, 0]["noisy"])


def test_crops_of_an_image_have_the_same_noise(memory):
    flat = np.full((20, 20, 1), 128, np.uint8)
    options = {"add_noise": NoiseOptions(), "repeat_times": 400}
    whole = make_samples(memory([flat]), channels=1, **options)[3, 0]["noisy"]
    samples = make_samples(memory([flat]), channels=1, crop_size=18, **options)
    windows = [whole[:, r : r + 18, c : c + 18] for r in range(3) for c in range(3)]
    for index in range(20):
        assert any(torch.equal(samples[3, index]["noisy"], window) for window in windows)


def test_d12_the_image_before_adding_noise_becomes_the_ground_truth(pair, memory):
    alone = make_samples(memory(pair.noisy), add_noise=NoiseOptions(sigma=10))[1, 0]
    assert np.array_equal(levels(alone["clean"]).permute(1, 2, 0), pair.noisy[0])
    assert (alone["noisy"] - alone["clean"]).std() == pytest.approx(10 / 255, rel=0.05)
    paired = make_samples(pair, add_noise=NoiseOptions(sigma=10))[1, 0]
    assert np.array_equal(levels(paired["clean"]).permute(1, 2, 0), pair.clean[0])
    assert (paired["noisy"] - paired["clean"]).std() == pytest.approx(10 / 255, rel=0.05)


# Memory


def test_the_cache_is_bounded_and_not_pickled(memory, coordinates, monkeypatch):
    image = coordinates(20, 20)
    monkeypatch.setattr("src.data_handlers.samples.samples.CACHE_BYTES", 2 * image.nbytes)
    samples = make_samples(memory([image] * 5))
    for index in range(5):
        samples[1, index]
    assert samples._cached_bytes == 2 * image.nbytes
    assert len(samples._cache) == 2
    copy = pickle.loads(pickle.dumps(samples))
    assert torch.equal(copy[1, 0]["noisy"], samples[1, 0]["noisy"])
    assert len(copy._cache) == 1


def test_the_cache_replaces_an_image_when_its_noise_changes(memory, coordinates):
    samples = make_samples(memory([coordinates(20, 20)]), add_noise=NoiseOptions())
    sizes = set()
    for epoch in range(3):
        samples[epoch, 0]
        sizes.add(samples._cached_bytes)
    assert sizes == {20 * 20 * 3 * (4 + 1)}


def test_changing_a_sample_does_not_change_the_cache(memory, coordinates):
    noise = NoiseOptions(fixed=True)
    samples = make_samples(memory([coordinates(9, 9, channels=1)]), channels=1, add_noise=noise)
    kept = samples[1, 0]["noisy"].clone()
    samples[1, 0]["noisy"].zero_()
    assert torch.equal(samples[1, 0]["noisy"], kept)
