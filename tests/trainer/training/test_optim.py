import math

import pytest
import torch

from src.trainer.config.run_config import OptimizerBlock, SchedulerBlock
from src.trainer.training.optim import learning_rate, make_optimizer


def test_the_published_schedule_halves_the_rate_every_15_epochs():
    block = SchedulerBlock()
    rates = [learning_rate(block, 5e-6, epoch, (epoch - 1) / 100) for epoch in (1, 15, 16, 30, 31, 100)]
    assert rates == pytest.approx([5e-6, 5e-6, 2.5e-6, 2.5e-6, 1.25e-6, 5e-6 / 2**6], rel=1e-12)


def test_step_takes_its_size_and_factor_from_the_configuration():
    block = SchedulerBlock(type="step", step_size=2, gamma=0.1)
    assert [learning_rate(block, 1.0, epoch, 0.5) for epoch in (1, 2, 3, 5)] == pytest.approx(
        [1, 1, 0.1, 0.01]
    )


def test_cosine_falls_from_the_first_step_to_zero_at_the_end():
    block = SchedulerBlock(type="cosine")
    rates = [learning_rate(block, 2.0, 1, progress) for progress in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert rates == pytest.approx([2.0, 1 + math.sqrt(0.5), 1.0, 1 - math.sqrt(0.5), 0.0])


def test_constant_stays():
    block = SchedulerBlock(type="constant")
    assert {learning_rate(block, 2.0, epoch, epoch / 100) for epoch in (1, 50, 100)} == {2.0}


def test_adam_is_as_published():
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = make_optimizer([weight], OptimizerBlock(betas=(0.8, 0.9)), 1e-2)
    (group,) = optimizer.param_groups
    assert isinstance(optimizer, torch.optim.Adam)
    assert (group["lr"], group["betas"], group["eps"], group["weight_decay"]) == (1e-2, (0.8, 0.9), 1e-8, 0)
    assert OptimizerBlock().betas == (0.9, 0.999)


def test_the_first_update_of_adam_by_hand():
    """With both running means corrected for their start, the first step is lr times the gradient's sign."""
    weight = torch.nn.Parameter(torch.tensor([1.0, 1.0]))
    optimizer = make_optimizer([weight], OptimizerBlock(), 0.1)
    (weight * torch.tensor([3.0, -0.2])).sum().backward()
    optimizer.step()
    assert weight.tolist() == pytest.approx([0.9, 1.1], abs=1e-6)


def test_the_fused_update_is_adams():
    weights = {}
    for fused in (False, True):
        parameter = torch.nn.Parameter(torch.linspace(-1, 1, 50))
        optimizer = make_optimizer([parameter], OptimizerBlock(fused=fused), 0.1)
        for step in range(3):
            parameter.grad = (parameter.detach() - step).clone()
            optimizer.step()
        weights[fused] = parameter.detach()
    assert not torch.equal(weights[True], torch.linspace(-1, 1, 50))
    torch.testing.assert_close(weights[True], weights[False], rtol=0, atol=1e-6)
