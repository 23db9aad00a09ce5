import cv2
import numpy as np
import pytest

POOR = "poor"


# Good enough


def test_denoised_blocks_resemble_their_noisy_ones(scene, find):
    assert find(*scene) == {}


def test_each_block_of_the_real_dark_scene_resembles_its_own(real, find):
    assert find(real("sidd_val_scene00/gt"), real("sidd_val_scene00/noisy")) == {}


def test_noisy_blocks_resemble_themselves(scene, find):
    assert find(scene[1], scene[1]) == {}


def test_denoising_may_blur_most_away(scene, find):
    clean, noisy = scene
    sigma = noisy.shape[1] / 16
    assert find([cv2.GaussianBlur(block, (0, 0), sigma) for block in clean], noisy) == {}


def test_denoising_may_take_most_of_the_contrast(scene, find, eight_bits):
    clean, noisy = scene
    means = clean.mean(axis=(1, 2), keepdims=True)
    assert find(eight_bits(means + 0.3 * (clean - means)), noisy) == {}


@pytest.mark.parametrize("seed", range(3))
def test_a_network_may_shift_the_colours_of_each_block(scene, find, seed, eight_bits):
    clean, noisy = scene
    shift = np.random.default_rng(seed).normal(0, 5, (20, 1, 1, 3))
    assert find(eight_bits(clean + shift), noisy) == {}


def test_a_network_may_shift_a_colour_far_where_structure_shows_the_block(scene, find, sign, eight_bits):
    """Half-trained networks do: batch norm over few images."""
    clean, noisy = scene
    most = int(
        np.square(sign(noisy).means - sign(noisy).means.mean(axis=(1, 2), keepdims=True))
        .mean((1, 2, 3))
        .argmax()
    )
    mean = clean[most].mean(axis=(0, 1))
    clean[most] = eight_bits(mean + 0.7 * (clean[most] - mean) + np.array([40, 45, 50]))
    assert find(clean, noisy) == {}


def test_a_shift_of_brightness_is_not_mistaken_for_a_neighbour(find, eight_bits):
    """Flat blocks, each a little brighter than the one before, all made brighter by that much."""
    steps = np.arange(40, 240, 10, dtype=np.float64)[:, None, None, None]
    random = np.random.default_rng(0)
    noisy = eight_bits(steps + random.normal(0, 8, (20, 64, 64, 3)))
    textured = steps + 10 + random.normal(0, 0.5, (20, 64, 64, 3))
    assert find(eight_bits(textured), noisy) == {}


def test_flat_blocks_of_one_colour_cannot_be_told_apart_and_pass(find, eight_bits):
    random = np.random.default_rng(0)
    noisy = eight_bits(90 + random.normal(0, 30, (20, 64, 64, 3)))
    denoised = eight_bits(90 + random.normal(0, 0.6, (20, 64, 64, 3)))
    assert find(denoised[::-1], noisy) == {}


def test_a_grey_scene_cannot_tell_bgr_and_passes(scene, find, eight_bits):
    clean, noisy = (eight_bits(np.repeat(blocks.mean(axis=3, keepdims=True), 3, axis=3)) for blocks in scene)
    cast = np.array([2, 0, -2])
    assert find(eight_bits(clean - cast), eight_bits(noisy + cast)) == {}


def test_saturated_blocks_of_one_value_are_right_when_the_noisy_ones_are(find, soft):
    clean, noisy = soft(5)
    clean[3], noisy[3] = 255, 255
    assert find(clean, noisy) == {}


def test_float_and_8_bit_blocks_are_compared_on_one_scale(find, soft):
    clean, noisy = soft(5)
    assert find(clean / np.float32(255), noisy) == {}


def test_differences_of_a_grey_level_do_not_tell_places(find, eight_bits):
    levels = (90 + np.arange(20) // 7)[:, None, None, None]
    noisy = eight_bits(levels + np.random.default_rng(0).normal(0, 1, (20, 64, 64, 3)))
    assert find(noisy[::-1], noisy) == {}


# Poor, but in order: what a user is warned of


@pytest.mark.parametrize("value", [0, 128, 255])
def test_an_empty_block_is_poor_and_no_other_accused(scene, find, value):
    clean, noisy = scene
    clean[8] = value
    assert find(clean, noisy) == {POOR: [8]}


def test_a_block_of_mere_noise_is_poor(scene, find):
    clean, noisy = scene
    clean[8] = np.random.default_rng(0).integers(0, 256, clean[8].shape)
    assert find(clean, noisy) == {POOR: [8]}


def test_another_image_in_the_place_of_a_block_is_poor(find, soft):
    clean, noisy = soft(5)
    clean[3] = soft(1, seed=9)[0]
    assert find(clean, noisy) == {POOR: [3]}


def test_a_block_of_a_third_of_its_brightness_is_poor(scene, find):
    clean, noisy = scene
    clean[8] //= 3
    assert find(clean, noisy) == {POOR: [8]}


@pytest.mark.parametrize(("brightness", "sigma"), [([60, 90, 160, 150], 20), ([16, 90, 120, 150], 8)])
def test_a_flat_block_of_another_brightness_is_poor(find, eight_bits, brightness, sigma):
    random = np.random.default_rng(0)
    right = [60 if brightness[0] == 60 else 40, 90, 120, 150]
    clean, noisy = (
        eight_bits(np.array(levels)[:, None, None, None] + random.normal(0, noise, (4, 64, 64, 3)))
        for levels, noise in ((brightness, 1), (right, sigma))
    )
    (wrong,) = np.flatnonzero(np.array(brightness) != right)
    assert find(clean, noisy) == {POOR: [wrong]}


def frame(edge):
    """What a network that has given up makes of every block: one value, and another along an edge."""
    block = np.full((edge, edge, 3), 90.0)
    block[: edge // 16] = 40
    return block


RANDOM = np.random.default_rng(0)
NETWORKS = {
    "noise": lambda noisy: RANDOM.integers(0, 256, noisy.shape),
    "one constant": lambda noisy: 0 * noisy + 128,
    "each another constant": lambda noisy: 0 * noisy + RANDOM.integers(0, 256, (len(noisy), 1, 1, 1)),
    "nearly constant": lambda noisy: 128 + RANDOM.normal(0, 3, noisy.shape),
    "the same image": lambda noisy: 0 * noisy + frame(noisy.shape[1]),
    "inverted": lambda noisy: 255.0 - noisy,
    "inverted where bright": lambda noisy: 2 * np.abs(noisy - 125.0),
    "a third as bright": lambda noisy: noisy / 3,
    "black": lambda noisy: noisy / 255,
    "a tenth of the contrast": lambda noisy: 120 + (noisy - 120.0) / 10,
    "mixed channels": lambda noisy: noisy @ np.array([[-0.6, 0.5, -0.2], [0.1, -0.7, 0.4], [0.3, 0.5, 0.1]]),
}  # fmt: skip


@pytest.mark.parametrize("network", NETWORKS)
def test_a_bad_networks_results_are_poor_but_in_order(scene, find, eight_bits, network):
    _, noisy = scene
    found = find(eight_bits(NETWORKS[network](noisy)), noisy)
    assert list(found) == [POOR] and len(found[POOR]) > 10


@pytest.mark.parametrize("levels", [1, 2])
def test_blocks_blurred_to_their_mean_are_no_evidence_of_another_order(scene, find, eight_bits, levels):
    """Not even in another order, which their mean colours, all that is left of them, might seem to tell."""
    _, noisy = scene
    flat = np.broadcast_to(noisy.mean(axis=(1, 2), keepdims=True), noisy.shape)[::-1].copy()
    flat[:, 0, 0] += levels - 1
    assert set(find(eight_bits(flat), noisy)) == {POOR}
