import itertools
import math

import pytest
import torch

from src.model import MODELS, NL_BSN
from src.trainer.network.network import Network
from src.trainer.network.tiling import Tiling
from src.util.errors import ConfigError, NonFiniteError, OutOfMemoryError

CPU = torch.device("cpu")


def tiny(**options):
    torch.manual_seed(0)
    return Network(MODELS["NL_BSN"](bsn="UNet2", in_channels=3, features=[4, 8]), CPU, **options)


@pytest.fixture
def image():
    return torch.rand(3, 30, 41, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("training", [True, False])
def test_denoising_keeps_weights_and_mode(image, training):
    network = tiny()
    network.module.train(training)
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    denoised = network.denoise(image, "image")
    assert network.module.training is training
    assert all(torch.equal(value, before[name]) for name, value in network.module.state_dict().items())
    network.module.eval()
    assert torch.allclose(denoised, network.module(image[None])[0], atol=1e-5)


def take_a_step(module, images):
    module(images).square().mean().backward()
    torch.optim.SGD(module.parameters(), lr=0.01).step()


def load_others(module, images):
    module.load_state_dict({name: 0.9 * value for name, value in module.state_dict().items()})


@pytest.mark.parametrize(
    "change",
    [
        take_a_step,
        load_others,
        lambda module, images: module(images),
        lambda module, _: module.half().float(),
    ],
    ids=["step", "load", "statistics", "type"],
)
def test_denoising_uses_the_current_weights(image, change):
    """It keeps nothing from earlier weights."""
    network = tiny()
    before = network.denoise(image, "before")
    change(network.module.train(), torch.rand(2, 3, 32, 32))
    after = network.denoise(image, "after")
    assert not torch.equal(before, after)
    assert torch.allclose(after, network.module.eval()(image[None])[0], atol=1e-5)


def test_e10_u1_images_of_any_size_are_denoised(image):
    for height, width in ((30, 41), (7, 64), (64, 5)):
        small = image.new_ones(3, height, width)
        assert tiny().denoise(small, "small").shape == (3, height, width)


def test_bfloat16_is_close_to_float32_and_gives_float32(image):
    exact, fast = (tiny(precision=p).denoise(image, "image") for p in ("fp32", "bf16"))
    assert fast.dtype == torch.float32
    assert not torch.equal(exact, fast)
    assert torch.allclose(exact, fast, atol=0.02)


def test_in_bfloat16_the_output_is_not_rounded_to_8_bits():
    """Rounding would lose the last bits of images, most of all those of 16-bit images."""
    denoised = tiny(precision="bf16").denoise(torch.rand(3, 32, 32), "image")
    assert not torch.equal(denoised, denoised.bfloat16().float())


def test_u2_channels_last_changes_only_the_layout(image):
    plain, last = tiny(), tiny(channels_last=True)
    weight = next(p for p in last.module.parameters() if p.ndim == 4)
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(plain.denoise(image, "p"), last.denoise(image, "p"), atol=1e-5)


def test_e8_a_non_finite_result_is_refused(image):
    network = tiny()
    with torch.no_grad():
        next(network.module.parameters()).fill_(math.nan)
    with pytest.raises(NonFiniteError, match=r"holiday\.png: the network's output is not finite"):
        network.denoise(image, "holiday.png")


class Exact(NL_BSN):
    """Computes in 64 bits, so that rounding hides no difference."""

    def forward(self, images):
        return super().forward(images.to(next(self.parameters()).dtype))

    def forward_tile(self, images, window):
        return super().forward_tile(images.to(next(self.parameters()).dtype), window)


def settled(**options):
    """Return a network with batch norm statistics of images, so that all parts affect the output."""
    torch.manual_seed(0)
    module = Exact(bsn="UNet2", in_channels=3, features=[4, 8], **options)
    for norm in (layer for layer in module.modules() if isinstance(layer, torch.nn.BatchNorm2d)):
        norm.momentum = None
    module(torch.rand(8, 3, 64, 64))
    return Network(module, CPU)


def large(height, width):
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(height))


SIZES = [(200, 131), (97, 99), (150, 66), (31, 203), (3, 180)]


@pytest.mark.parametrize("overlap", [32, 48, "auto"])
@pytest.mark.parametrize("tile", [32, 50, 64])
def test_without_aligned_corners_tiles_equal_the_whole(tile, overlap):
    network = settled(upsample_align_corners=False)
    network.module.double()
    for size in SIZES:
        network.tiling = Tiling(0)
        whole = network.denoise(large(*size), "whole")
        network.tiling = Tiling(tile, overlap)
        torch.testing.assert_close(network.denoise(large(*size), "tiled"), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("tile", [32, 64])
def test_with_published_corners_tiles_equal_the_whole_but_for_rounding(tile):
    network = settled()
    for size in SIZES:
        network.tiling = Tiling(0)
        whole = network.denoise(large(*size), "whole")
        network.tiling = Tiling(tile)
        torch.testing.assert_close(network.denoise(large(*size), "tiled"), whole, rtol=0, atol=1e-4)


@pytest.mark.parametrize("overlap", [8, 28])
def test_with_less_overlap_tiles_differ_from_the_whole(overlap):
    network = settled(upsample_align_corners=False)
    network.module.double()
    network.tiling = Tiling(0)
    whole = network.denoise(large(200, 131), "whole")
    network.tiling = Tiling(64, overlap)
    assert (network.denoise(large(200, 131), "tiled") - whole).abs().max() > 1e-5


@pytest.mark.parametrize("align_corners", [True, False])
def test_an_ensemble_is_the_mean_over_flips_and_rotations(align_corners):
    network, image = settled(upsample_align_corners=align_corners), large(96, 120)
    network.tiling = Tiling(0)
    turned = []
    for axes, turns in itertools.product(((), (2,)), range(4)):
        denoised = network.denoise(torch.rot90(image.flip(axes), turns, (1, 2)), "turned")
        turned.append(torch.rot90(denoised, -turns, (1, 2)).flip(axes))
    network.ensemble = True
    whole = network.denoise(image, "ensemble")
    torch.testing.assert_close(whole, torch.stack(turned).mean(0), rtol=0, atol=1e-5)
    assert not torch.allclose(whole, turned[0], atol=1e-3)
    for size in ((96, 120), (77, 130)):
        network.tiling = Tiling(0)
        whole = network.denoise(large(*size), "ensemble")
        network.tiling = Tiling(48)
        torch.testing.assert_close(network.denoise(large(*size), "tiled"), whole, rtol=0, atol=1e-4)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_out_of_memory_halves_the_tile(monkeypatch, messages, error):
    network, call = settled(), Network.__call__
    expected = network.denoise(large(300, 290), "whole")

    def scarce(self, images, window=None):
        if images.shape[-1] * images.shape[-2] > 170**2:
            raise error
        return call(self, images, window)

    monkeypatch.setattr(Network, "__call__", scarce)
    for name in ("first.png", "second.png"):
        torch.testing.assert_close(network.denoise(large(300, 290), name), expected, rtol=0, atol=1e-4)
    assert messages == [
        "WARNING first.png: out of memory; continuing with tiles of 150 px (--tile 150)",
        "WARNING first.png: out of memory; continuing with tiles of 75 px (--tile 75)",
    ]


def test_out_of_memory_with_the_smallest_tile_is_an_error(monkeypatch):
    network = settled()

    def scarce(self, images, window=None):
        raise MemoryError

    monkeypatch.setattr(Network, "__call__", scarce)
    with pytest.raises(OutOfMemoryError, match=r"a\.png: out of memory on cpu, even with small tiles"):
        network.denoise(large(64, 64), "a.png")


@pytest.mark.parametrize("how", ["data", "numpy", "fused"])
def test_weights_changed_without_a_trace_are_used(how):
    """With frozen batch norms nothing indicates that weights changed."""
    network, image = settled(), large(40, 40)
    for parameter in network.module.parameters():
        parameter.requires_grad_(True)
    before = network.denoise(image, "a.png")
    convolution = network.module.bsn.tail[-1]
    if how == "data":
        convolution.bias.data += 1
    elif how == "numpy":
        convolution.bias.detach().numpy()[...] += 1
    else:
        optimizer = torch.optim.Adam(network.module.parameters(), lr=0.01, fused=True)
        network.module.eval()(image[None]).sum().backward()
        optimizer.step()
    after = network.denoise(image, "a.png")
    with torch.no_grad():
        expected = network.module.eval()(image[None].double())[0]
    torch.testing.assert_close(after, expected.float(), rtol=1e-4, atol=1e-4)
    assert (after - before).abs().max() > 0.01


def test_other_errors_are_raised(monkeypatch):
    def wrong(self, images, window=None):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(Network, "__call__", wrong)
    with pytest.raises(RuntimeError, match="shapes differ"):
        settled().denoise(large(64, 64), "a.png")


def test_bfloat16_tiles_are_as_exact_as_bfloat16():
    network = settled()
    exact = network.denoise(large(150, 130), "exact")
    network.precision = "bf16"
    whole = network.denoise(large(150, 130), "whole")
    network.tiling = Tiling(64)
    tiled = network.denoise(large(150, 130), "tiled")
    assert (tiled - exact).square().mean() < 2 * (whole - exact).square().mean()


def small(**options):
    """Return a network that compiles quickly."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.ReLU())
    return Network(module, CPU, **options)


def compile_by(monkeypatch, backend):
    """Trace networks as usual, but replace the C++ backend by a faster one."""
    original = torch.compile
    monkeypatch.setattr(torch, "compile", lambda module, **o: original(module, backend=backend, **o))


def test_training_is_compiled_once_per_batch_size(monkeypatch):
    seen = []

    def remember(graph, inputs):
        seen.append(next(i.shape[0] for i in inputs if i.ndim == 4 and i.shape[1:] == (3, 8, 8)))
        return graph.forward

    compile_by(monkeypatch, remember)
    network, plain = small(compiled=True), small()
    images = torch.rand(4, 3, 8, 8)
    for count in (4, 2, 0, 4, 2):  # 0: a process can have an empty share
        assert torch.equal(network(images[:count]), plain(images[:count]))
    network.module.eval()
    assert torch.equal(network(images[:3]), plain(images[:3]))
    assert seen == [4, 2]


def test_a_compiled_network_keeps_the_names_of_its_weights():
    assert small(compiled=True).module.state_dict().keys() == small().module.state_dict().keys()


def test_a_failing_compiler_is_reported_by_key(monkeypatch):
    def fail(graph, inputs):
        raise FileNotFoundError("no C++ compiler")

    compile_by(monkeypatch, fail)
    with pytest.raises(ConfigError, match=r"training\.compile: PyTorch's compiler failed.*g\+\+"):
        small(compiled=True)(torch.rand(1, 3, 8, 8))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_gpu_precision_is_local_to_the_network():
    before = torch.backends.cudnn.allow_tf32
    images = torch.rand(2, 3, 64, 64)
    exact = tiny().module.double()(images.double())
    errors = {}
    for precision in ("fp32", "tf32"):
        network = Network(tiny().module, torch.device("cuda"), precision=precision)
        errors[precision] = (network(images.cuda()).cpu() - exact).abs().max()
        assert torch.backends.cudnn.allow_tf32 == before
    assert errors["fp32"] < 1e-4
