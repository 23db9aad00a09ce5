import numpy as np
import pytest

BGR = "BGR: red and blue are swapped"
ALL = list(range(20))


def test_bgr_is_found(scene, find):
    clean, noisy = scene
    assert find(clean[..., ::-1], noisy) == {BGR: ALL}


def test_bgr_of_some_images_and_of_single_blocks_is_found(scene, find):
    clean, noisy = scene
    colour = np.abs(noisy[..., 0].mean(axis=(1, 2)) - noisy[..., 2].mean(axis=(1, 2)))
    single = int(colour[:15].argmax())
    clean[[single, 15, 16, 17, 18, 19]] = clean[[single, 15, 16, 17, 18, 19], ..., ::-1]
    assert find(clean, noisy, 5) == {BGR: [single, 15, 16, 17, 18, 19]}


def test_one_block_that_is_right_among_bgr_ones_is_not_named(scene, find):
    clean, noisy = scene
    single = int(np.abs(noisy[..., 0].mean(axis=(1, 2)) - noisy[..., 2].mean(axis=(1, 2))).argmax())
    reversed_ = clean[..., ::-1].copy()
    reversed_[single] = clean[single]
    assert find(reversed_, noisy) == {BGR: [number for number in ALL if number != single]}


def test_faint_colours_tell_bgr_over_many_blocks(find, eight_bits):
    random = np.random.default_rng(0)
    clean = 90 + np.array([4.5, 0, -4.5]) + random.normal(0, 1, (20, 64, 64, 3))
    noisy = eight_bits(clean + random.normal(0, 6, clean.shape))
    assert find(eight_bits(clean), noisy, 5) == {}
    assert find(eight_bits(clean[..., ::-1]), noisy, 5) == {BGR: ALL}


def test_colours_that_are_faint_in_a_block_tell_bgr_over_an_image(find, eight_bits):
    random = np.random.default_rng(0)
    clean = 90 + np.array([7, 0, -7]) + random.normal(0, 1, (20, 64, 64, 3))
    noisy = eight_bits(clean + random.normal(0, 20, clean.shape))
    clean[10:15] = clean[10:15, ..., ::-1]
    assert find(eight_bits(clean), noisy, 5) == {BGR: list(range(10, 15))}


def test_bgr_of_a_faintly_coloured_block_shows_in_its_structure(find, soft, eight_bits):
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


def test_two_blocks_in_each_others_places_are_found(scene, find):
    clean, noisy = scene
    clean[[4, 11]] = clean[[11, 4]]
    assert find(clean, noisy) == {"not in its place: ID 4 shows ID 11, ID 11 shows ID 4": [4, 11]}


def named(found):
    assert "poor" not in found  # which would be no mistake of order
    return {number for numbers in found.values() for number in numbers}


def test_a_shift_of_all_by_one_is_found_and_said_as_one(scene, find):
    clean, noisy = scene
    found = find(np.roll(clean, -1, axis=0), noisy)
    shifted = set(found["not in its place: shows the block 1 after"])
    assert len(shifted) >= 17 and named(found) == set(ALL)


def test_a_shuffle_is_found(scene, find):
    clean, noisy = scene
    order = np.random.default_rng(3).permutation(20)
    assert named(find(clean[order], noisy)) >= {number for number in ALL if order[number] != number}


@pytest.mark.parametrize("images", [4, 5])
def test_images_and_blocks_in_each_others_places_are_found(scene, find, images):
    clean, noisy = scene
    order = np.arange(20).reshape(images, -1).T.ravel()
    found = find(clean[order], noisy, 20 // images)
    assert named(found) == {number for number in ALL if order[number] != number}


def test_a_shift_from_a_missing_block_on_is_found_where_it_begins(scene, find):
    clean, noisy = scene
    shifted = np.concatenate([clean[:5], clean[6:], clean[-1:]])
    wrong = named(find(shifted, noisy))
    assert set(range(5, 19)) >= wrong - {19} and len(wrong) >= 13


def test_a_shift_at_the_end_is_found_though_nothing_takes_the_last_place(find, soft):
    clean, noisy = soft(20)
    clean[17:] = [clean[18], clean[19], soft(1, seed=9)[0][0]]
    assert find(clean, noisy) == {"not in its place: ID 17 shows ID 18, ID 18 shows ID 19": [17, 18]}


def test_another_blocks_result_in_the_place_of_a_missing_one_is_found(scene, find):
    clean, noisy = scene
    clean[8] = clean[3]
    assert find(clean, noisy) == {"not in its place: ID 8 shows ID 3": [8]}


POOR_NETWORKS = {
    "half as bright": lambda clean, noisy: clean // 2,
    "of a third of the contrast": lambda clean, noisy: 80 + (clean - 80.0) / 3,
    "with all the noise left": lambda clean, noisy: noisy,
}


@pytest.mark.parametrize("how", POOR_NETWORKS)
def test_a_poor_networks_results_must_be_in_order_too(scene, find, eight_bits, how):
    clean, noisy = scene
    results = eight_bits(POOR_NETWORKS[how](clean, noisy))
    assert len(named(find(results[::-1], noisy))) >= 15
    assert find(results[..., ::-1], noisy) == {BGR: ALL}


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


@pytest.mark.parametrize("how", TURNS)
def test_a_single_block_that_is_turned_is_found(find, soft, how):
    clean, noisy = soft(5)
    clean[3] = TURNS[how](clean[[3]])[0]
    assert find(clean, noisy) == {f"{how}, beside the noisy blocks": [3]}


def test_faults_of_all_blocks_do_not_hide_those_of_one(scene, find):
    clean, noisy = scene
    clean[8] = clean[3]
    assert find(clean[..., ::-1].swapaxes(1, 2), noisy) == {
        "rows and columns swapped, beside the noisy blocks": ALL,
        "not in its place: ID 8 shows ID 3": [8],
        BGR: ALL,
    }
