"""The non-local masker's options for holes: excluded surroundings, counted cores, grids."""

import pytest
import torch

from src.masker import NonLocalMasker
from src.masker.grid import jittered_grid
from src.masker.similarity import find_similar
from src.util.images.conversion import as_float
from src.util.share import Share, share_of

SMALL = {"sim_patch_edge": 9, "repl_patch_edge": 5, "speedup_factor": 3}
HOLES = {**SMALL, "exclude": 9, "similar": 4, "core_edge": 3, "spots": "grid", "pitch": 8}
POINTS = torch.tensor([[2, 2], [20, 15], [40, 30]])


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def centres_of(mask: torch.Tensor, edge: int) -> torch.Tensor:
    """Return the centres (N, 3) of whole squares of ones in masks (B, 1, H, W): image, row and column."""
    squares = torch.nn.functional.avg_pool2d(mask, edge, 1, edge // 2, divisor_override=1)[:, 0]
    return torch.nonzero(squares == edge**2)


@pytest.mark.parametrize("given", [torch.uint8, torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("similar", [2, 3, 4])
def test_the_replacement_is_the_mean_of_the_similar_regions(
    similar: int, given: torch.dtype, device: torch.device
) -> None:
    """Summed nearest first and in float32, for the same bits on every device."""
    batch = noise(2, 3, 61, 50) if given == torch.uint8 else as_float(noise(2, 3, 61, 50)).to(given)
    masker = NonLocalMasker(**SMALL, similar=similar, exclude=9)
    image = masker.mask_at(batch.to(device), POINTS).image.cpu()
    noisy = as_float(batch)
    exact = torch.float64 if given == torch.float64 else torch.float32
    for b in range(2):
        found = find_similar(batch[b : b + 1], POINTS[None], 9, 5, 3, 9, similar)[0]
        for (row, column), centres in zip(POINTS.tolist(), found.tolist(), strict=True):
            regions = [noisy[b, :, r - 2 : r + 3, c - 2 : c + 3].to(exact) for r, c in centres]
            mean = (sum(regions[1:], regions[0]) / similar).to(noisy.dtype)
            assert torch.equal(image[b, :, row - 2 : row + 3, column - 2 : column + 3], mean)


def test_a_single_similar_region_is_copied_bit_for_bit() -> None:
    batch = torch.rand(1, 1, 60, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    image, mask = NonLocalMasker(**HOLES | {"similar": 1}).mask(batch, torch.Generator().manual_seed(0))
    changed = image[image != batch]
    assert len(changed) % 25 == 0 and len(changed) >= 25 * mask.sum() / 9
    assert torch.isin(changed, batch).all()


def test_excluded_surroundings_are_not_filled_in() -> None:
    """A spot in a bright square on a dark image: without `exclude` the square itself is most similar."""
    batch = (noise(1, 1, 64, 64) // 8).float() / 255
    batch[..., 20:35, 20:35] += 0.5
    point = torch.tensor([[27, 27]])
    for exclude, brightest in ((0, 0.5), (13, 0.0)):
        image = NonLocalMasker(**SMALL, exclude=exclude).mask_at(batch, point).image
        assert (image[0, 0, 25:30, 25:30] >= brightest).all()
        assert (image[0, 0, 25:30, 25:30] < brightest + 0.5).any()


@pytest.mark.parametrize("spots", ["random", "grid"])
def test_the_whole_region_is_replaced_and_its_core_counted(spots: str) -> None:
    batch = noise(3, 3, 64, 50)
    options = {**HOLES, "spots": spots, "pixel_perc": 0.002}
    core, whole = (
        NonLocalMasker(**options | {"core_edge": edge}).mask(batch, torch.Generator().manual_seed(1))
        for edge in (3, None)
    )
    assert torch.equal(core.image, whole.image)
    changed = (whole.image != as_float(batch)).any(1, keepdim=True)
    assert torch.equal(changed, whole.mask == 1)
    # Random spots are 12 px apart and regions on the grid never touch, so no two regions merge.
    expected = torch.zeros_like(core.mask)
    for image, row, column in centres_of(whole.mask, 5):
        expected[image, 0, row - 1 : row + 2, column - 1 : column + 2] = 1
    assert torch.equal(core.mask, expected) and core.mask.sum() * 25 == whole.mask.sum() * 9


def test_grid_spots_are_the_same_in_every_image(device: torch.device) -> None:
    masker = NonLocalMasker(**HOLES)
    mask = masker.mask(noise(3, 1, 64, 50).to(device), torch.Generator().manual_seed(4)).mask.cpu()
    points = jittered_grid(64, 50, 8, 5, torch.Generator().manual_seed(4))
    for image in range(3):
        found = centres_of(mask[image : image + 1], 3)[:, 1:]
        assert sorted(found.tolist()) == sorted(points.tolist())
    other = masker.mask(noise(3, 1, 64, 50), torch.Generator().manual_seed(5)).mask
    assert not torch.equal(mask, other)


def test_pixel_perc_has_no_effect_on_a_grid() -> None:
    masker = NonLocalMasker(**HOLES, pixel_perc=1)
    assert masker.mask(noise(1, 1, 64, 64)).mask.sum() >= 9 * 36


@pytest.mark.parametrize("options", [HOLES, {**HOLES, "spots": "random"}], ids=["grid", "random"])
def test_a_share_is_masked_as_in_the_whole_batch(options: dict[str, object]) -> None:
    batch, masker = noise(5, 3, 64, 50), NonLocalMasker(**options)
    whole = masker.mask(batch, torch.Generator().manual_seed(3))
    for share in (*(share_of(5, rank, 3) for rank in range(3)), Share(5, 0, 5)):
        part = masker.mask_share(batch[share.slice], torch.Generator().manual_seed(3), share)
        assert torch.equal(part.image, whole.image[share.slice])
        assert torch.equal(part.mask, whole.mask[share.slice])


def test_given_points_are_masked_like_drawn_ones() -> None:
    batch, masker = noise(2, 3, 64, 50), NonLocalMasker(**HOLES)
    points = jittered_grid(64, 50, masker.pitch, masker.repl_patch_edge, torch.Generator().manual_seed(2))
    drawn, given = masker.mask(batch, torch.Generator().manual_seed(2)), masker.mask_at(batch, points)
    assert torch.equal(drawn.image, given.image) and torch.equal(drawn.mask, given.mask)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"core_edge": 4}, r"^core_edge: expected an odd number of at most repl_patch_edge \(13\), .*got 4$"),
        ({"core_edge": 15}, r"^core_edge: expected an odd number .*got 15$"),
        ({"core_edge": 5, "center_only": True}, r"^core_edge: expected null with center_only"),
        ({"spots": "grid", "pitch": 13}, r"^pitch: expected more than repl_patch_edge \(13\), .*, got 13$"),
        ({"spots": "hexagonal"}, "spots"),
        ({"exclude": -1}, "exclude"),
        ({"similar": 0}, "similar"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NonLocalMasker(**options)


def test_pitch_is_not_checked_for_random_spots() -> None:
    NonLocalMasker(sim_patch_edge=31, repl_patch_edge=25)


@pytest.mark.parametrize("stride", [1, 2, 3, 5])
@pytest.mark.parametrize(("exclude", "similar"), [(0, 36), (1, 4), (7, 1), (9, 4), (12, 9)])
def test_an_image_is_refused_iff_a_spot_has_too_few_candidates(
    stride: int, exclude: int, similar: int
) -> None:
    """The candidates are counted spot by spot; the message names the smallest size that works."""
    options = {**HOLES, "speedup_factor": stride, "exclude": exclude, "similar": similar}
    masker, key = NonLocalMasker(**options), "exclude" if exclude else "similar"

    def fits(height: int, width: int) -> bool:
        grids = [torch.arange(0, length - 5 + 1, stride) for length in (height, width)]
        near = [(grid - torch.arange(length - 5 + 1)[:, None]).abs() < exclude for grid, length in
                zip(grids, (height, width), strict=True)]  # fmt: skip
        left = [len(grids[0]) * len(grids[1]) - int(rows * columns)
                for rows in near[0].sum(1) for columns in near[1].sum(1)]  # fmt: skip
        return min(left) >= similar

    smallest = next(edge for edge in range(7, 99) if fits(edge, edge))
    for height, width in ((smallest, smallest), (smallest - 1, smallest - 1), (9, 40), (40, 8), (20, 26)):
        if min(height, width) < 7:
            continue
        if fits(height, width):
            masker.check_size(height, width)
            continue
        message = rf"^{key}: .* at least {smallest}x{smallest} px, got {height}x{width} px"
        with pytest.raises(ValueError, match=message):
            masker.check_size(height, width)
        with pytest.raises(ValueError, match=message):
            masker.mask_at(noise(1, 1, height, width), torch.tensor([[4, 4]]))


@pytest.mark.parametrize("size", [(16, 64), (64, 16)])
def test_an_image_without_a_region_on_the_grid_is_refused(size: tuple[int, int]) -> None:
    masker = NonLocalMasker(spots="grid", pitch=18)
    with pytest.raises(ValueError, match=r"^pitch: 18 expects images of at least 17x17 px, got"):
        masker.check_size(*size)
    for seed in range(30):
        assert masker.mask(noise(1, 1, 17, 17), torch.Generator().manual_seed(seed)).mask.sum() == 169


@pytest.mark.parametrize("name", ["constant", "periodic"])
@pytest.mark.parametrize("floats", [False, True])
def test_ties_take_the_first_candidates_outside_the_exclusion(name: str, floats: bool) -> None:
    batch = torch.full((1, 1, 40, 40), 7, dtype=torch.uint8)
    if name == "periodic":
        batch = noise(1, 1, 3, 3).repeat(1, 1, 14, 14)[..., :40, :40]
    images = batch.float() / 300 if floats else batch
    found = find_similar(images, torch.tensor([[[5, 5]]]), 5, 5, 3, 9, 3)[0, 0]
    assert found.tolist() == [[2, 14], [2, 17], [2, 20]]


def test_hidden_is_the_region_not_the_core() -> None:
    assert NonLocalMasker(**HOLES).hidden == (2, 2)
