import pytest
import torch

from src.util.device import resolve_device
from src.util.errors import ConfigError


@pytest.fixture
def gpus(monkeypatch):
    """Returns a function that simulates a number of GPUs."""

    def pretend(count, apple=False):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: f"GPU model {number}")
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: apple)

    return pretend


@pytest.mark.parametrize("choice", [None, "auto"])
def test_c4_without_a_gpu_the_cpu_is_used_and_reported(gpus, choice):
    gpus(0)
    device, line = resolve_device(choice)
    assert device == torch.device("cpu")
    assert "CPU" in line


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("choice", [None, "auto", "0"])
def test_with_a_gpu_the_first_one_is_used_and_named(gpus, choice, count):
    gpus(count)
    device, line = resolve_device(choice)
    assert device == torch.device("cuda", 0)
    assert "GPU model 0" in line


@pytest.mark.parametrize(("choice", "device"), [("1", "cuda:1"), ("cpu", "cpu")])
def test_the_requested_device_is_used(gpus, choice, device):
    gpus(2)
    assert resolve_device(choice)[0] == torch.device(device)


def test_an_apple_gpu_is_used_only_if_there_is_one(gpus):
    gpus(0, apple=True)
    assert resolve_device("mps")[0] == torch.device("mps")
    gpus(0)
    with pytest.raises(ConfigError, match="-g mps: this machine has no Apple GPU"):
        resolve_device("mps")


@pytest.mark.parametrize(("count", "there"), [(0, "no CUDA GPU found"), (2, "only 0, 1 found")])
def test_a_missing_gpu_is_an_error(gpus, count, there):
    gpus(count)
    with pytest.raises(ConfigError, match=f"-g 2: that GPU is not there.*{there}"):
        resolve_device("2")


@pytest.mark.parametrize("choice", ["0,1", "-1", "1.0", "gpu", "None", "", "cuda:0"])
def test_c6_anything_else_is_refused(gpus, choice):
    gpus(2)
    with pytest.raises(ConfigError, match="expected the number of one GPU, cpu, mps or auto"):
        resolve_device(choice)
