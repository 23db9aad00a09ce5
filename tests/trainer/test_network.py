import math

import pytest
import torch

from src.model import MODELS
from src.trainer.network import Network
from src.util.errors import NonFiniteError

CPU = torch.device("cpu")


def tiny(**options):
    torch.manual_seed(0)
    return Network(MODELS["NL_BSN"](bsn="UNet2", in_channels=3, features=[4, 8]), CPU, **options)


@pytest.fixture
def picture():
    return torch.rand(3, 30, 41, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("training", [True, False])
def test_denoising_uses_the_network_as_trained_and_leaves_its_mode(picture, training):
    network = tiny()
    network.module.train(training)
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    denoised = network.denoise(picture, "picture")
    assert network.module.training is training
    assert all(torch.equal(value, before[name]) for name, value in network.module.state_dict().items())
    network.module.eval()
    assert torch.equal(denoised, network.module(picture[None])[0].detach())


def test_e10_u1_a_picture_of_any_size_is_denoised_whole(picture):
    for height, width in ((30, 41), (7, 64), (64, 5)):
        small = picture.new_ones(3, height, width)
        assert tiny().denoise(small, "small").shape == (3, height, width)


def test_bfloat16_is_close_to_float32_and_gives_float32(picture):
    exact, fast = (tiny(precision=p).denoise(picture, "picture") for p in ("fp32", "bf16"))
    assert fast.dtype == torch.float32
    assert not torch.equal(exact, fast)
    assert torch.allclose(exact, fast, atol=0.02)


def test_u2_channels_last_changes_the_layout_alone(picture):
    plain, last = tiny(), tiny(channels_last=True)
    weight = next(p for p in last.module.parameters() if p.ndim == 4)
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(plain.denoise(picture, "p"), last.denoise(picture, "p"), atol=1e-5)


def test_e8_a_result_that_is_not_finite_is_refused_by_the_pictures_name(picture):
    network = tiny()
    with torch.no_grad():
        next(network.module.parameters()).fill_(math.nan)
    with pytest.raises(NonFiniteError, match=r"holiday\.png: the network's output is not finite"):
        network.denoise(picture, "holiday.png")
