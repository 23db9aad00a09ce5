import pytest
import torch
from torch import nn

from src.model import NL_BSN, folded


@pytest.fixture(params=["UNet", "UNet2"])
def network(request):
    """A network in 64 bits with random batch norms and the statistics of images."""
    torch.manual_seed(0)
    module = NL_BSN(request.param, 3, [4, 8]).double()
    for norm in (layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, -2, 2)
        nn.init.uniform_(norm.bias, -1, 1)
    module(torch.rand(4, 3, 32, 32, dtype=torch.float64))
    return module.eval()


def test_a_folded_network_has_no_batch_norm_and_the_same_output(network):
    images = torch.rand(2, 3, 30, 41, dtype=torch.float64)
    twin = folded(network)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in twin.modules())
    torch.testing.assert_close(twin(images), network(images), rtol=0, atol=1e-12)


def test_folding_does_not_modify_the_network(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    folded(network)
    assert network.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())


def test_a_batch_norm_without_a_convolution_stays():
    torch.manual_seed(0)
    module = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1), nn.ReLU(), nn.BatchNorm2d(3))
    module(torch.rand(2, 3, 8, 8))
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(folded(module.eval())(images), module(images))
