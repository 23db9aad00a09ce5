import pytest
import torch

from src.trainer.optim.optimizers import Adam, AdamW


def test_adam_is_as_published():
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = Adam(betas=(0.8, 0.9))([weight], 1e-2)
    (group,) = optimizer.param_groups
    assert isinstance(optimizer, torch.optim.Adam)
    assert (group["lr"], group["betas"], group["eps"], group["weight_decay"]) == (1e-2, (0.8, 0.9), 1e-8, 0)
    assert Adam().betas == (0.9, 0.999)


def test_the_first_update_of_adam_by_hand():
    """With both running means corrected for their start, the first step is lr times the gradient's sign."""
    weight = torch.nn.Parameter(torch.tensor([1.0, 1.0]))
    optimizer = Adam()([weight], 0.1)
    (weight * torch.tensor([3.0, -0.2])).sum().backward()
    optimizer.step()
    assert weight.tolist() == pytest.approx([0.9, 1.1], abs=1e-6)


def test_adamw_takes_its_share_off_each_weight_besides_whatever_the_gradient():
    weight = torch.nn.Parameter(torch.tensor([2.0, -1.0]))
    optimizer = AdamW(betas=(0.8, 0.9), weight_decay=0.5)([weight], 0.1)
    (weight * torch.tensor([3.0, 0.0])).sum().backward()
    optimizer.step()
    assert weight.tolist() == pytest.approx([2 * 0.95 - 0.1, -1 * 0.95], abs=1e-6)
    (group,) = optimizer.param_groups
    assert (group["betas"], AdamW().betas, AdamW().weight_decay) == ((0.8, 0.9), (0.9, 0.999), 0.01)


@pytest.mark.parametrize("kind", [Adam, AdamW])
def test_the_fused_update_is_the_other(kind):
    weights = {}
    for fused in (False, True):
        parameter = torch.nn.Parameter(torch.linspace(-1, 1, 50))
        optimizer = kind(fused=fused)([parameter], 0.1)
        for step in range(3):
            parameter.grad = (parameter.detach() - step).clone()
            optimizer.step()
        weights[fused] = parameter.detach()
    assert not torch.equal(weights[True], torch.linspace(-1, 1, 50))
    torch.testing.assert_close(weights[True], weights[False], rtol=0, atol=1e-6)
