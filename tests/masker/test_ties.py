"""Equal and nearly equal patches: which one is taken does not depend on rounding."""

from itertools import permutations

import pytest
import torch

from src.masker.similarity import find_similar


def test_m7_exact_duplicates_are_ignored_but_near_ones_are_not() -> None:
    """As published, distance 0 does not count; a difference in the last bit of one pixel does."""
    image = torch.rand(1, 12, 12, generator=torch.Generator().manual_seed(0)).repeat(1, 4, 4)
    point = torch.tensor([[[30, 30]]])
    image[0, 6, 18] = torch.nextafter(image[0, 6, 18], torch.tensor(2.0))
    # All patches a multiple of 12 px away are duplicates, except the one whose centre was changed.
    assert find_similar(image[None], point, 9, 9, 2).tolist() == [[[[6, 18]]]]


@pytest.mark.parametrize("others", [1, 3])
def test_m7_duplicates_are_ignored_with_few_other_patches(others: int) -> None:
    """With fewer others than are re-checked, duplicates must not win by their distance of 0."""
    image = torch.full((1, 1, 30, 30), 0.3)
    for number in range(others):
        image[..., 19, 10 + 3 * number] = 0.31 + number / 100
    assert find_similar(image, torch.tensor([[[4, 4]]]), 3, 3, 3).tolist() == [[[[19, 10]]]]


def test_m10_tiny_differences_are_no_duplicates() -> None:
    """1e-23 squared is 0 in float32."""
    image = torch.rand(1, 12, 12, generator=torch.Generator().manual_seed(0)).repeat(1, 4, 4)
    image[0, 6::12, 6::12] = 0
    image[0, 6, 18] = 1e-23
    assert find_similar(image[None], torch.tensor([[[30, 30]]]), 9, 9, 2).tolist() == [[[[6, 18]]]]


def near_copies(bits: list[int], seed: int) -> torch.Tensor:
    """Return 4 x 4 tiles next to black; the first ones are copies of the last, off by a few bits."""
    generator = torch.Generator().manual_seed(seed)
    tiles = torch.rand(16, 3, 21, 21, generator=generator) / 2 + 0.5
    for tile, off in enumerate(bits):
        tiles[tile] = tiles[15]
        row, column = torch.randint(21, (2,), generator=generator)
        # All values lie in [0.5, 1), where this is the last bit.
        tiles[tile, 0, row, column] -= off * 2**-24
    image = tiles.view(4, 4, 3, 21, 21).permute(2, 0, 3, 1, 4).reshape(3, 84, 84)
    return torch.nn.functional.pad(image, (0, 252))


def tile_found(image: torch.Tensor, device: torch.device) -> int:
    """Return the number of the tile found for the last tile."""
    points = torch.tensor([[[73, 73]]], device=device)
    row, column = find_similar(image[None].to(device), points, 21, 21, 21)[0, 0, 0].tolist()
    return row // 21 * 4 + column // 21


@pytest.mark.parametrize("bits", list(permutations((1, 2, 3, 4))), ids=str)
def test_near_copies_are_distinguished_by_single_bits(bits: tuple[int, ...], device: torch.device) -> None:
    """Squares of 1e-7 are far below the rounding of a matrix product of energy 400."""
    assert tile_found(near_copies(list(bits), seed=0), device) == bits.index(1)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("ties", [4, 15])
def test_the_first_of_many_ties_is_taken_despite_rounding(ties: int, seed: int, device: torch.device) -> None:
    assert tile_found(near_copies([1] * ties, seed), device) == 0


def test_ties_do_not_depend_on_the_order_of_summation(generator: torch.Generator) -> None:
    """For a flat patch, the first of two patches with the same values in another order is taken."""
    for _ in range(10):
        tile = torch.rand(9, 9, generator=generator, dtype=torch.float64)
        shuffled = tile.flatten()[torch.randperm(81, generator=generator)].view(9, 9)
        for first, second in ((tile, shuffled), (shuffled, tile)):
            image = torch.full((1, 9, 27), 0.3, dtype=torch.float64)
            image[0, :, :9], image[0, :, 9:18] = first, second
            assert find_similar(image[None], torch.tensor([[[4, 22]]]), 9, 9, 9).tolist() == [[[[4, 4]]]]


def test_a_flat_image_gives_the_first_candidate(device: torch.device) -> None:
    flat = torch.full((2, 3, 40, 40), 0.7, device=device)
    points = torch.tensor([[20, 20], [9, 30]], device=device).expand(2, -1, -1)
    assert (find_similar(flat, points, 7, 5, 3) == 2).all()
