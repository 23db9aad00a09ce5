"""The searches in floating-point and 8-bit images against brute force."""

import numpy as np
import pytest
import torch

from src.masker import levels as by_levels
from src.masker import similarity
from src.masker.levels import PATCH_VALUES, to_levels
from src.masker.similarity import find_similar, window_hashes


def brute_force(
    image: torch.Tensor,
    points: torch.Tensor,
    sim: int,
    repl: int,
    stride: int,
    exclude: int = 0,
    count: int = 1,
) -> torch.Tensor:
    """Find (N, K, 2) similar centres in a (C, H, W) image by float64 differences of all pairs."""
    margin, radius = sim // 2 - repl // 2, repl // 2
    levels = (image * 255).round()
    image = levels if torch.equal(levels / 255, image) else image
    padded = np.pad(image.double().numpy(), ((0, 0), (margin, margin), (margin, margin)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (sim, sim), axis=(1, 2))
    candidates = windows[:, ::stride, ::stride]
    found = []
    for row, column in points.tolist():
        difference = candidates - windows[:, row - radius, column - radius][:, None, None]
        distance = (difference**2).sum((0, 3, 4))
        distance[~difference.any((0, 3, 4))] = np.inf
        order = distance.argsort(axis=None, kind="stable")
        centres = np.stack(np.unravel_index(order, distance.shape), axis=-1) * stride + radius
        far = np.abs(centres - (row, column)).max(-1) >= exclude
        found.append(centres[far][:count])
    return torch.from_numpy(np.array(found))


def random_points(number: int, image: torch.Tensor, repl: int, generator: torch.Generator) -> torch.Tensor:
    """Draw (N, 2) points whose regions fit into a (C, H, W) image, at any distance from each other."""
    radius = repl // 2
    return torch.stack(
        [torch.randint(radius, edge - radius, (number,), generator=generator) for edge in image.shape[1:]], -1
    )


def levels(*shape: int, generator: torch.Generator, number: int = 256) -> torch.Tensor:
    """Draw multiples of 1/256: their sums of squares are exact, so ties are exact."""
    return torch.randint(number, shape, generator=generator) / 256


def photograph(*shape: int, generator: torch.Generator, number: int = 256) -> torch.Tensor:
    """Draw an 8-bit image from the `number` darkest levels."""
    return torch.randint(number, shape, generator=generator) / 255


def overexposed(generator: torch.Generator) -> torch.Tensor:
    image = photograph(3, 70, 70, generator=generator)
    image[:, 10:60, :40] = 1
    image[:, 30, 20] = 254 / 255
    return image


def saturated(generator: torch.Generator) -> torch.Tensor:
    image = (levels(3, 70, 70, generator=generator) * 2 - 0.3).clamp(0, 1)
    image[:, 10:60, :40] = 1
    image[:, 30, 20] = 0.5
    return image


def dotted(generator: torch.Generator) -> torch.Tensor:
    """Return flat grey with single bright pixels: many different patches tie."""
    image = torch.full((1, 64, 64), 0.3)
    image[0, torch.tensor([9, 30, 51]), torch.tensor([40, 13, 33])] = 0.7
    return image


def nearly_periodic(generator: torch.Generator) -> torch.Tensor:
    """Return equal tiles with single pixels off by 1e-6, far below the rounding of a sum of squares."""
    image = torch.rand(3, 20, 20, generator=generator).repeat(1, 4, 4)
    image[1, 25, 31] += 1e-6
    image[0, 44, 8] += 2e-6
    return image


IMAGES = {
    "random": lambda generator: torch.rand(3, 64, 64, generator=generator),
    "grey, tall": lambda generator: torch.rand(1, 90, 50, generator=generator),
    "five channels, wide": lambda generator: torch.rand(5, 45, 77, generator=generator),
    "8 bits": lambda generator: levels(3, 64, 64, generator=generator),
    "two levels": lambda generator: levels(1, 64, 64, generator=generator, number=2) * 128,
    "photograph": lambda generator: photograph(3, 64, 64, generator=generator),
    "grey photograph, wide": lambda generator: photograph(1, 45, 77, generator=generator),
    "photograph no wider than a patch": lambda generator: photograph(3, 64, 13, generator=generator),
    "dark photograph, many ties": lambda generator: photograph(1, 64, 64, generator=generator, number=2),
    "black photograph": lambda generator: photograph(3, 64, 64, generator=generator, number=1),
    "overexposed photograph": overexposed,
    "flat": lambda generator: torch.full((3, 64, 64), 0.3),
    "flat but for a few pixels": dotted,
    "saturated": saturated,
    "nearly periodic": nearly_periodic,
    "bright": lambda generator: 1000 + levels(1, 64, 64, generator=generator),
}


# sim_patch_edge, repl_patch_edge, stride; also exclude and count.
SEARCHES = pytest.mark.parametrize(
    "search",
    [
        (21, 13, 5), (7, 7, 3), (9, 3, 1), (1, 1, 2),
        (21, 13, 3, 21, 4), (7, 7, 3, 0, 3), (9, 3, 1, 1, 2), (9, 3, 2, 12, 1), (1, 1, 2, 5, 40),
    ],
    ids=str,
)  # fmt: skip


@SEARCHES
@pytest.mark.parametrize("name", IMAGES)
def test_agrees_with_brute_force(
    name: str, search: tuple[int, ...], device: torch.device, generator: torch.Generator
) -> None:
    image = IMAGES[name](generator)
    points = random_points(25, image, search[1], generator)
    found = find_similar(image[None].to(device), points[None].to(device), *search)[0].cpu()
    assert torch.equal(found, brute_force(image, points, *search))


@pytest.mark.parametrize("options", [(), (14, 30)], ids=["nearest", "some farther off"])
def test_agrees_with_brute_force_in_small_chunks(
    options: tuple[int, ...], generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several images, and chunks that hold fewer candidates than are to be found."""
    batch = torch.stack([saturated(generator), nearly_periodic(generator)[:, :70, :70]])
    points = torch.stack([random_points(20, image, 5, generator) for image in batch])
    whole = find_similar(batch, points, 9, 5, 3, *options)
    monkeypatch.setattr(similarity, "chunk_bytes", lambda device: 80_000)
    assert torch.equal(find_similar(batch, points, 9, 5, 3, *options), whole)
    for image, spots, found in zip(batch, points, whole, strict=True):
        assert torch.equal(found, brute_force(image, spots, 9, 5, 3, *options))


def test_levels_agree_with_brute_force_in_chunks_of_many_candidates(
    generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = photograph(1, 64, 64, generator=generator)
    points = random_points(20, image, 3, generator)
    monkeypatch.setattr(by_levels, "chunk_bytes", lambda device: 800_000)  # eleven rows of 56 candidates
    found = find_similar(image[None], points[None], 9, 3, 1, 1, 2)[0]
    assert torch.equal(found, brute_force(image, points, 9, 3, 1, 1, 2))


# The integer product of CPUs, and the float products of GPUs and of CPUs without it.
BY_BYTES = pytest.mark.parametrize("by_bytes", [True, False], ids=["bytes", "floats"])


@BY_BYTES
@pytest.mark.parametrize("name", [name for name in IMAGES if "photograph" in name])
@SEARCHES
def test_bytes_agree_with_brute_force(
    name: str, search: tuple[int, ...], by_bytes: bool, device: torch.device, generator: torch.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(by_levels, "HAS_INTEGER_PRODUCT", by_bytes)
    image = IMAGES[name](generator)
    points = random_points(25, image, search[1], generator)
    batch = (image * 255).round().to(torch.uint8)[None]
    found = find_similar(batch.to(device), points[None].to(device), *search)[0].cpu()
    assert torch.equal(found, brute_force(image, points, *search))


@BY_BYTES
@pytest.mark.parametrize("name", ["dark photograph, many ties", "black photograph", "overexposed photograph"])
@pytest.mark.parametrize("options", [(), (14, 40)], ids=["nearest", "some farther off"])
def test_levels_agree_with_brute_force_in_small_chunks(
    name: str, by_bytes: bool, options: tuple[int, ...], generator: torch.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Two rows of candidates per chunk, with ties across chunks."""
    image = IMAGES[name](generator)
    points = random_points(10, image, 5, generator)
    columns = len(range(0, image.shape[2] + 4 - 9 + 1, 2))
    row = columns * 81 * len(image) * (1 if by_bytes else 4)
    monkeypatch.setattr(by_levels, "HAS_INTEGER_PRODUCT", by_bytes)
    monkeypatch.setattr(by_levels, "chunk_bytes", lambda device: 2 * row)
    found = find_similar(image[None], points[None], 9, 5, 2, *options)[0]
    assert torch.equal(found, brute_force(image, points, 9, 5, 2, *options))


@BY_BYTES
def test_many_images_are_searched_in_groups(
    by_bytes: bool, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group of two, and a last one of one image."""
    batch = torch.stack([photograph(3, 40, 40, generator=generator) for _ in range(3)])
    points = torch.stack([random_points(10, image, 5, generator) for image in batch])
    candidates = len(range(0, 40 + 4 - 9 + 1, 3)) ** 2
    monkeypatch.setattr(by_levels, "HAS_INTEGER_PRODUCT", by_bytes)
    monkeypatch.setattr(by_levels, "GROUP_BYTES", 2 * candidates * 81 * 3)
    monkeypatch.setattr(by_levels, "chunk_bytes", lambda device: 2 * candidates * 81 * 3 * 4)
    found = find_similar(batch, points, 9, 5, 3, 9, 3)
    for image, spots, centres in zip(batch, points, found, strict=True):
        assert torch.equal(centres, brute_force(image, spots, 9, 5, 3, 9, 3))


def test_each_image_of_a_batch_is_searched_as_if_alone(
    device: torch.device, generator: torch.Generator
) -> None:
    """8-bit and other images in one batch, which use different searches."""
    batch = torch.stack([
        overexposed(generator), saturated(generator), photograph(3, 70, 70, generator=generator, number=3),
        torch.rand(3, 70, 70, generator=generator),
    ])  # fmt: skip
    points = torch.stack([random_points(20, image, 5, generator) for image in batch])
    found = find_similar(batch.to(device), points.to(device), 9, 5, 3).cpu()
    for image, spots, centres in zip(batch, points, found, strict=True):
        assert torch.equal(centres, brute_force(image, spots, 9, 5, 3))


def test_patches_too_large_for_32_bits_give_the_same_result(
    generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = torch.stack([photograph(3, 64, 64, generator=generator, number=number) for number in (1, 2, 256)])
    points = torch.stack([random_points(40, image, 5, generator) for image in batch])
    found = find_similar(batch, points, 7, 5, 2)
    monkeypatch.setattr(similarity, "PATCH_VALUES", ())
    for images in (batch, (batch * 255).round().to(torch.uint8)):
        assert torch.equal(find_similar(images, points, 7, 5, 2), found)


@BY_BYTES
def test_the_largest_distances_do_not_overflow(by_bytes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Black and white in the largest patches that fit into 32 bits."""
    monkeypatch.setattr(by_levels, "HAS_INTEGER_PRODUCT", by_bytes)
    edge = 181
    assert edge**2 in PATCH_VALUES
    assert (edge + 2) ** 2 not in PATCH_VALUES
    image = torch.zeros(1, edge, 3 * edge)
    image[..., edge:] = 1
    image[..., -1, -1] = 0.2
    point = torch.tensor([[[edge // 2, edge // 2]]])
    assert find_similar(image[None], point, edge, edge, edge).tolist() == [[[[edge // 2, edge * 5 // 2]]]]


@BY_BYTES
def test_large_patches_that_differ_in_one_level_are_distinguished(
    by_bytes: bool, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their products sum up to 5e8, where float32 has steps of 32."""
    monkeypatch.setattr(by_levels, "HAS_INTEGER_PRODUCT", by_bytes)
    edge = 181
    reference = torch.where(torch.rand(edge, edge, generator=generator) < 0.5, 1.0, 254.0)
    first, second = reference.clone(), reference.clone()
    first[3, 5] += 1
    first[90, 7] -= 1
    second[70, 80] += 1
    image = torch.cat((reference, first, second), dim=1)[None, None].to(torch.uint8)
    point = torch.tensor([[[edge // 2, edge // 2]]])
    assert find_similar(image, point, edge, edge, edge).tolist() == [[[[edge // 2, edge * 5 // 2]]]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_8_bit_images_are_recognised(dtype: torch.dtype, device: torch.device) -> None:
    levels = torch.arange(256, dtype=dtype).view(1, 1, 16, 16)
    photo = levels / 255
    off = photo.clone()
    off[0, 0, 15, 14] = torch.nextafter(off[0, 0, 15, 14], off.new_tensor(2.0))
    batch = torch.cat([photo, off, photo * 256, photo - 1 / 255]).to(device)
    comparable, has_levels = to_levels(batch)
    assert has_levels.tolist() == [True, False, False, False]
    assert torch.equal(comparable[:1].cpu(), levels)
    assert torch.equal(comparable[1:], batch[1:])


def test_m8_candidates_may_overlap_the_region_replaced() -> None:
    """As published: on a smooth ramp the nearest patch is a neighbour."""
    ramp = torch.linspace(0, 1, 64).square().expand(1, 1, 64, 64) + torch.linspace(0, 1, 64)[:, None].square()
    found = find_similar(ramp, torch.tensor([[[30, 31]]]), 21, 13, 1)
    assert (found - torch.tensor([30, 31])).abs().max() == 1


def test_half_precision_gives_the_same_result_as_float(generator: torch.Generator) -> None:
    batch = torch.rand(1, 3, 50, 50, generator=generator).bfloat16()
    points = random_points(10, batch[0], 5, generator)[None]
    assert torch.equal(find_similar(batch, points, 9, 5, 2), find_similar(batch.float(), points, 9, 5, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_hashes_are_equal_iff_windows_are_equal(dtype: torch.dtype, device: torch.device) -> None:
    tile = levels(3, 6, 7, generator=torch.Generator().manual_seed(0), number=3)
    images = tile.repeat(2, 1, 3, 3).to(device, dtype)
    images[1, 0, 9, 9] = torch.nextafter(images[1, 0, 9, 9], images.new_tensor(2.0))
    images[0, :, 0, 0], images[0, :, 6, 7] = 0.0, -0.0
    images[:, 2, 12, 14] = 0.0
    hashes = window_hashes(images, 3).flatten()
    windows = images.unfold(2, 3, 1).unfold(3, 3, 1).permute(0, 2, 3, 1, 4, 5).flatten(0, 2).flatten(1)
    same = (windows[:, None] == windows).all(-1)
    assert torch.equal(hashes[:, None] == hashes, same)
