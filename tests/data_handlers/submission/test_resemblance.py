"""Denoised blocks that are in order: good ones pass, poor ones are named."""

import cv2
import numpy as np
import pytest

POOR = "poor"

GOOD = {
    "denoised": lambda clean, noisy: clean,
    "not denoised": lambda clean, noisy: noisy,
    "as floats": lambda clean, noisy: clean / np.float32(255),
    "most details lost": lambda clean, noisy: np.stack(
        [cv2.GaussianBlur(block, (0, 0), block.shape[0] / 16) for block in clean]
    ),
    "most contrast lost": lambda clean, noisy: (
        0.3 * clean + 0.7 * clean.mean(axis=(1, 2), keepdims=True)
    ).astype(np.uint8),
}


@pytest.mark.parametrize("network", GOOD)
def test_denoised_blocks_resemble_their_noisy_ones(scene, find, network):
    clean, noisy = scene
    assert find(GOOD[network](clean, noisy), noisy) == {}


@pytest.mark.parametrize("seed", range(3))
def test_a_network_may_shift_the_colours_of_each_block(scene, find, seed, eight_bits):
    clean, noisy = scene
    shift = np.random.default_rng(seed).normal(0, 5, (20, 1, 1, 3))
    assert find(eight_bits(clean + shift), noisy) == {}


def test_each_block_of_the_real_dark_scene_resembles_its_own(real, find):
    assert find(real("sidd_val_scene00/gt"), real("sidd_val_scene00/noisy")) == {}


def test_a_shift_of_brightness_is_not_mistaken_for_a_neighbour(find, eight_bits):
    """Flat blocks, each a little brighter than the one before, and all made brighter by this difference."""
    steps = np.arange(40, 240, 10, dtype=np.float64)[:, None, None, None]
    random = np.random.default_rng(0)
    noisy = eight_bits(steps + random.normal(0, 8, (20, 64, 64, 3)))
    textured = steps + 10 + random.normal(0, 0.5, (20, 64, 64, 3))
    assert set(find(eight_bits(textured), noisy)) <= {POOR}


@pytest.mark.parametrize(("noise", "levels"), [(30, 1), (1, 7)])
def test_flat_blocks_that_cannot_be_told_apart_pass_in_any_order(find, eight_bits, noise, levels):
    random = np.random.default_rng(0)
    means = (90 + np.arange(20) // levels * (levels > 1))[:, None, None, None]
    noisy = eight_bits(means + random.normal(0, noise, (20, 64, 64, 3)))
    denoised = eight_bits(means + random.normal(0, 0.6, (20, 64, 64, 3)))
    assert find(denoised[::-1], noisy) == {}


def test_a_grey_scene_cannot_tell_bgr_and_passes(scene, find, eight_bits):
    clean, noisy = (eight_bits(np.repeat(blocks.mean(axis=3, keepdims=True), 3, axis=3)) for blocks in scene)
    cast = np.array([2, 0, -2])
    assert find(eight_bits(clean - cast), eight_bits(noisy + cast)) == {}


def other_image(block):
    """Random coarse cells, which resemble no other block."""
    cells = np.random.default_rng(9).uniform(20, 230, (5, 5, 3)).astype(np.float32)
    return cv2.resize(cells, block.shape[1::-1])


BAD_BLOCKS = {
    "black": lambda block: 0 * block,
    "white": lambda block: 0 * block + 255,
    "noise": lambda block: np.random.default_rng(0).integers(0, 256, block.shape),
    "a third of the brightness": lambda block: block // 3,
    "another image": other_image,
}


@pytest.mark.parametrize("change", BAD_BLOCKS)
def test_one_poor_block_is_named_and_no_other(scene, find, change):
    clean, noisy = scene
    clean[8] = BAD_BLOCKS[change](clean[8])
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
    """One value, and another along an edge: the output of a network that learnt nothing."""
    block = np.full((edge, edge, 3), 90.0)
    block[: edge // 16] = 40
    return block


RANDOM = np.random.default_rng(0)
BAD_NETWORKS = {
    "noise": lambda noisy: RANDOM.integers(0, 256, noisy.shape),
    "one constant": lambda noisy: 0 * noisy + 128,
    "each another constant": lambda noisy: 0 * noisy + RANDOM.integers(0, 256, (len(noisy), 1, 1, 1)),
    "nearly constant": lambda noisy: 128 + RANDOM.normal(0, 3, noisy.shape),
    "the same image": lambda noisy: 0 * noisy + frame(noisy.shape[1]),
    "mean colours in another order": lambda noisy: (0 * noisy + noisy.mean(axis=(1, 2), keepdims=True))[::-1],
    "inverted": lambda noisy: 255.0 - noisy,
    "inverted where bright": lambda noisy: 2 * np.abs(noisy - 125.0),
    "a third as bright": lambda noisy: noisy / 3,
    "black": lambda noisy: noisy / 255,
    "a tenth of the contrast": lambda noisy: 120 + (noisy - 120.0) / 10,
    "mixed channels": lambda noisy: noisy @ np.array([[-0.6, 0.5, -0.2], [0.1, -0.7, 0.4], [0.3, 0.5, 0.1]]),
}  # fmt: skip


@pytest.mark.parametrize("network", BAD_NETWORKS)
def test_a_bad_networks_results_are_poor_but_in_order(scene, find, eight_bits, network):
    _, noisy = scene
    assert set(find(eight_bits(BAD_NETWORKS[network](noisy)), noisy)) == {POOR}
