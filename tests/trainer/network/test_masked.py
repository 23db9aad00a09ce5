"""Denoising whole images by hiding pixels."""

import itertools
import math
from contextlib import nullcontext

import pytest
import torch
from torch.nn import functional as F

from src.masker import NonLocalMasker
from src.masker.grid import grid_points
from src.model import MODELS, DenoisingNetwork
from src.trainer.network import masked as module
from src.trainer.network.masked import Masked
from src.trainer.network.network import Network
from src.trainer.network.tiling import Tiling
from src.util.errors import ConfigError, NonFiniteError, OutOfMemoryError

CPU = torch.device("cpu")


class Blur(DenoisingNetwork):
    """A mean over 3x3 px that records the sizes of its batches."""

    receptive_radius = 1

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, images):
        self.seen.append((len(images), images[0, 0].numel()))
        return F.avg_pool2d(F.pad(images, [1] * 4, mode="replicate"), 3, 1)


def unet():
    """Return a network with a receptive radius of 32 px and batch norm statistics of images."""
    torch.manual_seed(0)
    network = MODELS["NL_BSN"](bsn="UNet2", in_channels=3, features=[4, 8])
    for norm in (layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)):
        norm.momentum = None
    network(torch.rand(8, 3, 64, 64))
    return Network(network, CPU)


def masker(**changes):
    options = {
        "sim_patch_edge": 7,
        "repl_patch_edge": 5,
        "core_edge": 3,
        "pitch": 8,
        "exclude": 7,
        "similar": 2,
    }
    return NonLocalMasker(**options | changes)


def image(height, width, channels=3):
    return torch.rand(channels, height, width, generator=torch.Generator().manual_seed(height + width))


def denoised(noisy, network=None, **changes):
    return Masked(network or Network(Blur(), CPU), masker(**changes)).denoise(noisy, "a.png")


@pytest.mark.parametrize("core", [None, 3])
def test_a_pixel_is_the_mean_over_its_cores(core):
    noisy, hide = image(41, 46), masker(core_edge=core)
    core = core or 5
    ring = (5 - core) // 2
    seen = F.pad(noisy[None], [ring] * 4, mode="reflect")
    total, count = torch.zeros_like(noisy), torch.zeros(41, 46)
    for phase in itertools.product(range(0, 8, core), repeat=2):
        hidden, mask = hide.mask_at(seen, grid_points(*seen.shape[2:], 8, 5, phase))
        inside = [slice(ring, ring + edge) for edge in noisy.shape[1:]]
        hidden = F.pad(hidden[..., inside[0], inside[1]], [ring] * 4, mode="reflect")
        total += (Blur()(hidden) * mask)[0][:, inside[0], inside[1]]
        count += mask[0, 0][inside[0], inside[1]]
    result = denoised(noisy, core_edge=None if core == 5 else core)
    # At the ends of rows and columns, regions are moved inside.
    known = count.new_zeros(41, 46, dtype=torch.bool)
    known[:32, :32] = True
    assert set(count[known].tolist()) == {1, 2, 4}
    torch.testing.assert_close(result[:, known], (total / count)[:, known], rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (2, 150), (7, 64), (129, 21), (128, 12)])
@pytest.mark.parametrize(
    "changes",
    [{"core_edge": 5, "similar": 40}, {"core_edge": None, "center_only": True}],
)
def test_each_pixel_is_in_a_core(size, changes):
    """A pixel outside all cores would be NaN, which is refused."""
    noisy = image(*size)
    result = denoised(noisy, pitch=6, **changes)
    assert result.shape == noisy.shape and result.dtype == torch.float32
    assert result.min() >= noisy.min() - 1e-6 and result.max() <= noisy.max() + 1e-6


def test_a_grey_image_is_denoised():
    assert denoised(image(40, 33, channels=1)).shape == (1, 40, 33)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Make small images have several blocks."""
    monkeypatch.setattr(module, "BLOCK", 128)
    monkeypatch.setattr(module, "_NARROW", 32)


QUICK = {"sim_patch_edge": 9, "repl_patch_edge": 7, "core_edge": 5, "pitch": 9, "exclude": 9}


@pytest.mark.parametrize(("more", "alike", "axis"), [(200, 128, 1), (300, 256, 2)])
def test_a_result_does_not_depend_on_the_image_size(more, alike, axis):
    """A block whose surroundings lie inside both images is the same, bit for bit."""
    large = image(340, 40).movedim(1, axis)
    whole, part = denoised(large, unet(), **QUICK), denoised(large.narrow(axis, 0, more), unet(), **QUICK)
    assert torch.equal(part.narrow(axis, 0, alike), whole.narrow(axis, 0, alike))
    assert not torch.equal(part, whole.narrow(axis, 0, more))


@pytest.mark.parametrize(("changed", "seen"), [(150, slice(100, 128)), (110, slice(128, 140))])
def test_a_block_depends_on_its_surroundings(changed, seen):
    noisy = image(170, 40)
    before = denoised(noisy, unet(), **QUICK)
    noisy[:, changed] = 0
    assert (denoised(noisy, unet(), **QUICK) - before)[:, seen].abs().max() > 1e-3


def test_a_result_does_not_depend_on_tiles():
    noisy, network = image(90, 140), unet()
    expected = denoised(noisy, network, **QUICK)
    network.tiling = Tiling(40, 0)
    assert torch.equal(denoised(noisy, network, **QUICK), expected)


@pytest.mark.parametrize("place", [(70, 60), (3, 3), (0, 50), (130, 137), (159, 64)])
def test_a_pixels_own_value_does_not_change_its_result(place):
    """As long as no region in the receptive field can be filled from around the pixel."""
    row, column = place
    noisy, options = image(160, 162), QUICK | {"exclude": 60}
    before = denoised(noisy, unet(), **options)
    noisy[:, row, column] += 1e-3
    after = denoised(noisy, unet(), **options)
    assert torch.equal(after[:, row, column], before[:, row, column])
    assert not torch.equal(after, before)


def test_memory_is_bounded(monkeypatch):
    noisy, small, asked, bands, blur = image(160, 170), image(60, 50), [], [], Blur()
    expected = denoised(small, unet())
    monkeypatch.setattr(module, "_AT_ONCE_ELSEWHERE", 40_000)

    def read(rows, columns):
        asked.append(len(rows) * len(columns))
        return noisy[:, rows[:, None], columns]

    hidden = Masked(Network(blur, CPU), masker(core_edge=5))
    hidden.denoise_bands(160, 170, read, lambda *band: bands.append(band), "a")
    assert max(count * pixels for count, pixels in blur.seen) <= 40_000
    assert {count for count, _ in blur.seen} >= {2, 4}
    assert max(asked) < 150**2
    assert [(top, band.shape) for top, band in bands] == [(0, (3, 128, 170)), (128, (3, 32, 170))]
    monkeypatch.setattr(module, "_AT_ONCE_ELSEWHERE", 1)
    torch.testing.assert_close(denoised(small, unet()), expected, rtol=0, atol=1e-4)


def test_a_large_exclusion_enlarges_the_search_area():
    """Within the image, and for small images within its reflection."""
    assert denoised(image(5, 9), core_edge=5, exclude=30).shape == (3, 5, 9)
    asked, noisy = [], image(160, 20)

    def read(rows, columns):
        asked.append(rows.tolist())
        return noisy[:, rows[:, None], columns]

    hidden = Masked(Network(Blur(), CPU), masker(core_edge=5, exclude=30))
    hidden.denoise_bands(160, 20, read, lambda *_: None, "a")
    assert len(asked) == 2 and all(rows == sorted(set(rows)) and len(rows) > 65 for rows in asked)


@pytest.mark.parametrize(("height", "blocks"), [(128, 1), (159, 1), (160, 2), (287, 2), (288, 3)])
def test_progress_counts_the_passes_over_blocks_none_of_which_is_narrow(monkeypatch, height, blocks):
    counts = []

    class Bar:
        update = counts.append

    monkeypatch.setattr(module, "progress_bar", lambda total, unit: nullcontext(counts.append(-total) or Bar))
    denoised(image(height, 12), core_edge=5)
    assert counts[0] == -4 * blocks and sum(counts) == 0


class Tight(Blur):
    """Has memory for at most `most` images."""

    def __init__(self, most):
        super().__init__()
        self.most = most

    def forward(self, images):
        if len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().forward(images)


def test_out_of_memory_halves_the_batch(messages):
    noisy = image(60, 50)
    torch.testing.assert_close(denoised(noisy, Network(Tight(2), CPU)), denoised(noisy))
    assert [line for line in messages if "out of memory" in line] == [
        "WARNING a.png: out of memory; continuing with 4 blocks at once",
        "WARNING a.png: out of memory; continuing with 2 blocks at once",
    ]


def test_out_of_memory_with_a_single_block_is_an_error():
    with pytest.raises(OutOfMemoryError, match=r"a\.png: out of memory on cpu, even with one block"):
        denoised(image(60, 60), Network(Tight(0), CPU))


def test_other_errors_are_raised():
    class Broken(Blur):
        def forward(self, images):
            raise RuntimeError("sizes do not match")

    with pytest.raises(RuntimeError, match="sizes do not match"):
        denoised(image(60, 60), Network(Broken(), CPU))


@pytest.mark.parametrize("training", [True, False])
def test_weights_and_mode_are_kept(training):
    network = unet()
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    network.module.train(training)
    denoised(image(40, 40), network, **QUICK)
    assert network.module.training is training
    assert all(torch.equal(value, before[name]) for name, value in network.module.state_dict().items())


def test_a_non_finite_result_is_refused():
    network = unet()
    with torch.no_grad():
        next(network.module.parameters()).fill_(math.nan)
    with pytest.raises(NonFiniteError, match=r"a\.png: the network's output is not finite"):
        denoised(image(40, 40), network, **QUICK)


class Unknown(Blur):
    receptive_radius = None


@pytest.mark.parametrize(
    ("network", "changes", "message"),
    [
        (Network(Blur(), CPU), {"pitch": 5}, r"pitch: --masked expects more than repl_patch_edge \(5\)"),
        (Network(Unknown(), CPU), {}, "--masked: the receptive field of this network is unknown"),
        (Network(Blur(), CPU, ensemble=True), {}, "--masked and --ensemble: say one of them"),
    ],
    ids=["pitch", "receptive_radius", "ensemble"],
)
def test_unsuitable_networks_and_maskers_are_refused(network, changes, message):
    with pytest.raises(ConfigError, match=message):
        Masked(network, masker(**changes))
