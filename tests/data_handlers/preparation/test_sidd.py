import shutil

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from src.data_handlers.datasets.sidd import sidd_train
from src.data_handlers.preparation.sidd import prepare_sidd
from src.util.errors import ConfigError, DataError, RunExistsError
from src.util.images.io import read_image, write_image

SCENES = ("0001_001_S6_00100_00060_3200_L", "0002_001_S6_00100_00020_3200_N")
MEDIUM = {f"Data/{scene}/{scene[:4]}_NOISY_SRGB_010.PNG": (24, 30) for scene in SCENES}
SMALL = {f"Data/{scene}/NOISY_SRGB_010.PNG": (24, 30) for scene in SCENES}
PIECES = 2 * 3  # of a 24x30 frame by crops of 16 px every 8: rows 0, 8; columns 0, 8, 14


def names(folder):
    return sorted(path.name for path in folder.glob("[!.]*"))


def prepare(source, target, **options):
    return prepare_sidd(source, target, 16, 8, **{"jobs": 1, **options})


@pytest.fixture
def source(make_sidd, tmp_path):
    return make_sidd(tmp_path / "SIDD", MEDIUM)


@pytest.fixture
def new(tmp_path):
    return tmp_path / "new" / "pieces"


def test_p3_pieces_of_sidd_medium_are_the_noisy_frames_cut_on_the_grid_rows_first(source, new):
    assert prepare(source, new) == []
    stems = ("0001_NOISY_SRGB_010", "0002_NOISY_SRGB_010")
    assert names(new) == [f"{stem}_s{number:03d}.png" for stem in stems for number in range(1, PIECES + 1)]
    frame = read_image(source / next(iter(MEDIUM)))
    corners = [(0, 0), (0, 8), (0, 14), (8, 0), (8, 8), (8, 14)]
    for number, (top, left) in enumerate(corners, 1):
        piece = read_image(new / f"0001_NOISY_SRGB_010_s{number:03d}.png")
        assert np.array_equal(piece, frame[top : top + 16, left : left + 16])
    assert len(sidd_train(str(new))) == 2 * PIECES


@pytest.mark.parametrize("change", [str, str.lower], ids=["upper", "lower"])
def test_p3_names_of_sidd_small_repeat_and_so_keep_their_scene(make_sidd, tmp_path, new, change):
    prepare(make_sidd(tmp_path / "SIDD", {change(name): size for name, size in SMALL.items()}), new)
    stems = [change(f"{scene}_NOISY_SRGB_010") for scene in SCENES]
    assert names(new) == [f"{stem}_s{number:03d}.png" for stem in stems for number in range(1, PIECES + 1)]


def test_numbered_names_that_repeat_keep_their_scene_too(make_sidd, tmp_path, new):
    frames = {f"{scene}/0001_NOISY_SRGB_010.PNG": (16, 16) for scene in ("a", "b")}
    assert prepare(make_sidd(tmp_path / "SIDD", frames), new) == []
    assert names(new) == ["a_0001_NOISY_SRGB_010_s001.png", "b_0001_NOISY_SRGB_010_s001.png"]


def test_frames_whose_pieces_would_have_one_name_are_named(make_sidd, tmp_path, new):
    frames = {f"{half}/{SCENES[0]}/NOISY_SRGB_010.PNG": (16, 16) for half in ("a", "b")}
    (problem,) = prepare(make_sidd(tmp_path / "SIDD", frames), new)
    assert "/b/" in problem and "/a/" in problem and "keep one" in problem
    assert len(names(new)) == 1


def test_a_scene_folder_alone_gives_the_same_names(make_sidd, tmp_path, new, monkeypatch):
    source = make_sidd(tmp_path / "SIDD", SMALL) / "Data" / SCENES[0]
    monkeypatch.chdir(source)
    prepare(type(source)("."), new)
    assert names(new)[0] == f"{SCENES[0]}_NOISY_SRGB_010_s001.png"


def test_the_ground_truth_lies_beside_under_the_same_names_and_pairs(source, new):
    assert prepare(source, new, ground_truth=True) == []
    clean = new.with_name("pieces_GT")
    assert names(clean) == names(new)
    pairs = sidd_train(str(new), str(clean))
    assert len(pairs) == 2 * PIECES
    name = next(iter(MEDIUM))
    frame, truth = read_image(source / name), read_image(source / name.replace("NOISY", "GT"))
    pair = pairs.read(5)
    assert np.array_equal(pair.noisy, frame[8:, 14:]) and np.array_equal(pair.clean, truth[8:, 14:])


def test_the_ground_truth_can_follow_later_and_changes_no_noisy_piece(source, new, messages):
    prepare(source, new)
    before = {path: path.stat().st_mtime_ns for path in new.glob("*.png")}
    prepare(source, new, ground_truth=True)
    assert {path: path.stat().st_mtime_ns for path in new.glob("*.png")} == before
    assert names(new.with_name("pieces_GT")) == names(new)


def broken(source, name, kind):
    path = source / name
    if kind == "missing":
        path.unlink()
    elif kind == "link":
        path.unlink()
        path.symlink_to("gone.PNG")
    elif kind == "cut short":
        path.write_bytes(path.read_bytes()[:-20])
    elif kind == "damaged":  # found only when it is decoded
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif kind == "small":
        write_image(path, np.zeros((24, 15, 3), np.uint8))
    elif kind == "grey":
        write_image(path, np.zeros((24, 30, 1), np.uint8))
    elif kind == "16 bits":
        cv2.imwrite(str(path), np.full((24, 30, 3), 40_000, np.uint16))
    elif kind == "floats":
        tifffile.imwrite(path, np.zeros((24, 30, 3), np.float32), photometric="rgb")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("404: not found")
    elif kind == "folder":
        path.unlink()
        path.mkdir()
    return path


KINDS = (
    "link", "cut short", "damaged", "small", "grey", "16 bits", "floats", "empty", "text", "folder"
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("jobs", [1, 2])
def test_p9_a_frame_that_cannot_be_cut_is_named_and_the_others_are(source, new, messages, kind, jobs):
    path = broken(source, next(iter(MEDIUM)), kind)
    (problem,) = prepare(source, new, jobs=jobs)
    assert str(path) in problem and "\n" not in problem
    assert [m for m in messages if m.startswith("ERROR")] == [f"ERROR {problem}"]
    assert names(new) == [f"0002_NOISY_SRGB_010_s{number:03d}.png" for number in range(1, PIECES + 1)]


@pytest.mark.parametrize("kind", ["missing", *KINDS])
def test_a_frame_without_a_sound_clean_one_is_left_out_of_the_pairs(source, new, kind):
    path = broken(source, f"Data/{SCENES[0]}/0001_GT_SRGB_010.PNG", kind)
    (problem,) = prepare(source, new, ground_truth=True)
    assert str(path) in problem
    assert names(new) == [f"0002_NOISY_SRGB_010_s{number:03d}.png" for number in range(1, PIECES + 1)]
    assert len(sidd_train(str(new), str(new.with_name("pieces_GT")))) == PIECES


@pytest.mark.parametrize(
    ("mode", "said"), [("RGBA", "transparency is dropped"), ("P", "a palette is expanded")]
)
def test_what_is_dropped_from_a_frame_is_logged_with_its_name(source, new, messages, recwarn, mode, said):
    path = source / next(iter(MEDIUM))
    colours = Image.new("RGB", (30, 24), (200, 100, 50))
    (colours.quantize(4) if mode == "P" else colours.convert(mode)).save(path)
    assert prepare(source, new) == []
    assert f"WARNING {path}: {said}" in messages and not recwarn.list
    assert (read_image(new / "0001_NOISY_SRGB_010_s001.png") == (200, 100, 50)).all()


def test_a_noisy_frame_that_is_missing_is_named(source, new):
    broken(source, next(iter(MEDIUM)), "missing")
    (problem,) = prepare(source, new)
    assert "0001_GT_SRGB_010.PNG: its noisy image" in problem


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.touch()])
def test_p3_a_folder_without_frames_is_refused_and_nothing_is_written(tmp_path, new, make):
    make(tmp_path / "SIDD")
    with pytest.raises(DataError, match=r"SIDD: no"):
        prepare(tmp_path / "SIDD", new)
    assert not new.exists()


def test_p3_other_images_are_no_frames(make_sidd, tmp_path, new):
    make_sidd(tmp_path / "SIDD", {"photo.png": (24, 30)})
    with pytest.raises(DataError, match=r"no file such as 0001_NOISY_SRGB_010\.PNG.*https://abdokamel"):
        prepare(tmp_path / "SIDD", new)


def test_if_no_frame_can_be_cut_all_are_named_and_nothing_is_written(source, new):
    with pytest.raises(DataError, match=r"(?s)0001_NOISY.*less than the crop of 25.*0002_NOISY"):
        prepare_sidd(source, new, 25, 8)
    assert not new.exists()


def everything(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("place", ["", "Data", "Data/new", "..", "link", "link/new", "../alias"])
def test_p4_a_target_in_the_source_or_around_it_is_refused(source, tmp_path, place):
    (source / "link").symlink_to(source / "Data")
    (tmp_path / "alias").symlink_to(source)
    before = everything(source)
    with pytest.raises(ConfigError, match=r"-nf: .*choose a folder apart"):
        prepare(source, source / place)
    assert everything(source) == before
    assert not (source / "Data" / "new").exists()


def test_p4_a_target_in_a_folder_that_the_source_links_to_is_refused(source, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "Data").symlink_to(source / "Data")
    with pytest.raises(ConfigError, match="choose a folder apart"):
        prepare(linked, source / "Data" / SCENES[0])


def test_p4_the_folder_of_the_ground_truth_is_checked_too(source, tmp_path):
    shutil.move(source, tmp_path / "pieces_GT")
    with pytest.raises(ConfigError, match="choose a folder apart"):
        prepare(tmp_path / "pieces_GT", tmp_path / "pieces", ground_truth=True)


def test_p4_a_users_files_in_the_target_stay(source, new, contents):
    new.mkdir(parents=True)
    own = {"notes.txt": b"mine", "photo.png": b"mine too", ".0001_NOISY_SRGB_010_s001.png.tmp": b"and this"}
    for name, content in own.items():
        (new / name).write_bytes(content)
    prepare(source, new)
    prepare(source, new)
    assert own.items() <= contents(new).items()
    assert len(contents(new)) == len(own) + 2 * PIECES + 1  # and the record


def test_p4_a_users_file_where_a_piece_belongs_is_refused_and_stays(source, new):
    new.mkdir(parents=True)
    (new / "0002_NOISY_SRGB_010_s003.png").write_bytes(b"mine")
    with pytest.raises(RunExistsError, match=r"1 file\(s\) have.*such as 0002_NOISY_SRGB_010_s003\.png"):
        prepare(source, new)
    assert names(new) == ["0002_NOISY_SRGB_010_s003.png"]
    assert (new / "0002_NOISY_SRGB_010_s003.png").read_bytes() == b"mine"


def test_where_the_clean_pieces_are_refused_nothing_is_left_beside_them_either(source, new):
    beside = new.with_name(new.name + "_GT")
    beside.mkdir(parents=True)
    (beside / "0002_NOISY_SRGB_010_s003.png").write_bytes(b"mine")
    with pytest.raises(RunExistsError, match=r"_GT: 1 file\(s\) have"):
        prepare(source, new, ground_truth=True)
    assert not list(new.glob(".manifest*")) and not list(beside.glob(".manifest*"))
