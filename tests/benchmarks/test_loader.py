import sys

import pytest
import torch

from benchmarks import loader
from src.data_handlers.samples import samples as samples_module
from src.util.images.folder import list_images


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(samples_module, "CACHE_BYTES", samples_module.CACHE_BYTES)
    monkeypatch.setattr(loader, "EPOCH", 2000)


@pytest.fixture
def pieces(tmp_path):
    for name in ("frames", "pieces"):
        (tmp_path / name).mkdir()
    loader.write_frames(tmp_path / "frames", 1, 96, 112)
    loader.write_pieces(list((tmp_path / "frames").iterdir()), tmp_path / "pieces", 64)
    return tmp_path / "pieces"


def test_pieces_overlap_by_half(pieces):
    assert len(list(pieces.iterdir())) == 2 * 3
    assert len(loader.samples_of(pieces, 32)) >= loader.EPOCH


def test_uncached_frames_are_as_many_as_those_of_sidd(pieces, tmp_path, monkeypatch):
    """With fewer, the same frame often comes twice in a row and is decoded once."""
    monkeypatch.setattr(loader, "measure_obvious", lambda *_: None)
    monkeypatch.setattr(loader, "measure", lambda options, folder, **view: len(list_images(folder)))
    rates = dict(loader.all_rates(None, tmp_path / "frames", pieces, tmp_path / "cache"))
    assert rates["frames"] == rates["frames, 16 crops at a time"] == loader.FRAMES == 320
    assert rates["frames, cache: disk"] == 1


def test_the_obvious_loader_returns_float_crops(pieces):
    values = loader.Obvious(sorted(pieces.iterdir()), 32)[3]
    assert values.shape == (3, 32, 32) and values.dtype == torch.float32
    assert 0 <= values.min() < values.max() <= 1


def test_only_whole_rounds_of_the_workers_count(monkeypatch):
    clock = iter([0, 10, 10, 0])
    monkeypatch.setattr(loader.time, "perf_counter", lambda: next(clock))
    assert loader.crops_per_second(iter(range(100)), batch=5, workers=2, seconds=0) == 2 * 5 / 10
    with pytest.raises(RuntimeError, match="too short"):
        loader.crops_per_second(iter(range(3)), batch=5, workers=2, seconds=0)


def test_the_tables_are_printed(monkeypatch, capsys):
    arguments = "--frames 1 --frame 96 112 --piece 64 --crop 32 --batch 4 --workers 0 1"
    monkeypatch.setattr(
        sys,
        "argv",
        ["loader", *arguments.split(), "--seconds", "0", "--repeats", "1", "--step-images-per-second", "9"],
    )
    loader.main()
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith(("pieces", "frames")) for line in lines) == 8
    assert any(line.startswith("flip and turn") for line in lines)
