import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from src.data_handlers.datasets.base import Box
from src.data_handlers.datasets.dnd import dnd_test, dnd_train
from src.data_handlers.datasets.dnd_mat import DndImage
from src.data_handlers.preparation.dnd import prepare_dnd
from src.util.errors import DataError, RunExistsError
from src.util.images.io import ImageWarning, read_image

ROOT = Path(__file__).parents[3]
SIZE = (540, 560)


def image(number, size=SIZE):
    """Random values between the 8-bit levels, different for each image."""
    values = np.random.default_rng(number).uniform(0, 1, (*size, 3)).astype(np.float32)
    values[0, 0] = (0.5 / 255 + 1e-6, 1.49 / 255, 0.9999)  # truncated they would be 0, 1, 254
    return values


def names(folder):
    return sorted(path.name for path in folder.glob("[!.]*"))


@pytest.fixture
def new(tmp_path):
    return tmp_path / "new"


@pytest.fixture
def source(make_dnd, tmp_path):
    return make_dnd(tmp_path / "DND", {2: image(2), 7: image(7)})


def prepare(source, new, split, *grid):
    return prepare_dnd(source, new, split, *grid, jobs=1)


def test_p8_pieces_to_train_on_are_cut_on_the_grid_and_rounded(source, new):
    prepare(source, new, "train", 400, 100)
    grid = [(top, left) for top in (0, 100, 140) for left in (0, 100, 160)]
    assert names(new) == [f"{n:04d}_s{s:03d}.png" for n in (2, 7) for s in range(1, 10)]
    levels = np.rint(image(7) * 255).astype(np.uint8)
    assert levels[0, 0].tolist() == [1, 1, 255]
    for number, (top, left) in enumerate(grid, 1):
        piece = read_image(new / f"0007_s{number:03d}.png")
        assert np.array_equal(piece, levels[top : top + 400, left : left + 400])
    assert len(dnd_train(str(new))) == 18


def test_crops_above_each_other_are_read_together(source, new, monkeypatch):
    read = []
    real = DndImage.read
    monkeypatch.setattr(DndImage, "read", lambda image, box: read.append(box) or real(image, box))
    prepare(source, new, "train", 400, 100)
    assert read == 2 * [Box(0, left, 540, 400) for left in (0, 100, 160)]


def test_p8_levels_of_8_bits_survive(make_dnd, tmp_path, new):
    levels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3))
    prepare(make_dnd(tmp_path / "DND", {1: (levels / 255).astype(np.float32)}), new, "train", 540, 20)
    assert np.array_equal(read_image(new / "0001_s002.png"), levels[:, 20:])


def test_p6_the_test_split_is_the_20_official_boxes(source, new):
    prepare(source, new, "test")
    assert names(new) == [f"{n:04d}_{box:02d}.png" for n in (2, 7) for box in range(1, 21)]
    for box in range(1, 21):  # rows from `box`, columns from `box + 1`, counted from 1
        levels = np.rint(image(7) * 255)[box - 1 : box + 511, box : box + 512]
        assert np.array_equal(read_image(new / f"0007_{box:02d}.png"), levels)
    with pytest.warns(ImageWarning, match="960 of DND's 1,000 boxes are missing"):
        assert len(dnd_test(str(new))) == 40


def test_p7_a_missing_image_is_named_and_shifts_no_other(source, new):
    (problem,) = prepare(source, new, "test")
    assert "48 of DND's 50 images are missing" in problem
    assert "0001.mat, 0003.mat" in problem and "0002.mat" not in problem and "0007.mat" not in problem
    assert "0050.mat" in problem and "https://noise.visinf" in problem


def test_other_files_beside_the_images_are_no_images(source, new):
    for name in ("0051.mat", "0000.mat", "._0002.mat", "info.mat", "2.mat", "0003.mat.part"):
        (source / "images_srgb" / name).write_bytes(b"x")
    (problem,) = prepare(source, new, "test")
    assert "48 of" in problem
    assert len(names(new)) == 40


def test_p5_train_and_test_do_not_touch_each_other(source, tmp_path):
    prepare(source, tmp_path / "train", "train", 500, 60)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "train").iterdir()}
    prepare(source, tmp_path / "test", "test")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "train").iterdir()} == before


def damage(path, kind):
    if kind == "cut short":
        path.write_bytes(path.read_bytes()[:4000])
    elif kind == "no MAT file":
        path.write_bytes(b"MATLAB 5.0 MAT-file")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "folder":
        path.unlink()
        path.mkdir()
    else:
        with h5py.File(path, "r+") as file:
            if kind == "NaN":
                file["InoisySRGB"][1, 200, 300] = np.nan
            elif kind == "0 to 255":
                file["InoisySRGB"][...] *= 255
            elif kind == "small":
                del file["InoisySRGB"]
                file["InoisySRGB"] = np.zeros((3, 300, 500), np.float32)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("kind", ["cut short", "no MAT file", "empty", "folder", "NaN", "0 to 255", "small"])
def test_p9_a_broken_image_is_named_and_the_others_go_on(source, new, kind, split):
    damage(source / "images_srgb" / "0002.mat", kind)
    problems = prepare(source, new, split, 500, 500)
    assert len(problems) == 2 and "0002.mat" in problems[1]
    assert {name[:4] for name in names(new)} >= {"0007"}
    whole = [name for name in names(new) if name.startswith("0007")]
    assert len(whole) == (4 if split == "train" else 20)


@pytest.mark.parametrize(("lost", "split"), [("images_srgb", "train"), ("info.mat", "test")])
def test_what_is_missing_of_the_download_is_named_and_nothing_is_written(source, new, lost, split):
    (source / lost).rename(source / "elsewhere")
    with pytest.raises(DataError, match=rf"{lost}.*https://noise"):
        prepare(source, new, split)
    assert not new.exists()


def test_a_second_run_skips_what_is_done_and_the_splits_are_not_mixed(source, new, messages):
    prepare(source, new, "test")
    before = {path.name: path.stat().st_mtime_ns for path in new.glob("*.png")}
    prepare(source, new, "test")
    assert messages[-1] == "INFO 40 of 40 pieces are there: 0 made now"
    assert {path.name: path.stat().st_mtime_ns for path in new.glob("*.png")} == before
    with pytest.raises(RunExistsError, match=r"DND test.*DND train.*choose another -nf"):
        prepare(source, new, "train")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc")
def test_an_image_of_40_megapixels_takes_less_than_300_mb_of_memory(make_dnd, tmp_path, new):
    """It takes 480 MB as a whole. Only its header is written; missing chunks are read as black."""
    make_dnd(tmp_path / "DND", {})
    with h5py.File(tmp_path / "DND" / "images_srgb" / "0001.mat", "w") as file:
        file.create_dataset("InoisySRGB", (3, 7300, 5500), np.float32, chunks=(1, 115, 172))
    code = (
        "import sys; from pathlib import Path; from src.data_handlers.preparation.dnd import prepare_dnd;"
        "prepare_dnd(Path(sys.argv[1]), Path(sys.argv[2]), 'train', 512, 512, jobs=1);"
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0], 'torch' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "DND", new], cwd=ROOT, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    peak, torch = ended.stdout.split()
    assert len(names(new)) == 11 * 15
    assert int(peak) < 300_000
    assert torch == "False"  # its import alone takes 200 MB


def test_the_folder_of_the_images_is_enough(source, new):
    (problem,) = prepare(source / "images_srgb", new, "test")
    assert "48 of DND's" in problem
    assert len(names(new)) == 40
