import csv
import os
import resource
from pathlib import Path

import numpy as np
import pytest
from scipy import io

from src.data_handlers.submission import dnd, sidd
from src.data_handlers.submission.layout import DndLayout, SiddLayout
from src.util.images.io import write_image

EDGE = 32
pytestmark = pytest.mark.filterwarnings("ignore:.*boxes are missing")


@pytest.fixture
def submit(call):
    return lambda name, *arguments: call(f"prep_submission_{name}", *arguments, device=(), workers=())


@pytest.fixture
def denoised(tmp_path, monkeypatch):
    """Write noisy blocks and results of small benchmarks, 2 images with 3 blocks. Return the results."""
    monkeypatch.setattr(sidd, "LAYOUT", SiddLayout(2, 3, EDGE))
    monkeypatch.setattr(dnd, "LAYOUT", DndLayout(2, 3, EDGE))
    rng = np.random.default_rng(0)
    coarse = rng.integers(20, 230, (6, 4, 4, 3))
    blocks = np.repeat(np.repeat(coarse, 8, axis=1), 8, axis=2).astype(np.uint8)
    noisy = (blocks + rng.normal(0, 10, blocks.shape)).clip(0, 255).astype(np.uint8)
    for folder in ("SIDD_test", "DND_test", "of_sidd", "of_dnd"):
        (tmp_path / folder).mkdir()
    name = "BenchmarkNoisyBlocksSrgb"
    io.savemat(tmp_path / "SIDD_test" / f"{name}.mat", {name: noisy.reshape(2, 3, EDGE, EDGE, 3)})
    names = {"of_sidd": [f"{n:04d}" for n in range(6)], "of_dnd": []}
    for number in range(6):
        names["of_dnd"].append(f"{number // 3 + 1:04d}_{number % 3 + 1:02d}.png")
        write_image(tmp_path / "DND_test" / names["of_dnd"][-1], noisy[number])
    for folder, given in names.items():
        with open(tmp_path / folder / "metrics.csv", "w", newline="") as file:
            csv.writer(file).writerows([("picture", "name"), *((f"{n:04d}", g) for n, g in enumerate(given))])
        for number in range(6):
            write_image(tmp_path / folder / f"{number:04d}_DN.png", blocks[number])
    return blocks


@pytest.mark.parametrize("name", ["SIDD", "DND"])
def test_without_arguments_usage_and_an_example_are_printed(submit, name):
    ended = submit(name)
    assert ended.code == 2
    assert ended.err.startswith("usage: ") and f"example: python prep_submission_{name}.py" in ended.err
    assert all(flag in ended.err for flag in ("--denoised", "--out", "--check"))
    assert len(ended.err.splitlines()) < 40


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("SIDD", ["--denoised", "a"], "--test, --out: missing"),
        ("DND", ["--denoised", "a"], "--out: missing"),
        ("SIDD", ["--check", "a.csv", "--out", "b.csv"], "--check and --out: use only one of them"),
        ("DND", ["--check", "a", "--out", "b"], "--check and --out: use only one of them"),
    ],
)
def test_missing_or_conflicting_flags_are_named(submit, name, arguments, message):
    ended = submit(name, *arguments)
    assert ended.code == 2 and message in ended.err


def test_sidd_from_results_to_upload(submit, denoised, tmp_path):
    make = ["--test", "SIDD_test", "--denoised", "of_sidd", "--out", "new/sidd.csv"]
    ended = submit("SIDD", *make, "--mat")
    assert (ended.code, ended.err) == (0, "")
    assert "sidd.csv: checked, 6 blocks" in ended.out and "SubmitSrgb.mat: checked" in ended.out
    assert "upload new/sidd.csv" in ended.out
    assert len((tmp_path / "new" / "sidd.csv").read_text().splitlines()) == 7
    assert submit("SIDD", "--check", "new/sidd.csv", "--test", "SIDD_test").code == 0
    assert submit("SIDD", *make).code == 2
    assert submit("SIDD", *make, "--overwrite").code == 0


def test_s5_dnd_from_results_to_upload_and_no_other_file_is_deleted(submit, denoised, tmp_path):
    make = ["--noisy", "DND_test", "--denoised", "of_dnd", "--out", "new"]
    ended = submit("DND", *make)
    assert ended.code == 0 and "bundled: checked, 6 blocks" in ended.out
    cells = io.loadmat(tmp_path / "new" / "bundled" / "0002.mat")["Idenoised"]
    assert np.array_equal(np.rint(cells[0, 2] * 255), denoised[5])
    assert submit("DND", "--check", "new/bundled", "--noisy", "DND_test").code == 0
    assert submit("DND", *make).code == 2
    (tmp_path / "new" / "notes.txt").write_text("mine")
    assert submit("DND", *make, "--overwrite").code == 0
    (tmp_path / "new" / "bundled" / "notes.txt").write_text("mine")
    assert submit("DND", *make, "--overwrite").code == 2
    assert sorted(path.name for path in (tmp_path / "new").rglob("*.txt")) == ["notes.txt", "notes.txt"]


@pytest.mark.parametrize(
    ("name", "noisy", "out"), [("SIDD", "--test", "sidd.csv"), ("DND", "--noisy", "bundles")]
)
def test_s1_an_unreadable_result_is_named_not_skipped(submit, denoised, tmp_path, name, noisy, out):
    folder = tmp_path / f"of_{name.lower()}"
    (folder / "0003_DN.png").write_bytes(b"no image")
    ended = submit(name, noisy, f"{name}_test", "--denoised", folder, "--out", out)
    assert ended.code == 7 and "0003_DN.png" in ended.err
    assert not (tmp_path / "sidd.csv").exists() and not (tmp_path / "bundles" / "bundled").exists()


@pytest.mark.parametrize(
    ("name", "noisy", "out"), [("SIDD", "--test", "sidd.csv"), ("DND", "--noisy", "bundles")]
)
def test_swapped_colours_exit_7_and_write_nothing(submit, denoised, tmp_path, name, noisy, out):
    folder = tmp_path / f"of_{name.lower()}"
    for number, block in enumerate(denoised):
        write_image(folder / f"{number:04d}_DN.png", block[..., ::-1])
    ended = submit(name, noisy, f"{name}_test", "--denoised", folder, "--out", out)
    assert ended.code == 7
    assert "BGR: red and blue are swapped" in ended.err and "Traceback" not in ended.err
    assert not (tmp_path / "sidd.csv").exists() and not (tmp_path / "bundles" / "bundled").exists()


def test_a_check_of_a_wrong_file_exits_7(submit, denoised, tmp_path):
    assert submit("SIDD", "--test", "SIDD_test", "--denoised", "of_sidd", "--out", "a.csv").code == 0
    lines = (tmp_path / "a.csv").read_text().splitlines(keepends=True)
    (tmp_path / "a.csv").write_text("".join(lines[:-1]))
    ended = submit("SIDD", "--check", "a.csv", "--test", "SIDD_test")
    assert ended.code == 7 and "ID 5: missing" in ended.err
    assert submit("DND", "--check", "of_dnd", "--noisy", "DND_test").code == 7


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX limits")
@pytest.mark.parametrize(
    ("name", "noisy", "made"), [("SIDD", "--test", "new/sidd.csv"), ("DND", "--noisy", "new/bundled")]
)
def test_a_failed_write_is_named_and_leaves_nothing(submit, denoised, tmp_path, name, noisy, made):
    results = f"of_{name.lower()}"
    out = made.removesuffix("/bundled")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))  # bytes; the noisy blocks fit
    try:
        ended = submit(name, noisy, f"{name}_test", "--denoised", results, "--out", out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert ended.code == 5
    assert ended.err.splitlines()[-1] == f"error: {Path(made)}: cannot be written: File too large"
    assert list((tmp_path / "new").iterdir()) == []
