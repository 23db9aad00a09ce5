"""The mean of weights over the steps, and batch norm that is frozen."""

import pytest
import torch
from torch import nn

from src.trainer.optim import WeightMean, freeze_norm


class Tiny(nn.Module):
    """A weight, a running statistic and a count."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([2.0]))
        self.register_buffer("running", torch.tensor([10.0]))
        self.register_buffer("count", torch.tensor(0))


def step_to(module, weight):
    with torch.no_grad():
        module.weight.fill_(weight)
        module.running.fill_(weight)
        module.count += 1


def test_the_mean_by_hand():
    """After n steps (1 + n) / (10 + n) of it stay, later what is asked for; a count is the latest."""
    module = Tiny()
    mean = WeightMean(module, 0.5)
    weight, running = 2.0, 10.0
    for step in range(1, 12):
        step_to(module, float(step))
        mean.update(step)
        stays = min(0.5, (1 + step) / (10 + step))
        weight, running = (stays * old + (1 - stays) * step for old in (weight, running))
        assert mean.state_dict()["weight"].item() == pytest.approx(weight, rel=1e-6)
        assert mean.state_dict()["running"].item() == pytest.approx(running, rel=1e-6)
        assert mean.state_dict()["count"].item() == step
    assert (1 + step) / (10 + step) > 0.5  # both rules were in force
    assert module.weight.item() == 11


def test_the_mean_of_weights_that_stay_is_these_weights():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    mean = WeightMean(module, 0.999)
    for step in range(1, 30):
        mean.update(step)
    assert all(torch.equal(mean.state_dict()[name], value) for name, value in module.state_dict().items())


def test_the_mean_stands_in_and_the_weights_come_back_even_after_an_error():
    module = Tiny()
    mean = WeightMean(module, 0.9)
    step_to(module, 7.0)
    mean.update(1)
    before = {name: value.clone() for name, value in mean.state_dict().items()}
    with pytest.raises(RuntimeError), mean.in_place():
        assert torch.equal(module.weight, before["weight"]) and torch.equal(module.running, before["running"])
        # Whoever saves meanwhile saves each for what it is.
        assert all(torch.equal(mean.state_dict()[name], value) for name, value in before.items())
        assert mean.latest()["weight"].item() == 7
        raise RuntimeError
    assert (module.weight.item(), mean.latest()["weight"].item()) == (7, 7)
    assert all(torch.equal(mean.state_dict()[name], value) for name, value in before.items())


def test_a_mean_goes_on_from_one_that_was_saved():
    module, other = Tiny(), Tiny()
    mean, later = WeightMean(module, 0.9), WeightMean(other, 0.9)
    step_to(module, 7.0)
    mean.update(1)
    later.load_state_dict(mean.state_dict())
    other.load_state_dict(module.state_dict())
    for each in (mean, later):
        each.update(2)
    assert torch.equal(mean.state_dict()["weight"], later.state_dict()["weight"])


def test_frozen_batch_norm_answers_in_training_as_it_does_afterwards_and_still_learns():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
    images = torch.rand(4, 3, 8, 8)
    module(images)
    afterwards = module.eval()(images)
    freeze_norm(module.train())
    statistics = [buffer.clone() for buffer in module[1].buffers()]
    assert torch.equal(module[:2](images), afterwards)
    module(images * 5).square().mean().backward()
    assert all(torch.equal(a, b) for a, b in zip(statistics, module[1].buffers(), strict=True))
    assert all(parameter.grad.abs().sum() > 0 for parameter in module.parameters())
    assert module[0].training and module[2].training
