import sys

import pytest
import torch

from benchmarks import settings, step
from benchmarks.masking import draw_by_rejection, mask_by_loops, mask_by_volume
from src.masker import NonLocalMasker
from src.masker.blind_spots import MIN_DISTANCE

SMALL = ["--features", "4", "8", "--edge", "32", "--batch", "1", "--repeats", "1"]


@pytest.mark.parametrize("obvious", [mask_by_loops, mask_by_volume])
def test_the_obvious_maskers_agree_with_ours(obvious, monkeypatch):
    masker = NonLocalMasker(sim_patch_edge=9, repl_patch_edge=5, speedup_factor=3, pixel_perc=0.002)
    batch = torch.rand(2, 3, 48, 40, generator=torch.Generator().manual_seed(0))
    points = torch.tensor([[[5, 20], [30, 8], [40, 35]], [[20, 20], [8, 30], [33, 5]]])
    drawn = iter(points.tolist())
    monkeypatch.setattr("benchmarks.masking.draw_by_rejection", lambda *_: next(drawn))
    monkeypatch.setattr("benchmarks.masking.draw_points", lambda *_: points)
    expected, found = masker.mask_at(batch, points), obvious(masker, batch, torch.Generator())
    assert torch.equal(found.image, expected.image)
    assert torch.equal(found.mask, expected.mask)


def test_spots_drawn_by_rejection_keep_their_distance():
    generator = torch.Generator().manual_seed(0)
    spots = torch.tensor(draw_by_rejection(torch.zeros(3, 64, 64), 0.002, 6, generator))
    assert len(spots) == 8
    assert spots.min() >= 6 and spots.max() < 58
    apart = torch.cdist(spots.float(), spots.float()) + 100 * torch.eye(8)
    assert apart.min() >= MIN_DISTANCE


def test_the_three_steps_are_compared_and_the_parts_of_the_whole_one_printed(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["step", *SMALL, "--edge", "64", "--rounds", "1", "--workers", "0"])
    step.main()
    out = capsys.readouterr().out
    rows = [line for line in out.splitlines() if "of the bare step" in line]
    assert [row.split()[0] for row in rows] == ["bare", "whole", "obvious"]
    for part in ("data", "masking", "network", "all else", "points", "search", "paste"):
        assert part in out


def test_settings_are_compared_with_the_matrix_rate(monkeypatch, capsys):
    monkeypatch.setattr(settings, "matrix_rate", lambda precision, device: 1e12)
    monkeypatch.setattr(sys, "argv", ["settings", *SMALL, "--edge", "64", "--profile"])
    settings.main()
    out = capsys.readouterr().out
    assert "convolution" in out.split("by operation:")[1]
    assert "bf16 channels_last" in out and "1.00" in out and "TFLOP" in out


def test_the_operations_of_a_step_are_three_times_those_of_the_network():
    config = settings.read_config("sidd_train", ["model.kwargs.features=[4, 8]"])
    noisy = torch.rand(1, 3, 32, 32)
    masked = NonLocalMasker(sim_patch_edge=9, repl_patch_edge=5, pixel_perc=0.002).mask(noisy)
    bare = settings.Bare(config, torch.device("cpu"), noisy, masked)
    forward = sum(
        2 * layer.weight.numel() * 32 * 32 / scale
        for name, layer in bare.network.module.named_modules()
        if isinstance(layer, torch.nn.Conv2d)
        for scale in [scale_of(name)]
    )
    assert settings.operations_of(bare) == pytest.approx(3 * forward, rel=0.05)


def scale_of(name):
    """Return the factor by which a layer of UNet2 has fewer pixels than the input."""
    if "bottom" in name:
        return 16
    return 4 if any(part in name for part in ("down_branch.1", "up_branch.0", "up_branch.1")) else 1
