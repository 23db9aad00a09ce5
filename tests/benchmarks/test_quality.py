import re
import sys

import numpy as np
import pytest

from benchmarks import generated, quality
from benchmarks.quality_sets import KINDS, Pair, PairSet, built_in
from src.util.images.io import read_image, write_image


@pytest.fixture
def pairs():
    """Two grey levels under white noise."""
    rng = np.random.default_rng(0)
    clean = [np.full((64, 64, 3), level, np.uint8) for level in (90, 150)]
    noisy = [
        (values + rng.normal(0, 10, values.shape)).round().clip(0, 255).astype(np.uint8) for values in clean
    ]
    return PairSet("levels", [Pair(str(n), *each) for n, each in enumerate(zip(noisy, clean, strict=True))])


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_noise_is_reproducible(kind):
    first, second = built_in(kind), built_in(kind)
    assert len(first.pairs) >= 10
    for one, other in zip(first.pairs, second.pairs, strict=True):
        assert np.array_equal(one.noisy, other.noisy) and one.noisy.shape == one.clean.shape
        assert np.array_equal(one.noisy, one.clean) == (kind == "none")
    assert (first.pairs[0].clean.shape[2] == 1) == kind.endswith("grey")


def test_the_images_of_a_set_are_written(monkeypatch, tmp_path):
    monkeypatch.setattr(quality, "KINDS", {"row stripes": KINDS["row stripes"]})
    monkeypatch.setattr(quality, "demo_set", lambda: PairSet("the demo", []))
    monkeypatch.setattr(sys, "argv", ["quality.py", "--write", str(tmp_path)])
    quality.main()
    for pair in built_in("row stripes").pairs:
        for kind in ("noisy", "clean"):
            read = read_image(tmp_path / "row stripes" / kind / f"{pair.name}.png")
            assert np.array_equal(read, getattr(pair, kind))


def test_row_stripes_vary_between_rows_only():
    noise = [pair.noisy.astype(float) - pair.clean for pair in built_in("row stripes").pairs]
    rows = np.mean([part.mean(axis=1).std() for part in noise])
    columns = np.mean([part.mean(axis=0).std() for part in noise])
    assert rows > 5 * columns


def test_scores_of_known_results(pairs):
    perfect = quality.measure("perfect", lambda pair: pair.clean, pairs)
    assert (perfect.psnr, perfect.ssim, perfect.colour, perfect.rho, perfect.worse) == (99, 1, 0, 0, 0)
    noisy = quality.measure("noisy", lambda pair: pair.noisy, pairs)
    assert noisy.psnr == pytest.approx(28.1, abs=0.2) and noisy.rho == pytest.approx(1) and not noisy.worse
    half = quality.measure(
        "half", lambda pair: ((pair.noisy.astype(int) + pair.clean) // 2).astype(np.uint8), pairs
    )
    assert half.rho == pytest.approx(0.5, abs=0.02) and half.psnr == pytest.approx(34, abs=0.3)
    brighter = quality.measure("brighter", lambda pair: pair.clean + np.uint8(30), pairs)
    assert brighter.colour == 30 and brighter.worse == 2 and brighter.rho == pytest.approx(0, abs=0.05)


def test_each_method_improves_the_psnr(pairs):
    methods = quality.methods([], others=True)
    rows = {name: quality.measure(name, make(pairs), pairs) for name, make in methods.items()}
    assert {"noisy", "NLM, true sigma", "total variation, true sigma", "general"} <= rows.keys()
    for name, row in rows.items():
        assert name == "noisy" or row.psnr > rows["noisy"].psnr + 3, name


def test_gamma_is_estimated_from_all_images_of_a_set(monkeypatch, pairs):
    asked = []
    monkeypatch.setattr(quality, "found_gamma", lambda some: asked.append(len([*some])) or 1.7)
    finish = []
    monkeypatch.setattr(quality.Denoiser, "__call__", lambda self, noisy: finish.append(self.finish) or noisy)
    methods = quality.methods([], others=False)
    for name in ("general", "general, not finished"):
        quality.measure(name, methods[name](pairs), pairs)
    assert asked == [2] and [each.gamma for each in finish] == [1.7, 1.7, "auto", "auto"]


def test_folders_give_a_table_and_a_sheet(monkeypatch, capsys, tmp_path, pairs):
    for folder in ("noisy", "gt"):
        (tmp_path / folder).mkdir()
    for pair in pairs.pairs:
        write_image(tmp_path / "noisy" / f"{pair.name}.png", pair.noisy)
        write_image(tmp_path / "gt" / f"{pair.name}.png", pair.clean)
    sheet = tmp_path / "sheet.png"
    folders = f"mine={tmp_path / 'noisy'},{tmp_path / 'gt'}"
    flags = ["--pairs", folders, "--networks-alone", "--sheet", str(sheet)]
    monkeypatch.setattr(sys, "argv", ["quality", *flags])
    quality.main()
    out = capsys.readouterr().out
    assert "**mine**, 2 images" in out
    assert re.findall(r"^\| ([^|]+?) +\|", out, re.MULTILINE)[1:] == [
        "noisy", "general, not finished", "general"
    ]  # fmt: skip
    assert read_image(sheet).shape[1] > 4 * 64


def test_generated_images_are_compared_with_the_network(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["generated", "--workers", "0", "--seconds", "0.01"])
    monkeypatch.setattr(generated, "read_config", _tiny(generated.read_config))
    generated.main()
    out = capsys.readouterr().out
    assert re.search(r"the network takes [\d.]+ crops/s \(cpu, fp32\)", out)
    assert re.search(r"0 workers: [\d.]+ crops/s, [\d.]+ x the network", out)


def _tiny(read_config):
    tiny = [
        "model.kwargs.features=[4]", "training.dataset_args.size=32", "training.batch_size=2",
        "training.precision=fp32",
    ]  # fmt: skip
    return lambda name, settings: read_config(name, [*settings, *tiny])
