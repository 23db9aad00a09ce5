"""Mistakes of order that are found, in real and simulated scenes."""

import numpy as np
import pytest

BGR = "BGR: red and blue are swapped"
ALL = list(range(20))
TURNS = {
    "rows and columns swapped": lambda blocks: blocks.swapaxes(1, 2),
    "upside down": lambda blocks: blocks[:, ::-1],
    "mirrored": lambda blocks: blocks[:, :, ::-1],
    "turned by 180 degrees": lambda blocks: blocks[:, ::-1, ::-1],
    "turned clockwise": lambda blocks: np.rot90(blocks, -1, axes=(1, 2)),
    "turned anticlockwise": lambda blocks: np.rot90(blocks, 1, axes=(1, 2)),
}


def named(found):
    assert all(problem.startswith("not in its place") for problem in found)
    return {number for numbers in found.values() for number in numbers}


def test_bgr_is_found(scene, find):
    clean, noisy = scene
    assert find(clean[..., ::-1], noisy) == {BGR: ALL}


def test_faint_colours_are_enough_to_find_bgr(find, soft, eight_bits):
    blocks = soft(20)[0].mean(axis=3, keepdims=True) + np.array([4.5, 0, -4.5])
    noisy = eight_bits(blocks + np.random.default_rng(0).normal(0, 6, blocks.shape))
    assert find(eight_bits(blocks), noisy) == {}
    assert find(eight_bits(blocks[..., ::-1]), noisy) == {BGR: ALL}


@pytest.mark.parametrize("turn", TURNS)
def test_turned_blocks_are_found(scene, find, turn):
    clean, noisy = scene
    assert find(TURNS[turn](clean), noisy) == {f"{turn}, beside the noisy blocks": ALL}


def test_two_exchanged_blocks_are_found(scene, find):
    clean, noisy = scene
    clean[[4, 11]] = clean[[11, 4]]
    assert find(clean, noisy) == {"not in its place: ID 4 shows ID 11, ID 11 shows ID 4": [4, 11]}


ORDERS = {
    "by one": np.roll(ALL, -1),
    "shuffled": np.random.default_rng(3).permutation(20),
    "reversed": np.arange(20)[::-1],
    "images and blocks exchanged": np.arange(20).reshape(4, 5).T.ravel(),
    "after a missing block": np.array([*range(5), *range(6, 20), 19]),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("network", ["good", "half as bright", "identity"])
def test_blocks_in_another_order_are_found(scene, find, order, network):
    clean, noisy = scene
    results = {"good": clean, "half as bright": clean // 2, "identity": noisy}[network]
    wrong = named(find(results[ORDERS[order]], noisy))
    moved = set(np.flatnonzero(ORDERS[order] != ALL).tolist())
    assert wrong <= moved and len(wrong) > 0.5 * len(moved)


def test_mistakes_of_all_blocks_do_not_hide_one_of_place(scene, find):
    clean, noisy = scene
    clean[[4, 11]] = clean[[11, 4]]
    assert find(clean[..., ::-1].swapaxes(1, 2), noisy) == {
        "rows and columns swapped, beside the noisy blocks": ALL,
        "not in its place: ID 4 shows ID 11, ID 11 shows ID 4": [4, 11],
        BGR: ALL,
    }
