"""The loss terms on examples computed by hand."""

import pytest
import torch

from src.loss import LOSSES

NOISY = torch.tensor([[[[0.5, 1.0], [0.0, 0.25]]]])
DENOISED = torch.tensor([[[[0.1, 0.5], [0.5, 0.25]]]])
# Differences: -0.4, -0.5, 0.5, 0


@pytest.mark.parametrize(
    ("name", "mask", "expected"),
    [
        ("self_L1", [[1, 0], [0, 0]], 0.4 / 4),
        ("self_L1", [[1, 1], [0, 0]], 0.9 / 4),
        ("self_L1", [[1, 1], [1, 1]], 1.4 / 4),
        ("self_L2", [[1, 0], [0, 0]], 0.16 / 4),
        ("self_L2", [[0, 1], [1, 0]], 0.5 / 4),
        ("self_L2", [[0, 0], [0, 0]], 0.0),
        ("target_L1", [[1, 1], [0, 0]], 0.9 / 2),
        ("target_L1", [[0, 0], [0, 0]], 0.0),
        ("target_L2", [[1, 1], [1, 1]], 0.66 / 4),
    ],
)
def test_two_by_two_pixels_by_hand(name: str, mask: list, expected: float) -> None:
    """Masked errors, divided by all four pixels for `self_` terms and by the counted ones for `target_`."""
    value = LOSSES[name](DENOISED, NOISY, torch.tensor([[mask]]))
    assert value.item() == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("name", ["self_L1", "self_L2"])
@pytest.mark.parametrize("fraction", [0.1, 0.5, 1.0])
def test_l4_value_scales_with_the_masked_fraction(name: str, fraction: float) -> None:
    """As published, an error of 1 on a tenth of the pixels gives 0.1."""
    mask = torch.zeros(2, 1, 10, 10)
    mask.view(2, 1, -1)[..., : int(100 * fraction)] = 1
    value = LOSSES[name](torch.ones(2, 3, 10, 10), torch.zeros(2, 3, 10, 10), mask)
    assert value.item() == pytest.approx(fraction)


@pytest.mark.parametrize("name", LOSSES)
def test_pixels_outside_the_mask_get_no_gradient(name: str) -> None:
    """Pixels that the network saw do not contribute."""
    denoised = torch.zeros(2, 3, 4, 4, requires_grad=True)
    mask = torch.zeros(2, 1, 4, 4)
    mask[0, 0, 1, 2] = mask[1, 0, 3, 0] = 1
    LOSSES[name](denoised, torch.ones(2, 3, 4, 4), mask).backward()
    assert torch.equal(denoised.grad != 0, mask.bool().expand(2, 3, 4, 4))


@pytest.mark.parametrize("name", LOSSES)
def test_bfloat16_images_are_compared_in_float32(name: str) -> None:
    """1 - 1/512 needs more digits than bfloat16, and so does a mean over 65,536 pixels."""
    denoised = torch.full((1, 1, 256, 256), 1 / 512, dtype=torch.bfloat16)
    mask = torch.ones(1, 1, 256, 256, dtype=torch.bfloat16)
    value = LOSSES[name](denoised, torch.ones_like(denoised), mask)
    assert value.dtype == torch.float32
    difference = 1 - 1 / 512
    expected = difference**2 if name.endswith("L2") else difference
    assert value.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    ("denoised", "mask"),
    [((3, 3, 4, 4), (3, 4, 4)), ((3, 1, 4, 4), (3, 1, 4, 4)), ((3, 3, 4, 4), (3, 3, 4, 4))],
)
def test_shapes_that_only_fit_by_broadcasting_are_refused(name: str, denoised: tuple, mask: tuple) -> None:
    """A mask without its channel axis would weight channels by another image's mask."""
    with pytest.raises(ValueError, match=r"mask \(B, 1, H, W\)"):
        LOSSES[name](torch.zeros(denoised), torch.zeros(3, 3, 4, 4), torch.zeros(mask))
