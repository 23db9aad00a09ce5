"""Batch norm over the images of two processes, simulated by two threads."""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from src.trainer.parallel.distributed import ALONE
from src.trainer.parallel.shared_norm import SharedBatchNorm

CHANNELS = 5
LAYOUTS = [torch.contiguous_format, torch.channels_last]


class Group:
    """Adds up the values of both threads like `Processes.sum`."""

    def __init__(self):
        self.barrier = threading.Barrier(2, timeout=20)
        self.given = [None, None]
        self.sums = 0

    def member(self, number):
        return SimpleNamespace(sum=partial(self._sum, number))

    def _sum(self, number, values):
        self.given[number] = values
        self.barrier.wait()
        total = self.given[0] + self.given[1]
        self.sums += number
        self.barrier.wait()
        return total


def initialised(norm, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)  # each thread has its own
    nn.init.uniform_(norm.weight, 0.5, 1.5, generator)
    nn.init.normal_(norm.bias, generator=generator)
    return norm.to(dtype).train()


def results(norm, images, gradient):
    """Return output, gradients and running statistics after one step."""
    images = images.clone().requires_grad_()
    output = norm(images)
    gradients = torch.autograd.grad(output, (images, norm.weight, norm.bias), gradient)
    return [output.detach(), *gradients, norm.running_mean, norm.running_var]


def shared(images, gradient, first, dtype=torch.float32):
    """Return the joined results of two threads, the first with `first` images, and the number of sums."""
    group = Group()

    def one(number):
        norm = initialised(SharedBatchNorm(CHANNELS), dtype)
        norm.processes = group.member(number)
        share = slice(first) if number == 0 else slice(first, None)
        found = results(norm, images[share], gradient[share])
        assert all(each.is_contiguous(memory_format=layout_of(images)) for each in found[:2] if len(each))
        return found

    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(one, range(2))
    assert torch.equal(one[4], two[4]) and torch.equal(one[5], two[5])
    joined = [torch.cat(parts) for parts in zip(one[:2], two[:2], strict=True)]
    return [*joined, one[2] + two[2], one[3] + two[3], *one[4:]], group.sums


def layout_of(images):
    return next(layout for layout in LAYOUTS if images.is_contiguous(memory_format=layout))


def batch(dtype, layout, offset=0.5):
    generator = torch.Generator().manual_seed(0)
    images, gradient = torch.randn((2, 4, CHANNELS, 12, 16), dtype=torch.float64, generator=generator)
    images, gradient = (images + offset).to(dtype), (0.1 * gradient + 0.02).to(dtype)
    return images.contiguous(memory_format=layout), gradient.contiguous(memory_format=layout)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("first", [0, 1, 2, 4])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5), (torch.bfloat16, 2e-2)]
)
def test_two_shares_are_normalised_like_the_whole_batch(first, dtype, tolerance, layout):
    images, gradient = batch(dtype, layout)
    parameters = torch.promote_types(dtype, torch.float32)
    expected = results(
        initialised(nn.BatchNorm2d(CHANNELS), torch.float64), images.double(), gradient.double()
    )
    found, sums = shared(images, gradient, first, parameters)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=tolerance, atol=tolerance)
    assert [value.dtype for value in found] == [dtype] * 2 + [parameters] * 4
    assert sums == 2  # one forward, one backward: each waits for the slowest process


def test_the_variance_of_values_far_from_zero_is_exact():
    """In float32, squares of values about 1000 have no digits left for a variance of 1e-4."""
    images, gradient = batch(torch.float32, torch.contiguous_format, 0)
    images = images * 0.01 + 1000
    expected = images.double().var((0, 2, 3))
    found, _ = shared(images, gradient, 1)
    torch.testing.assert_close((found[5].double() - 0.9) * 10, expected, rtol=0, atol=1e-5)
    assert found[0].std() == pytest.approx(1, abs=0.2)


def test_large_channels_without_variance_stay_finite():
    """The computed mean of squares minus the squared mean is below zero for some of these."""
    norm = initialised(SharedBatchNorm(CHANNELS), torch.float64)
    norm.processes = ALONE
    values = torch.linspace(1e6, 9e6, CHANNELS, dtype=torch.float64) / 7
    output = norm(values[None, :, None, None].expand(3, -1, 11, 13).clone())
    assert output.isfinite().all() and norm.running_var.min() >= 0


def test_the_gradient_is_the_derivative():
    norm = initialised(SharedBatchNorm(CHANNELS), torch.float64)
    norm.processes = ALONE
    images, _ = batch(torch.float64, torch.contiguous_format)
    assert torch.autograd.gradcheck(norm, images[:2, :, :3, :3].clone().requires_grad_())


def test_evaluation_is_that_of_batch_norm():
    norm, plain = initialised(SharedBatchNorm(CHANNELS)), initialised(nn.BatchNorm2d(CHANNELS))
    images, _ = batch(torch.float32, torch.contiguous_format)
    for each in (norm, plain):
        each.running_mean += 0.3
    assert torch.equal(norm.eval()(images), plain.eval()(images))


def test_exchanges_are_not_compiled():
    """The compiler could order them differently in each process, which would then wait for ever."""
    seen = []

    def watched(values):
        seen.append(torch.compiler.is_compiling())
        return values

    norm = initialised(SharedBatchNorm(CHANNELS))
    norm.processes = SimpleNamespace(sum=watched)
    images, _ = batch(torch.float32, torch.contiguous_format)
    torch.compile(nn.Sequential(norm, nn.ReLU()), backend="eager")(images).sum().backward()
    assert seen == [False, False]
