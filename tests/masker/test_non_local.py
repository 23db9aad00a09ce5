"""The non-local masker: which pixels change, and where their values come from."""

import copy

import pytest
import torch

from src.masker import NonLocalMasker
from src.masker.paste import paste_regions
from src.masker.similarity import find_similar

SMALL = {"sim_patch_edge": 9, "repl_patch_edge": 5, "speedup_factor": 3, "pixel_perc": 0.003}


@pytest.mark.parametrize("center_only", [False, True])
def test_only_masked_pixels_change_in_all_channels(
    batch: torch.Tensor, center_only: bool, generator: torch.Generator, device: torch.device
) -> None:
    batch = batch.to(device)
    untouched = batch.clone()
    image, mask = NonLocalMasker(**SMALL, center_only=center_only).mask(batch, generator)
    assert torch.equal(batch, untouched)
    assert image.shape == batch.shape and mask.shape == (len(batch), 1, *batch.shape[2:])
    assert image.dtype == mask.dtype == batch.dtype
    assert ((mask == 0) | (mask == 1)).all()
    # All pixels of the noise differ, so every replaced pixel changes in every channel.
    assert torch.equal(image != batch, (mask == 1).expand_as(batch))


@pytest.mark.parametrize(("center_only", "radius"), [(False, 2), (True, 0)])
def test_regions_come_from_the_similar_patches(batch: torch.Tensor, center_only: bool, radius: int) -> None:
    points = torch.tensor([[2, 2], [20, 15], [40, 30]])
    similar = find_similar(batch, points.expand(len(batch), -1, -1), 9, 5, 3)[:, :, 0]
    image, mask = NonLocalMasker(**SMALL, center_only=center_only).mask_at(batch, points)
    assert mask.sum((1, 2, 3)).tolist() == [3 * (2 * radius + 1) ** 2] * len(batch)
    for b in range(len(batch)):
        for target, source in zip(points.tolist(), similar[b].tolist(), strict=True):
            replaced, copied = (
                (b, slice(None), *(slice(place - radius, place + radius + 1) for place in centre))
                for centre in (target, source)
            )
            assert torch.equal(image[replaced], batch[copied])
            assert (mask[replaced] == 1).all()
            assert target != source


def test_spots_keep_their_distance_and_regions_fit(generator: torch.Generator) -> None:
    """With a mask of only the centres; none lies in the border."""
    batch = torch.rand(4, 1, 100, 60, generator=generator)
    mask = NonLocalMasker(**SMALL, center_only=True).mask(batch, generator).mask
    for spots in (torch.nonzero(image).float() for image in mask[:, 0]):
        assert len(spots) == 18 and torch.pdist(spots).min() >= 12
        assert spots.min() >= 2 and spots[:, 0].max() < 98 and spots[:, 1].max() < 58


@pytest.mark.parametrize("repl", [1, 5])
def test_spots_cover_every_position_that_fits(repl: int, generator: torch.Generator) -> None:
    """Rows and columns in [r, edge - r); with a wider border the corners would never be hidden."""
    batch = torch.rand(2000, 1, 10, 11, generator=generator)
    masker = NonLocalMasker(sim_patch_edge=7, repl_patch_edge=repl, pixel_perc=0.01, center_only=True)
    drawn = torch.nonzero(masker.mask(batch, generator).mask[:, 0])[:, 1:]
    places = torch.cartesian_prod(torch.arange(10), torch.arange(11))
    inside = ((places >= repl // 2) & (places < torch.tensor([10, 11]) - repl // 2)).all(1)
    assert torch.equal(drawn.unique(dim=0), places[inside])


def test_m9_in_overlaps_the_larger_offset_wins(
    device: torch.device,
) -> None:
    """Independent of the order of the spots. All values come from the unmasked image."""
    batch = torch.arange(400.0).view(1, 1, 20, 20).to(device)
    points, similar = torch.tensor([[[4, 4], [6, 5]]]), torch.tensor([[[6, 5], [15, 15]]])
    expected = batch.clone()
    expected[..., 4:9, 3:8] = batch[..., 13:18, 13:18]
    expected[..., 2:7, 2:7] = batch[..., 4:9, 3:8]
    for order in ([0, 1], [1, 0]):
        image, mask = paste_regions(
            batch, points[:, order].to(device), similar[:, order, None].to(device), edge=5
        )
        assert torch.equal(image, expected)
        assert mask.sum() == 25 + 25 - 12


def test_same_generator_same_mask(batch: torch.Tensor, device: torch.device) -> None:
    masker = NonLocalMasker(**SMALL)
    first, same, other = (
        masker.mask(batch.to(device), torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)
    )
    assert torch.equal(first.image, same.image) and torch.equal(first.mask, same.mask)
    assert not torch.equal(first.mask, other.mask)
    assert torch.equal(first.mask.cpu(), masker.mask(batch, torch.Generator().manual_seed(5)).mask)


def test_points_may_differ_from_image_to_image(batch: torch.Tensor, generator: torch.Generator) -> None:
    masker = NonLocalMasker(**SMALL)
    points = torch.randint(2, 40, (len(batch), 3, 2), generator=generator)
    together = masker.mask_at(batch, points)
    for b, spots in enumerate(points):
        alone = masker.mask_at(batch[b : b + 1], spots)
        assert torch.equal(together.image[b], alone.image[0])
        assert torch.equal(together.mask[b], alone.mask[0])


def test_m6_rows_and_columns_are_not_confused(generator: torch.Generator) -> None:
    """Masking a transposed image at transposed points gives the transposed result."""
    batch = torch.rand(1, 3, 40, 77, generator=generator)
    points = torch.tensor([[30, 60], [8, 70], [20, 12]])
    masker = NonLocalMasker(**SMALL)
    upright, lying = masker.mask_at(batch, points), masker.mask_at(batch.mT, points.flip(1))
    assert torch.equal(upright.image, lying.image.mT) and torch.equal(upright.mask, lying.mask.mT)


def test_memory_layout_does_not_matter(batch: torch.Tensor) -> None:
    points = torch.tensor([[20, 15], [40, 30]])
    masker = NonLocalMasker(**SMALL)
    scattered = masker.mask_at(batch.contiguous(memory_format=torch.channels_last), points)
    assert torch.equal(scattered.image, masker.mask_at(batch, points).image)


@pytest.mark.parametrize(("sim", "repl"), [(5, 5), (13, 13), (1, 1)])
def test_m5_no_padding_where_the_edges_are_equal(sim: int, repl: int, generator: torch.Generator) -> None:
    batch = torch.rand(1, 3, 50, 50, generator=generator)
    mask = NonLocalMasker(sim_patch_edge=sim, repl_patch_edge=repl).mask(batch, generator).mask
    assert repl**2 <= mask.sum() <= 5 * repl**2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sim_patch_edge": 20}, r"^sim_patch_edge: expected an odd number, got 20$"),
        (
            {"repl_patch_edge": 12},
            r"^repl_patch_edge: expected an odd number of at most sim_patch_edge \(21\)",
        ),
        ({"repl_patch_edge": 23}, r"^repl_patch_edge: expected an odd number of at most .*, got 23$"),
        ({"speedup_factor": 0}, "speedup_factor"),
        ({"pixel_perc": 0}, "pixel_perc"),
        ({"center_only": "maybe"}, "center_only"),
        ({"sim_edge": 21}, "sim_edge"),
    ],
)
def test_m4_invalid_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NonLocalMasker(**options)


@pytest.mark.parametrize("size", [(12, 64), (64, 12)])
def test_m11_an_image_smaller_than_its_region_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(
        ValueError, match=r"^sim_patch_edge: 21 with repl_patch_edge 13 .* least 13x13 px, got"
    ):
        NonLocalMasker().mask(torch.rand(1, 3, *size))


def test_m11_an_image_smaller_than_its_padding_is_refused() -> None:
    masker = NonLocalMasker(sim_patch_edge=41, repl_patch_edge=1, pixel_perc=0.0045)
    with pytest.raises(ValueError, match="least 21x21 px, got 20x20 px"):
        masker.check_size(20, 20)
    with pytest.raises(ValueError, match="least 21x21 px, got 20x20 px"):
        masker.mask_at(torch.rand(1, 1, 20, 20), torch.tensor([[9, 9]]))
    assert masker.mask(torch.rand(1, 1, 21, 21)).mask.sum() == 1


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (
            torch.tensor([[5, 30]]),
            r"^points: expected rows in \[6, 58\) and columns in \[6, 44\), got \[5, 30\]$",
        ),
        (torch.tensor([[6, 43], [57, 44]]), r"got \[57, 44\]$"),
        (
            torch.tensor([[30.0, 30.0]]),
            r"^points: expected integers \(N, 2\) or \(B, N, 2\), got torch.float32",
        ),
        (torch.tensor([30, 30]), r"^points: expected integers"),
        (torch.empty(0, 2, dtype=torch.int64), r"^points: expected integers .* \(0, 2\)$"),
    ],
)
def test_points_that_cannot_be_masked_are_refused(points: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NonLocalMasker().mask_at(torch.rand(1, 3, 64, 50), points)


def test_m1_any_device_and_no_state(generator: torch.Generator, device: torch.device) -> None:
    """Results stay on the device of the batch, and masking does not modify the masker."""
    masker = NonLocalMasker(**SMALL)
    before = copy.deepcopy(vars(masker))
    masked = masker.mask(torch.rand(1, 3, 64, 64, generator=generator).to(device), generator)
    assert masked.image.device.type == masked.mask.device.type == device.type
    assert vars(masker) == before


def test_gradients_pass_through_the_pixels_taken(generator: torch.Generator) -> None:
    batch = torch.rand(1, 3, 40, 40, generator=generator, requires_grad=True)
    NonLocalMasker(**SMALL).mask(batch, generator).image.sum().backward()
    assert batch.grad is not None and batch.grad.sum() == batch.numel()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_no_copy_to_the_host_inside_the_step() -> None:
    batch, masker = torch.rand(4, 3, 128, 128, device="cuda"), NonLocalMasker()
    masker.mask(batch, torch.Generator().manual_seed(0))
    torch.cuda.set_sync_debug_mode("error")
    try:
        masker.mask(batch, torch.Generator().manual_seed(0))
    finally:
        torch.cuda.set_sync_debug_mode("default")
