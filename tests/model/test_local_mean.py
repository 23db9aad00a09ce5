"""The options `local_mean` and `unshuffle`: outputs, tiles and receptive fields."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from src.model import NL_BSN
from src.model.base import Window
from src.model.blocks import UShape
from src.model.local_mean import LocalMean
from src.trainer.network.network import Network
from src.trainer.network.tiling import Tiling
from tests.trainer.conftest import config, problem

KINDS = {
    "UNet": {"bsn": "UNet", "local_mean": 2.0},
    "UNet2": {"bsn": "UNet2", "local_mean": 1.5},
    "unshuffled": {"bsn": "UNet", "unshuffle": 2},
    "unshuffled, aligned": {"bsn": "UNet", "unshuffle": 2, "upsample_align_corners": True},
    "unshuffled by three, over the mean": {"bsn": "UNet", "unshuffle": 3, "local_mean": 1.0},
}


def images(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def made(channels=3, **kwargs):
    torch.manual_seed(0)
    kwargs = {"bsn": "UNet", "upsample_align_corners": False} | kwargs
    features = [4] if kwargs["bsn"] == "UNet" else [4, 8]
    model = NL_BSN(in_channels=channels, features=features, **kwargs)
    with torch.no_grad():  # for the batch norms' statistics
        model(images(4, channels, 48, 48))
    return model.eval().requires_grad_(False)


def blurred(image, sigma):
    """Blur each plane in float64 with SciPy."""
    planes = image.double().numpy().reshape(-1, *image.shape[-2:])
    blurs = [gaussian_filter(plane, sigma, mode="nearest", truncate=3) for plane in planes]
    return torch.from_numpy(np.stack(blurs)).reshape(image.shape)


@pytest.mark.parametrize("network", ["UNet", "UNet2"])
def test_without_a_local_mean_the_output_is_the_networks(network):
    model, noisy = made(bsn=network), images(1, 3, 32, 48)
    assert torch.equal(model(noisy), model.bsn(noisy))


def test_the_network_adds_detail_to_the_local_mean():
    model, noisy = made(local_mean=2.0), images(2, 3, 32, 48)
    mean = blurred(noisy, 2.0)
    expected = mean + model.bsn((4 * (noisy - mean)).float()).double() / 4
    torch.testing.assert_close(model(noisy).double(), expected, rtol=0, atol=1e-6)
    assert (model(noisy) - noisy).abs().max() > 0.01


def test_a_network_without_detail_gives_the_mean():
    model, noisy = made(local_mean=2.0), images(1, 3, 31, 33)
    model.bsn.tail[-1].weight.zero_()
    model.bsn.tail[-1].bias.zero_()
    inside = model(noisy)[..., :20, :20]  # the mean near the right and lower border includes the padding
    torch.testing.assert_close(inside.double(), blurred(noisy, 2.0)[..., :20, :20], rtol=0, atol=1e-6)


def test_the_mean_is_float32_under_bfloat16():
    """With the 8 significant bits of bfloat16, colours would have steps of a grey level."""
    mean, noisy = LocalMean(3.0), images(1, 3, 20, 30)
    model = made(local_mean=3.0)
    model.bsn.tail[-1].weight.zero_()
    model.bsn.tail[-1].bias.zero_()
    with torch.autocast("cpu", torch.bfloat16):
        alone, result = mean(noisy), model(noisy)
    torch.testing.assert_close(alone.double(), blurred(noisy, 3.0), rtol=0, atol=1e-6)
    assert torch.equal(result, mean(noisy)) and result.dtype == torch.float32


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 2), (17, 31)])
def test_any_size_and_number_of_channels_is_kept(size, channels):
    for kwargs in ({"local_mean": 8.0}, {"unshuffle": 2}, {"unshuffle": 2, "local_mean": 8.0}):
        noisy = images(2, channels, *size)
        assert made(channels, **kwargs)(noisy).shape == noisy.shape
        flat = LocalMean(8.0)(torch.full_like(noisy, 0.3))
        torch.testing.assert_close(flat, torch.full_like(noisy, 0.3))


@pytest.mark.parametrize("kind", KINDS)
def test_tiles_give_the_whole_image(kind):
    network = Network(made(**KINDS[kind]), torch.device("cpu"))
    image = images(3, 130, 111)
    whole = network.denoise(image, "whole")
    network.tiling = Tiling(48)
    tolerance = 1e-4 if network.module.bsn.up_branch[0].align_corners else 1e-5
    torch.testing.assert_close(network.denoise(image, "tiled"), whole, rtol=0, atol=tolerance)


@pytest.mark.parametrize("kind", KINDS)
def test_receptive_radius_matches_the_spread_of_nan(kind):
    """NaN spreads to all pixels that depend on it, for any weights."""
    model = made(**KINDS[kind])
    edge = -(-2 * model.receptive_radius // model.stride) * model.stride
    spread = []
    for half in (slice(None, edge), slice(edge, None)):
        noisy = images(1, 3, 2 * model.stride, 2 * edge)
        noisy[..., half] = torch.nan
        spread.append(model(noisy).isnan().any(dim=2)[0].any(dim=0).sum().item() - edge)
    # Upsampling multiplies NaN by zero, which adds a pixel of the first level. A local mean adds strides.
    longest = model.receptive_radius + KINDS[kind].get("unshuffle", 1)
    assert model.receptive_radius - model.stride < max(spread) <= longest


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_beyond_the_receptive_radius_have_no_influence(kind):
    model = made(**KINDS[kind])
    edge = -(-2 * model.receptive_radius // model.stride) * model.stride
    noisy = images(1, 3, 2 * model.stride, 2 * edge)
    changed = noisy.clone()
    changed[..., :edge] += 1
    difference = (model(changed) - model(noisy)).abs().amax(dim=(0, 1, 2))
    # With aligned corners, weights that round to zero may extend further.
    assert difference[edge + model.receptive_radius :].max() < 5e-6 < 1e-4 < difference[: edge + 1].min()


def test_local_mean_adds_no_weights():
    """Checkpoints with and without it have the same weights."""
    plain, over_mean = made(), made(local_mean=4.0)
    assert plain.state_dict().keys() == over_mean.state_dict().keys()
    over_mean.load_state_dict(plain.state_dict())


def test_unshuffle_is_undone(monkeypatch):
    model, seen = made(unshuffle=2), []
    monkeypatch.setattr(UShape, "_denoise", lambda self, x, window: seen.append((x.shape, window)) or x)
    noisy = images(1, 3, 32, 48)
    for layout in (torch.contiguous_format, torch.channels_last):
        assert torch.equal(model(noisy.contiguous(memory_format=layout)), noisy)
    model.forward_tile(noisy, Window(16, 8, 64, 96))
    assert {shape for shape, _ in seen} == {(1, 12, 16, 24)}
    assert [window for _, window in seen] == [None, None, (8, 4, 32, 48)]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("local_mean: 0", "local_mean: expected a number above 0"),
        ("local_mean: 65", "local_mean: expected a number above 0 and of at most 64"),
        ("local_mean: wide", "local_mean: expected a number"),
        ("bsn: UNet, unshuffle: 0", "unshuffle: expected an integer of at least 1"),
        ("bsn: UNet, unshuffle: 9", "unshuffle: expected an integer of at least 1 and of at most 8"),
        ("bsn: UNet2, unshuffle: 2", "unshuffle: UNet2 has no such option"),
    ],
)
def test_invalid_values_are_refused_by_key(value, message):
    line = problem(f"model: {{kwargs: {{{value}}}}}")
    assert line.startswith(f"model.kwargs.{message}") and line.endswith("(my.yaml, line 1)")


def test_the_keys_reach_the_network():
    loaded = config("model: {kwargs: {bsn: UNet, unshuffle: 2, local_mean: 8}}").model.kwargs
    model = NL_BSN(**loaded)
    assert (model.local_mean.radius, model.bsn.down_branch[0].conv[0].in_channels) == (24, 12)
