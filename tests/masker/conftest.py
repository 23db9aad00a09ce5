"""Devices and images for the masker tests."""

import pytest
import torch

CUDA = pytest.param(
    "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
)


@pytest.fixture(params=["cpu", CUDA])
def device(request: pytest.FixtureRequest) -> torch.device:
    """The CPU, and the GPU if there is one."""
    return torch.device(request.param)


@pytest.fixture
def generator() -> torch.Generator:
    """A freshly seeded generator."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(params=[(1, 1, 64, 64), (2, 3, 61, 90), (3, 5, 80, 47)], ids=str)
def batch(request: pytest.FixtureRequest, generator: torch.Generator) -> torch.Tensor:
    """Noise of several shapes, values in [0, 1]."""
    return torch.rand(request.param, generator=generator)
