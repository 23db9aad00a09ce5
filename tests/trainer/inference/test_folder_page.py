import dataclasses
import json
import os
import re

import numpy as np
import pytest
import tifffile
from PIL import Image

from src.trainer.inference import folder_page
from src.trainer.inference.denoise_files import FileDenoiser, FileOptions
from src.util.errors import NonFiniteError
from src.util.images.io import read_image, write_image
from tests.trainer.report.conftest import data, decoded, html


@pytest.fixture
def darker(trained):
    """A denoiser whose network halves all values, so that its results can be recognised."""
    trained.network.module.forward = lambda images, window=None: images / 2
    return FileDenoiser(trained)


def names(folder):
    return re.findall(r'<bdi title="([^"]*)">', html(folder))


def test_a_folder_of_results_has_a_page(darker, noisy_folder, tmp_path, messages):
    assert darker.folder(noisy_folder, tmp_path / "out") == 0
    out = tmp_path / "out"
    assert names(out) == ["a.png", "b.png", "c.png"]
    for number, name in enumerate("abc", start=1):
        shown = data(out, number)
        assert np.array_equal(decoded(shown["files"]["noisy"]), read_image(noisy_folder / f"{name}.png"))
        assert np.array_equal(decoded(shown["files"]["denoised"]), read_image(out / f"{name}_DN.png"))
        assert "clean" not in shown["files"] and len(shown["correlation"]["rows"]) == 11
    assert "<h1>noisy, epoch 2, all 3 images</h1>" in html(out)
    assert "sim_patch_edge" in html(out) and str(darker.trained.path) in html(out)
    assert Image.open(out / "panel.png").size[0] > 300
    assert any(line == f"INFO to look at: {out / 'report.html'}" for line in messages)


def test_images_of_any_kind_are_shown_as_8_bits(darker, tmp_path):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    stack = np.arange(2 * 20 * 30, dtype=np.uint16).reshape(2, 20, 30) * 50
    tifffile.imwrite(tmp_path / "in" / "a.tif", stack, photometric="minisblack")
    np.save(tmp_path / "in" / "sub" / "b.npy", np.linspace(0, 1, 600, dtype=np.float32).reshape(20, 30))
    assert darker.folder(tmp_path / "in", tmp_path / "out") == 0
    assert names(tmp_path / "out") == ["a.tif", "a.tif, page 2", "sub/b.npy"]
    assert "<h1>in, epoch 2, all 3 images</h1>" in html(tmp_path / "out"), "as many as are shown"
    for number, page in enumerate((stack[0] / 65535, stack[1] / 65535, np.linspace(0, 1, 600)), start=1):
        shown = data(tmp_path / "out", number)
        levels = page.reshape(20, 30) * 255 * shown["brightness"]
        assert np.abs(decoded(shown["files"]["noisy"]) - levels.clip(0, 255)).max() <= 0.51
        assert shown["whole"] == [30, 20, 1]


def test_a_second_run_shows_all_images_and_counts_earlier_ones(darker, noisy_folder, tmp_path):
    out = tmp_path / "out"
    write_image(noisy_folder / "aa.png", np.full((20, 30, 3), 80, np.uint8))
    darker.folder(noisy_folder, out)
    before = [data(out, number) for number in (1, 2, 3, 4)]
    (out / "b_DN.png").unlink()
    darker.folder(noisy_folder, out)
    assert names(out) == ["a.png", "aa.png", "b.png", "c.png"], "in the folder's order"
    assert [data(out, number) for number in (1, 2, 3, 4)] == before
    assert "all 4 images, 3 of them denoised by an earlier call" in html(out)


def test_a_missing_page_is_made_and_an_unchanged_one_kept(darker, noisy_folder, tmp_path, monkeypatch):
    out = tmp_path / "out"
    darker.folder(noisy_folder, out)
    (out / "report.html").unlink()
    (out / "panel.png").unlink()
    darker.folder(noisy_folder, out)
    assert len(names(out)) == 3 and (out / "panel.png").is_file()
    written = (out / "report.html").stat().st_mtime_ns
    monkeypatch.setattr(
        "src.trainer.inference.folder_page.open_image",
        lambda *_: pytest.fail("read although nothing is new"),
    )
    (noisy_folder / "bad.png").write_bytes(b"no image")
    assert darker.folder(noisy_folder, out) == 1
    assert (out / "report.html").stat().st_mtime_ns == written


def test_the_page_counts_missing_images(darker, noisy_folder, tmp_path):
    (noisy_folder / "bad.png").write_bytes(b"no image")
    (tmp_path / "out").mkdir()
    write_image(tmp_path / "out" / "b_DN.png", np.zeros((9, 9, 3), np.uint8))
    (tmp_path / "out" / "c_DN.png").write_bytes(b"no image")
    assert darker.folder(noisy_folder, tmp_path / "out") == 1
    assert names(tmp_path / "out") == ["a.png"]
    assert "ONLY 1 OF 4 IMAGES" in html(tmp_path / "out")


def test_an_interrupted_run_keeps_its_results_without_a_page(darker, noisy_folder, tmp_path):
    def interrupted(images, window=None):
        if len(list((tmp_path / "out").glob("a_DN.png"))):
            raise KeyboardInterrupt
        return images

    darker.options = FileOptions(held=1)
    darker.trained.network.module.forward = interrupted
    with pytest.raises(KeyboardInterrupt):
        darker.folder(noisy_folder, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a_DN.png"]
    assert read_image(tmp_path / "out" / "a_DN.png").shape == read_image(noisy_folder / "a.png").shape


@pytest.mark.parametrize("held", [1, 2])
def test_broken_weights_end_the_run_and_keep_earlier_results(darker, noisy_folder, tmp_path, held):
    def broken(images, window=None):
        return images * (np.nan if images.shape[-1] == 80 else 1)

    darker.options = FileOptions(held=held)
    darker.trained.network.module.forward = broken
    with pytest.raises(NonFiniteError, match=r"b\.png"):
        darker.folder(noisy_folder, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a_DN.png"]


@pytest.mark.parametrize("foreign", ["report.html", "panel.png"])
def test_other_programs_files_are_not_replaced_by_a_page(darker, noisy_folder, tmp_path, messages, foreign):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / foreign).write_text("mine")
    assert darker.folder(noisy_folder, tmp_path / "out") == 0
    assert (tmp_path / "out" / foreign).read_text() == "mine"
    assert len(list((tmp_path / "out").iterdir())) == 4
    assert any(f"{foreign} is not of this program's making" in line for line in messages)


def test_the_contact_sheet_is_not_denoised(darker, noisy_folder, messages):
    for _ in range(2):
        assert darker.folder(noisy_folder, noisy_folder) == 0
        assert names(noisy_folder) == ["a.png", "b.png", "c.png"]
    assert not (noisy_folder / "panel_DN.png").exists()
    (message,) = (line for line in messages if "passed over" in line)
    assert message.endswith("passed over: 5 results of test.py")  # the second time; page and sheet among them


def test_results_do_not_depend_on_the_number_held(darker, noisy_folder, tmp_path):
    for held in (1, 2, 3):
        darker.options = FileOptions(held=held)
        assert darker.folder(noisy_folder, tmp_path / f"out{held}") == 0
    for held in (2, 3):
        for path in (tmp_path / "out1").iterdir():
            assert path.read_bytes() == (tmp_path / f"out{held}" / path.name).read_bytes()


def test_views_are_bounded_however_many_pages_a_stack_has(darker, tmp_path, monkeypatch):
    monkeypatch.setattr("src.trainer.report.report.PAGE_BYTES", 100_000)
    (tmp_path / "in").mkdir()
    stack = np.random.default_rng(0).integers(0, 256, (12, 96, 96), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "in" / "a.tif", stack, photometric="minisblack")
    assert darker.folder(tmp_path / "in", tmp_path / "out") == 0
    shown = [data(tmp_path / "out", number) for number in range(1, 13)]
    assert all(shown) and sum(len(json.dumps(each["files"])) for each in shown) < 140_000


@pytest.fixture
def twelve(tmp_path):
    """A folder of more images than the contact sheet shows, including a stack."""
    folder, rng = tmp_path / "twelve", np.random.default_rng(0)
    folder.mkdir()
    for number in range(11):
        noisy = rng.integers(0, 256, (20 + number, 24, 3), dtype=np.uint8)
        write_image(folder / f"{number:02d}.png", noisy)
    stack = rng.integers(0, 256, (3, 20, 30), dtype=np.uint8)
    tifffile.imwrite(folder / "a.tif", stack, photometric="minisblack")
    return folder


def read_again(monkeypatch):
    """Return a list that collects the names of the files that the page reads."""
    names, opened = [], folder_page.open_image
    monkeypatch.setattr(
        folder_page, "open_image", lambda path, *limit: names.append(path.name) or opened(path, *limit)
    )
    return names


def body(folder):
    return html(folder).partition("<main>")[2]


def test_unchanged_images_of_the_page_are_not_decoded_again(darker, twelve, tmp_path, monkeypatch):
    darker.folder(twelve, tmp_path / "whole")
    darker.folder(twelve, tmp_path / "out")
    (tmp_path / "out" / "05_DN.png").unlink()
    (tmp_path / "out" / "panel.png").unlink()
    again = read_again(monkeypatch)
    darker.folder(twelve, tmp_path / "out")
    assert "01.png" not in again and "03_DN.png" not in again and len(again) < 2 * 9
    assert body(tmp_path / "out") == body(tmp_path / "whole")
    panels = [(tmp_path / name / "panel.png").read_bytes() for name in ("out", "whole")]
    assert panels[0] == panels[1]


@pytest.mark.parametrize("change", ["image", "result", "data_range", "page"])
def test_changed_files_are_read_again(darker, twelve, tmp_path, monkeypatch, change):
    out = tmp_path / "out"
    darker.folder(twelve, out)
    (out / "05_DN.png").unlink()
    path = {"image": twelve / "01.png", "result": out / "01_DN.png"}.get(change, out / "report.html")
    status = path.stat()
    if change == "data_range":
        config = darker.trained.config.model_copy(update={"data_range": 200})
        darker.trained = dataclasses.replace(darker.trained, config=config)
    elif change == "page":
        path.write_text(html(out).replace('{"files":', '{"files"'), encoding="utf-8")
    else:
        write_image(path, read_image(path)[::-1])
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    again = read_again(monkeypatch)
    darker.folder(twelve, out)
    assert {"01.png", "01_DN.png"} <= set(again)
    assert ("03.png" in again) == (change in ("data_range", "page"))
    shown = data(out, 2)["files"]
    expected = read_image(twelve / "01.png"), read_image(out / "01_DN.png")
    for what, image in zip(("noisy", "denoised"), expected, strict=True):
        assert change == "data_range" or np.array_equal(decoded(shown[what]), image)


def test_nothing_is_decoded_for_a_full_page(darker, twelve, tmp_path, monkeypatch):
    monkeypatch.setattr("src.trainer.report.report.PAGE_BYTES", 9_000)
    out = tmp_path / "out"
    darker.folder(twelve, out)
    for name in ("00_DN.png", "panel.png", "report.html"):
        (out / name).unlink()
    read = []
    monkeypatch.setattr(folder_page.FolderPage, "_decoded", counted(folder_page.FolderPage._decoded, read))
    darker.folder(twelve, out)
    assert len(names(out)) == 14 and "all 14 images, 13 of them" in html(out)
    assert "24 × 23" in html(out) and data(out, 4) is None
    assert "10.png" not in read and len(read) < 12


def counted(method, seen):
    return lambda page, path, *others: seen.append(path.name) or method(page, path, *others)
