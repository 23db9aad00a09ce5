import sys

import pytest
import torch

from benchmarks import inference, masking
from src.model import NL_BSN
from src.trainer.network.network import Network
from src.trainer.network.tiling import Tiling


@pytest.fixture
def network():
    torch.manual_seed(0)
    module = NL_BSN("UNet2", 3, [4, 8])
    for norm in (layer for layer in module.modules() if isinstance(layer, torch.nn.BatchNorm2d)):
        norm.momentum = None
    module(torch.rand(8, 3, 64, 64))
    return Network(module, torch.device("cpu"))


@pytest.mark.parametrize(("device", "waits"), [("cpu", 0), ("cuda", 4), ("mps", 4)])
def test_times_include_the_wait_for_a_gpu(monkeypatch, device, waits):
    waited = []
    monkeypatch.setattr(torch.accelerator, "synchronize", waited.append)
    monkeypatch.setattr(masking, "peak_memory", lambda device: 0.0)
    masking.measure(lambda: None, 1, torch.device(device))
    inference.interleaved({"a": lambda: None}, 1, device)
    assert len(waited) == waits


def test_borders_lie_between_tiles(network):
    assert inference.borders(130, Tiling(64, 16), network.module) == [44, 88]


def test_energy_across_counts_steps_at_borders_only():
    smooth = torch.arange(60.0).expand(1, 60, 60) / 255
    assert inference.energy_across(smooth, [20], [20, 40]) == pytest.approx(0, abs=1e-6)
    step = smooth + (torch.arange(60) >= 40) / 255
    assert inference.energy_across(step, [], [20, 40]) == pytest.approx(2 / 4, rel=1e-3)
    assert inference.energy_across(step, [], [37]) == pytest.approx(0, abs=1e-6)


def test_only_tiles_without_overlap_differ_from_the_whole_image(network):
    noisy = torch.rand(3, 128, 128, generator=torch.Generator().manual_seed(0))
    network.tiling = Tiling(0)
    whole = network.denoise(noisy, "whole")
    apart = inference.seams(network, noisy, whole, Tiling(64, 0))
    joined = inference.seams(network, noisy, whole, Tiling(64, 40))
    assert apart.largest >= apart.rms > 10 * joined.rms
    assert joined.energy == pytest.approx(1, abs=1e-3)


def test_the_tables_are_printed(monkeypatch, capsys):
    monkeypatch.setattr(inference, "measure_apart", inference.measure)  # a process takes seconds to start
    given = ["--sizes", "0.01", "--features", "4", "8", "--whole", "--threads", "1", "--folder", "2"]
    monkeypatch.setattr(sys, "argv", ["inference", *given])
    monkeypatch.setattr(inference, "PHOTOGRAPH", (40, 60, 3))
    inference.main()
    out = capsys.readouterr().out
    assert out.count("0.01 MP") == 4
    assert "bf16 is" in out and "as a batch than one by one" in out
    assert "one by one 0." in out and "overlapped 0." in out
