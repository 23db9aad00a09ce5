import cv2
import numpy as np
import pytest

from src.data_handlers.submission.layout import SiddLayout
from src.data_handlers.submission.resemblance import compare

BGR, EMPTY, UNLIKE = (
    "BGR: red and blue are swapped", "one value throughout: an empty block", "unlike the noisy block",
)  # fmt: skip
ALL = list(range(20))


@pytest.fixture
def find(sign):
    """The findings on denoised blocks beside noisy ones, as {problem: blocks}."""

    def found(denoised, noisy, per_image=None):
        per_image = per_image or len(noisy)
        layout = SiddLayout(len(noisy) // per_image, per_image, len(noisy[0]))
        return dict(compare(sign(denoised), sign(noisy), layout).items())

    return found


@pytest.fixture(params=["phone", "camera", "simulated"])
def scene(request, real, soft):
    """20 denoised blocks and the noisy ones: of one dark scene of a phone, of cameras, or simulated."""
    if request.param == "simulated":
        return soft(20)
    if request.param == "phone":
        return real("sidd_val_scene00/gt")[:20], real("sidd_val_scene00/noisy")[:20]
    noisy = real("dnd/crops")[:, 128:384, 128:384]
    return np.stack([cv2.medianBlur(block, 7) for block in noisy]), noisy


def eight_bits(values):
    return np.rint(values).clip(0, 255).astype(np.uint8)


# No false alarms


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


def test_denoising_may_take_most_of_the_contrast(scene, find):
    clean, noisy = scene
    means = clean.mean(axis=(1, 2), keepdims=True)
    assert find(eight_bits(means + 0.3 * (clean - means)), noisy) == {}


@pytest.mark.parametrize("seed", range(3))
def test_a_network_may_shift_the_colours_of_each_block(scene, find, seed):
    clean, noisy = scene
    shift = np.random.default_rng(seed).normal(0, 5, (20, 1, 1, 3))
    assert find(eight_bits(clean + shift), noisy) == {}


def test_a_network_may_shift_a_colour_far_where_structure_shows_the_block(scene, find, sign):
    """Half-trained networks do: batch norm over few pictures."""
    clean, noisy = (blocks.copy() for blocks in scene)
    most = int(
        np.square(sign(noisy).means - sign(noisy).means.mean(axis=(1, 2), keepdims=True))
        .mean((1, 2, 3))
        .argmax()
    )
    mean = clean[most].mean(axis=(0, 1))
    clean[most] = eight_bits(mean + 0.7 * (clean[most] - mean) + np.array([40, 45, 50]))
    assert find(clean, noisy) == {}


def test_a_shift_of_brightness_is_not_mistaken_for_a_neighbour(find):
    """Flat blocks, each a little brighter than the one before, all made brighter by that much."""
    steps = np.arange(40, 240, 10, dtype=np.float64)[:, None, None, None]
    random = np.random.default_rng(0)
    noisy = eight_bits(steps + random.normal(0, 8, (20, 64, 64, 3)))
    textured = steps + 10 + random.normal(0, 0.5, (20, 64, 64, 3))
    assert find(eight_bits(textured), noisy) == {}


def test_flat_blocks_of_one_colour_cannot_be_told_apart_and_pass(find):
    random = np.random.default_rng(0)
    noisy = eight_bits(90 + random.normal(0, 30, (20, 64, 64, 3)))
    denoised = eight_bits(90 + random.normal(0, 0.6, (20, 64, 64, 3)))
    assert find(denoised[::-1], noisy) == {}


def test_a_grey_scene_cannot_tell_bgr_and_passes(scene, find):
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


# Faults


def test_bgr_is_found(scene, find):
    clean, noisy = scene
    assert find(clean[..., ::-1], noisy) == {BGR: ALL}


def test_bgr_of_some_images_and_of_single_blocks_is_found(scene, find):
    clean, noisy = (blocks.copy() for blocks in scene)
    colour = np.abs(noisy[..., 0].mean(axis=(1, 2)) - noisy[..., 2].mean(axis=(1, 2)))
    single = int(colour[:15].argmax())
    clean[[single, 15, 16, 17, 18, 19]] = clean[[single, 15, 16, 17, 18, 19], ..., ::-1]
    assert find(clean, noisy, 5) == {BGR: [single, 15, 16, 17, 18, 19]}


def test_one_block_that_is_right_among_bgr_ones_is_not_named(scene, find):
    clean, noisy = (blocks.copy() for blocks in scene)
    single = int(np.abs(noisy[..., 0].mean(axis=(1, 2)) - noisy[..., 2].mean(axis=(1, 2))).argmax())
    reversed_ = clean[..., ::-1].copy()
    reversed_[single] = clean[single]
    assert find(reversed_, noisy) == {BGR: [number for number in ALL if number != single]}


def test_faint_colours_tell_bgr_over_many_blocks(find):
    random = np.random.default_rng(0)
    clean = 90 + np.array([4.5, 0, -4.5]) + random.normal(0, 1, (20, 64, 64, 3))
    noisy = eight_bits(clean + random.normal(0, 6, clean.shape))
    assert find(eight_bits(clean), noisy, 5) == {}
    assert find(eight_bits(clean[..., ::-1]), noisy, 5) == {BGR: ALL}


def test_colours_that_are_faint_in_a_block_tell_bgr_over_an_image(find):
    random = np.random.default_rng(0)
    clean = 90 + np.array([7, 0, -7]) + random.normal(0, 1, (20, 64, 64, 3))
    noisy = eight_bits(clean + random.normal(0, 20, clean.shape))
    clean[10:15] = clean[10:15, ..., ::-1]
    assert find(eight_bits(clean), noisy, 5) == {BGR: list(range(10, 15))}


def test_bgr_of_a_faintly_coloured_block_shows_in_its_structure(find, soft):
    clean, noisy = (np.concatenate(blocks) for blocks in zip(soft(4), soft(4, seed=1), strict=True))
    shapes = clean[0] - clean[0].mean(axis=(0, 1))
    clean[0] = eight_bits(120 + shapes * 0.15)
    noisy[0] = eight_bits(clean[0] + np.random.default_rng(0).normal(0, 10, clean[0].shape))
    assert find(clean, noisy, 1) == {}
    clean[0] = clean[0, ..., ::-1]
    assert find(clean, noisy, 8) == {BGR: [0]}


def test_blocks_in_each_others_places_are_not_accused_of_bgr(find, soft):
    clean, noisy = soft(20)
    for blocks in (clean, noisy):  # one is reddish, the other bluish
        blocks[4, ..., 0] //= 3
        blocks[11, ..., 2] //= 3
    clean[[4, 11]] = clean[[11, 4]]
    assert find(clean, noisy) == {"not in its place: ID 4 shows ID 11, ID 11 shows ID 4": [4, 11]}


def test_differences_of_a_grey_level_do_not_tell_places(find):
    levels = (90 + np.arange(20) // 7)[:, None, None, None]
    noisy = eight_bits(levels + np.random.default_rng(0).normal(0, 1, (20, 64, 64, 3)))
    assert find(noisy[::-1], noisy) == {}


def test_two_blocks_in_each_others_places_are_found(scene, find):
    clean, noisy = (blocks.copy() for blocks in scene)
    clean[[4, 11]] = clean[[11, 4]]
    assert find(clean, noisy) == {"not in its place: ID 4 shows ID 11, ID 11 shows ID 4": [4, 11]}


def test_a_shift_of_all_by_one_is_found_and_said_as_one(scene, find):
    clean, noisy = scene
    found = find(np.roll(clean, -1, axis=0), noisy)
    shifted = set(found["not in its place: shows the block 1 after"])
    named = {number for numbers in found.values() for number in numbers}
    assert len(shifted) >= 17 and named == set(ALL)


def test_a_shuffle_is_found(scene, find):
    clean, noisy = scene
    order = np.random.default_rng(3).permutation(20)
    found = find(clean[order], noisy)
    named = {number for numbers in found.values() for number in numbers}
    assert named >= {number for number in ALL if order[number] != number}


def test_a_shift_from_a_missing_block_on_is_found_where_it_begins(scene, find):
    clean, noisy = scene
    shifted = np.concatenate([clean[:5], clean[6:], clean[-1:]])
    named = {number for numbers in find(shifted, noisy).values() for number in numbers}
    assert set(range(5, 19)) >= named - {19} and len(named) >= 13


def test_another_blocks_result_in_the_place_of_a_missing_one_is_found(scene, find):
    clean, noisy = (blocks.copy() for blocks in scene)
    clean[8] = clean[3]
    assert find(clean, noisy) == {UNLIKE: [8]}


@pytest.mark.parametrize("value", [0, 128, 255])
def test_an_empty_block_is_found_and_no_other_accused(scene, find, value):
    clean, noisy = (blocks.copy() for blocks in scene)
    clean[8] = value
    assert find(clean, noisy) == {EMPTY: [8]}


def test_a_block_of_mere_noise_is_found(scene, find):
    clean, noisy = (blocks.copy() for blocks in scene)
    clean[8] = np.random.default_rng(0).integers(0, 256, clean[8].shape)
    assert find(clean, noisy) == {UNLIKE: [8]}


@pytest.mark.parametrize("factor", [1 / 255, 1 / 3, 0.5])
def test_another_scale_is_found(scene, find, factor):
    clean, noisy = scene
    ((problem, blocks),) = find((clean / np.float32(255)) * np.float32(factor), noisy).items()
    assert problem.startswith("values on another scale: ") and blocks == ALL


def test_one_block_on_another_scale_is_found(scene, find):
    clean, noisy = (blocks.copy() for blocks in scene)
    clean[8] //= 3
    assert find(clean, noisy) == {UNLIKE: [8]}


def flat_blocks(levels, sigma):
    shape = (len(levels), 64, 64, 3)
    return eight_bits(
        np.array(levels)[:, None, None, None] + np.random.default_rng(0).normal(0, sigma, shape)
    )


def test_a_flat_block_of_another_brightness_is_found(find):
    levels = [60, 90, 120, 150]
    assert find(flat_blocks([60, 90, 160, 150], 1), flat_blocks(levels, 20)) == {UNLIKE: [2]}


def test_a_dark_flat_block_of_a_fraction_of_its_brightness_is_found(find):
    levels = [40, 90, 120, 150]
    assert find(flat_blocks([16, 90, 120, 150], 1), flat_blocks(levels, 8)) == {UNLIKE: [0]}


TURNS = {
    "rows and columns swapped": lambda blocks: blocks.swapaxes(1, 2),
    "upside down": lambda blocks: blocks[:, ::-1],
    "mirrored": lambda blocks: blocks[:, :, ::-1],
    "turned by 180 degrees": lambda blocks: blocks[:, ::-1, ::-1],
    "turned clockwise": lambda blocks: np.rot90(blocks, -1, axes=(1, 2)),
    "turned anticlockwise": lambda blocks: np.rot90(blocks, 1, axes=(1, 2)),
}


@pytest.mark.parametrize("how", TURNS)
def test_blocks_that_are_turned_are_found(scene, find, how):
    clean, noisy = scene
    assert find(TURNS[how](clean), noisy) == {f"{how}, beside the noisy blocks": ALL}


def test_faults_of_all_blocks_do_not_hide_those_of_one(scene, find):
    clean, noisy = (blocks.copy() for blocks in scene)
    clean[8] = 0
    found = find(clean[..., ::-1].swapaxes(1, 2), noisy)
    rest = [number for number in ALL if number != 8]
    assert found == {EMPTY: [8], "rows and columns swapped, beside the noisy blocks": rest, BGR: rest}
