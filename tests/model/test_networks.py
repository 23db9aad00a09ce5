"""All networks: sizes, channels, memory layouts, tiles, gradients, errors."""

import pytest
import torch
from torch import nn

from src.model import MODELS, NETWORKS, NL_BSN, DenoisingNetwork, UNet, UNet2, Window
from src.model.blocks import MaxBlurPool, UShape

NARROW = {"UNet": [4, 8, 16], "UNet2": [4, 8]}


def images(*shape: int) -> torch.Tensor:
    """Return random images, always the same for a shape."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


class Identity(DenoisingNetwork):
    """A network that changes nothing, to test `NL_BSN` itself."""

    stride = 16

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Check the size as a real network of this stride does."""
        assert x.shape[-2] % self.stride == 0 and x.shape[-1] % self.stride == 0
        return x


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("channels", [1, 5])
def test_every_registered_network_denoises_and_learns(model: str, network: str, channels: int) -> None:
    """Output shape is input shape; every parameter gets a finite gradient."""
    built = MODELS[model](bsn=network, in_channels=channels, features=NARROW[network])
    noisy = images(2, channels, 30, 41)
    denoised = built(noisy)
    assert denoised.shape == noisy.shape
    denoised.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in built.parameters())


@pytest.mark.parametrize("network", NETWORKS)
def test_u4_default_features_are_the_networks_own(network: str) -> None:
    """Each network has its own default widths."""
    model = NL_BSN(bsn=network)
    widths = {"UNet": [64, 128, 256, 512], "UNet2": [96, 192]}[network]
    assert [down.conv[0].out_channels for down in model.bsn.down_branch] == widths


def test_published_network_has_its_published_size() -> None:
    """UNet2 [96, 192] is the network of the paper."""
    assert sum(p.numel() for p in NL_BSN("UNet2", 3, [96, 192]).parameters()) == 4_589_859


@pytest.mark.parametrize(
    ("network", "features", "message"),
    [
        *(("UNet2", features, "^features: expected two widths") for features in ([8], [8, 16, 32], [])),
        ("UNet", [], "^features: "),
        ("Unet2", None, r"^bsn: .*got 'Unet2'; did you mean 'UNet2'\?"),
    ],
)
def test_u4_invalid_networks_are_refused_by_key(network: str, features: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NL_BSN(network, features=features)


@pytest.mark.parametrize("network", NETWORKS)
def test_pixel_shuffle_strides_are_accepted(network: str) -> None:
    """Published YAML files contain them; they have no effect."""
    with_strides = NL_BSN(network, 3, NARROW[network], pd_training=3, pd_testing=4)
    assert list(with_strides.state_dict()) == list(NL_BSN(network, 3, NARROW[network]).state_dict())


@pytest.mark.parametrize(("network", "shape"), [("UNet", (64, 40)), ("UNet2", (64, 44))])
def test_multiples_of_the_stride_are_not_padded(network: str, shape: tuple[int, int]) -> None:
    """The output is that of the bare network, bit for bit."""
    model = NL_BSN(network, 3, NARROW[network]).eval()
    noisy = images(1, 3, *shape)
    assert torch.equal(model(noisy), model.bsn(noisy))


@pytest.mark.parametrize("width", [1, 3, 65, 250])
@pytest.mark.parametrize("height", [1, 2, 3, 65, 66, 67, 250])
def test_u1_u3_no_size_is_resampled(height: int, width: int) -> None:
    """With a network that changes nothing, no pixel changes at any size."""
    model = NL_BSN("UNet2", 3, [4, 8])
    model.bsn = Identity()
    noisy = images(1, 3, height, width)
    assert torch.equal(model(noisy), noisy)


def test_u1_odd_sizes_are_reflected_to_the_right_and_below() -> None:
    """The network sees the image reflected beyond its edge."""
    model = NL_BSN("UNet2", 1, [4, 8]).eval()
    noisy = images(1, 1, 6, 7)
    rows, columns = [0, 1, 2, 3, 4, 5, 4, 3], [0, 1, 2, 3, 4, 5, 6, 5]
    assert torch.equal(model(noisy), model.bsn(noisy[:, :, rows][..., columns])[..., :6, :7])


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3, 1), (1, 66)])
def test_u3_images_of_a_few_pixels_pass(network: str, size: tuple[int, int]) -> None:
    """Down to a single pixel, also in training."""
    noisy = images(2, 3, *size)
    denoised = NL_BSN(network, 3, NARROW[network])(torch.cat([noisy, noisy.flip(0)]))
    assert denoised.shape == (4, 3, *size)
    assert denoised.isfinite().all()


def test_input_is_not_modified() -> None:
    """In-place layers do not touch the caller's tensor."""
    noisy = images(1, 3, 64, 64)
    before = noisy.clone()
    NL_BSN("UNet", 3, [4, 8])(noisy)
    assert torch.equal(noisy, before)


@pytest.mark.parametrize("network", NETWORKS)
def test_u2_channels_last_gives_the_same_and_stays_channels_last(network: str) -> None:
    """The memory layout does not change the output."""
    model = NL_BSN(network, 3, NARROW[network]).eval()
    noisy = images(2, 3, 64, 64)
    expected = model(noisy)
    model = model.to(memory_format=torch.channels_last)
    output = model(noisy.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-5)
    assert output.is_contiguous(memory_format=torch.channels_last)


def settled(network: str, **options) -> NL_BSN:
    """Return a network with batch norm statistics of images, so that all parts affect the output."""
    torch.manual_seed(0)
    model = NL_BSN(network, 3, NARROW[network], **options)
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.momentum = None
    model(images(8, 3, 64, 64))
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("network", NETWORKS)
def test_a_tile_with_its_window_equals_the_whole_image(network: str, align_corners: bool) -> None:
    """Beyond `receptive_radius` from the tile's inner edges, and up to the image's edges."""
    # With aligned corners, coordinates in a tile round differently from those in the whole image.
    tolerance = 1e-4 if align_corners else 1e-5
    model = settled(network, upsample_align_corners=align_corners)
    height, width, receptive_radius = 320, 240, model.bsn.receptive_radius
    noisy = images(2, 3, height, width)
    whole = model(noisy)
    for top, bottom, left in ((80, 240, 0), (160, 320, 16)):
        tile = model.forward_tile(noisy[..., top:bottom, left:], Window(top, left, height, width))
        first, last = top + receptive_radius, bottom - receptive_radius if bottom < height else height
        start = left + receptive_radius if left else 0
        used = tile[..., first - top : last - top, start - left :]
        assert used.numel()
        torch.testing.assert_close(used, whole[..., first:last, start:], rtol=0, atol=tolerance)


@pytest.mark.parametrize("align_corners", [True, False])
def test_a_tile_without_its_window_differs_with_aligned_corners(align_corners: bool) -> None:
    """With aligned corners the result depends on the size of the input."""
    model, noisy = settled("UNet2", upsample_align_corners=align_corners), images(1, 3, 320, 320)
    tile = model(noisy[..., 80:240, 80:240])
    difference = (tile[..., 64:96, 64:96] - model(noisy)[..., 144:176, 144:176]).abs().max()
    assert difference > 1e-3 if align_corners else difference < 1e-5


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("network", NETWORKS)
def test_receptive_radius_matches_the_spread_of_nan(network: str, align_corners: bool) -> None:
    """NaN spreads to all pixels that depend on it, for any weights."""
    model = settled(network, upsample_align_corners=align_corners)
    noisy = images(1, 3, 64, 160)
    noisy[..., :16] = torch.nan
    spread = model(noisy)[0, 0].isnan().any(dim=0).nonzero().max().item() - 15
    noisy = noisy.flip(-1)
    spread = max(spread, 144 - model(noisy)[0, 0].isnan().any(dim=0).nonzero().min().item())
    assert abs(spread - model.bsn.receptive_radius) <= 1  # upsampling multiplies NaN by zero


def test_corners_are_aligned_by_default() -> None:
    """The option does not change the names of weights."""
    published, other = settled("UNet2"), settled("UNet2", upsample_align_corners=False)
    other.load_state_dict(published.state_dict())
    noisy = images(1, 3, 64, 64)
    assert torch.equal(published(noisy), settled("UNet2", upsample_align_corners=True)(noisy))
    assert not torch.allclose(published(noisy), other(noisy), atol=1e-3)


@pytest.mark.parametrize("network", NETWORKS)
def test_bfloat16_autocast_learns(network: str) -> None:
    """Mixed precision on the CPU, with odd sizes, gives finite float32 gradients."""
    model = NL_BSN(network, 3, NARROW[network])
    with torch.autocast("cpu", torch.bfloat16):
        denoised = model(images(2, 3, 31, 33))
    denoised.float().square().mean().backward()
    assert all(p.grad.isfinite().all() and p.grad.dtype == torch.float32 for p in model.parameters())


@pytest.mark.parametrize("network", [UNet(3, (4, 8)), UNet2(3, (4, 8))], ids=["UNet", "UNet2"])
@pytest.mark.parametrize("size", [(66, 64), (64, 65)])
def test_bare_network_refuses_other_sizes(network: UShape, size: tuple[int, int]) -> None:
    """An error instead of an output of another size."""
    with pytest.raises(ValueError, match="multiples of 4"):
        network(images(1, 3, *size))


def test_u7_the_list_of_features_is_copied() -> None:
    """The caller's list is neither kept nor changed."""
    features = [4, 8]
    model = NL_BSN("UNet", 3, features)
    features.append(16)
    assert model.bsn.stride == 4
    assert NL_BSN("UNet", 3, features).bsn.stride == 8


def test_u5_blur_kernel_is_symmetric_and_keeps_the_mean() -> None:
    """One bright pixel becomes 1 2 1 in both directions."""
    pool = MaxBlurPool()
    spot = torch.zeros(1, 1, 10, 10)
    spot[..., 4, 4] = 16
    expected = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]])
    torch.testing.assert_close(pool(spot)[0, 0, 1:4, 1:4], expected)
    assert pool.blur_kernel.shape == (1, 1, 3, 3)
    assert pool.blur_kernel.sum() == 1


def test_u6_pooling_darkens_the_border_as_published() -> None:
    """Zero padding is part of the method: edges keep 3/4, corners 9/16."""
    pooled = MaxBlurPool()(torch.ones(1, 2, 8, 8))
    torch.testing.assert_close(pooled[0, 1, 0], torch.tensor([0.5625, 0.75, 0.75, 0.5625]))
    torch.testing.assert_close(pooled[0, 1, 1], torch.tensor([0.75, 1.0, 1.0, 0.75]))


class Plain(DenoisingNetwork):
    """A network whose only option is `in_channels`."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, in_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix the channels."""
        return self.conv(x)


def test_options_that_a_network_does_not_have_are_refused(monkeypatch) -> None:
    monkeypatch.setitem(NETWORKS, "Plain", Plain)
    assert NL_BSN("Plain", 2)(torch.rand(1, 2, 5, 7)).shape == (1, 2, 5, 7)
    with pytest.raises(ValueError, match="features: Plain has no such option"):
        NL_BSN("Plain", 2, [4, 8])
    with pytest.raises(ValueError, match="upsample_align_corners: Plain has no such option"):
        NL_BSN("Plain", 2, upsample_align_corners=False)


def test_a_network_must_implement_forward() -> None:
    with pytest.raises(NotImplementedError, match="DenoisingNetwork must implement `forward`"):
        DenoisingNetwork()(torch.rand(1, 3, 4, 4))
