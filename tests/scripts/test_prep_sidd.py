"""The command line of `prep_SIDD.py`, kills, signals and a full disk."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from src.util.images.io import read_image, write_image

ROOT = Path(__file__).parents[2]
HIDDEN = (".lock", ".manifest.jsonl")
GRID = ("-c", 48, "-s", 24)
PIECES = 12 * 14  # of a 300x350 frame: rows 0, 24, ..., 240, 252; columns 0, 24, ..., 288, 302


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr("os.sync", lambda: None)


@pytest.fixture
def prep(call):
    return lambda *flags: call("prep_SIDD", *flags, device=(), workers=())


@pytest.fixture
def source(make_sidd, tmp_path):
    frames = {f"Data/{n:04d}_001/{n:04d}_NOISY_SRGB_010.PNG": (300, 350) for n in range(1, 9)}
    return make_sidd(tmp_path / "SIDD", frames)


def start(*flags, **options):
    """Start the script as a process."""
    command = [sys.executable, str(ROOT / "prep_SIDD.py"), *map(str, flags)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **pipes, **options)


def pieces(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in HIDDEN}


def wait_for_pieces(folder):
    end = time.monotonic() + 60
    while len(list(folder.glob("*.png"))) < 50:
        assert time.monotonic() < end, "no pieces after 60 s"
        time.sleep(0.005)


def test_p1_p2_the_documented_call_works(prep, source, tmp_path):
    ended = prep("-c", 200, "-s", 100, "-df", "SIDD", "-nf", "NEW", "--jobs", 2)
    assert (ended.code, ended.err) == (0, "")
    assert "SIDD: 8 images give 48 pieces in NEW; 48 are missing" in ended.out
    assert "at most 6.0 MB" in ended.out  # 48 of 200x200 px in three colours, and 4 KB for each file
    assert "48 of 48 pieces are there: 48 made now" in ended.out
    assert len(pieces(tmp_path / "NEW")) == 48
    ended = prep("-c", 200, "-s", 100, "-df", "SIDD", "-nf", "NEW", "--gt")
    assert ended.code == 0
    assert pieces(tmp_path / "NEW_GT").keys() == pieces(tmp_path / "NEW").keys()


def test_the_default_crops_are_those_of_the_readme(prep, source, make_sidd, tmp_path):
    make_sidd(tmp_path / "datasets" / "SIDD", {"0001_NOISY_SRGB_010.PNG": (512, 768)})
    assert prep().code == 0
    made = pieces(tmp_path / "datasets" / "SIDD_train")
    assert sorted(made) == ["0001_NOISY_SRGB_010_s001.png", "0001_NOISY_SRGB_010_s002.png"]
    assert read_image(tmp_path / "datasets" / "SIDD_train" / sorted(made)[0]).shape == (512, 512, 3)


@pytest.mark.parametrize("flags", [("-s", 0), ("-c", 0), ("-c", -5), ("-s", "x"), ("--jobs", 0), ("-s", 2.5)])
def test_p9_an_invalid_step_crop_or_number_of_jobs_is_refused(prep, source, tmp_path, flags):
    ended = prep("-df", "SIDD", "-nf", "NEW", *flags)
    assert ended.code == 2
    assert "expected a whole number of at least 1" in ended.err or "expected one argument" in ended.err
    assert not (tmp_path / "NEW").exists()


def test_a_broken_frame_is_named_and_exits_7(prep, source, tmp_path):
    bad = source / "Data" / "0003_001" / "0003_NOISY_SRGB_010.PNG"
    bad.write_bytes(bad.read_bytes()[:1000])
    ended = prep(*GRID, "-df", "SIDD", "-nf", "NEW")
    assert ended.code == 7
    assert str(Path("SIDD/Data/0003_001/0003_NOISY_SRGB_010.PNG")) in ended.err
    assert len(pieces(tmp_path / "NEW")) == 7 * PIECES


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (("-df", "absent", "-nf", "NEW"), 7, "absent: no such folder"),
        (("-df", "SIDD", "-nf", "SIDD"), 2, "choose a folder apart"),
        (("-df", "SIDD", "-nf", "SIDD/new"), 2, "choose a folder apart"),
        (("-df", "SIDD", "-nf", "."), 2, "choose a folder apart"),
        (("-df", "SIDD", "-nf", "file"), 5, "file: cannot be made"),
    ],
)
def test_p4_invalid_folders_are_refused_in_one_line_and_nothing_changes(
    prep, source, tmp_path, flags, code, message
):
    (tmp_path / "file").write_text("mine")
    before = files_below(tmp_path)
    ended = prep(*GRID, *flags)
    assert (ended.code, ended.err.count("\n")) == (code, 1)
    assert message in ended.err
    assert files_below(tmp_path) == before


def files_below(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize("jobs", [1, 2])
def test_p10_killed_and_run_again_it_writes_the_same_as_undisturbed(prep, source, tmp_path, jobs):
    new = tmp_path / "NEW"
    process = start(*GRID, "-df", source, "-nf", new, "--jobs", jobs)
    wait_for_pieces(new)
    process.kill()
    process.communicate(timeout=60)
    left = list(new.glob("*.png"))
    assert 0 < len(left) < 8 * PIECES
    for path in left:
        assert read_image(path).shape == (48, 48, 3)
    ended = prep(*GRID, "-df", "SIDD", "-nf", "NEW", "--jobs", 2)
    assert (ended.code, ended.err) == (0, "")
    prep(*GRID, "-df", "SIDD", "-nf", "WHOLE", "--jobs", 1)
    assert pieces(new) == pieces(tmp_path / "WHOLE")


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize(
    ("number", "code", "name"), [("SIGINT", 130, "Ctrl-C"), ("SIGTERM", 143, "SIGTERM")], ids=["int", "term"]
)
def test_a_signal_stops_all_processes_and_leaves_only_complete_files(
    prep, source, tmp_path, jobs, number, code, name
):
    new = tmp_path / "NEW"
    awake = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    process = start(*GRID, "-df", source, "-nf", new, "--jobs", jobs, start_new_session=True, **awake)
    wait_for_pieces(new)
    os.killpg(process.pid, getattr(signal, number))  # as a terminal or cluster does
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "the same command continues from here" in out
    assert err == f"stopped by {name}\n"
    left = pieces(new)
    time.sleep(0.3)
    assert pieces(new) == left
    assert 0 < len(left) < 8 * PIECES
    assert not [name for name in left if not name.endswith(".png") or name.startswith(".")]
    assert prep(*GRID, "-df", "SIDD", "-nf", "NEW").code == 0
    assert len(pieces(new)) == 8 * PIECES


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX limits")
def test_a_failed_write_leaves_no_partial_piece(prep, make_sidd, tmp_path):
    """The limit on file size admits the piece of a flat frame, but not that of a noisy one."""
    source = make_sidd(tmp_path / "SIDD", {f"{n:04d}_NOISY_SRGB_010.PNG": (96, 96) for n in (1, 2)})
    write_image(source / "0001_NOISY_SRGB_010.PNG", read_image(source / "0001_NOISY_SRGB_010.PNG") // 255)
    flags = ("-c", 96, "-s", 96, "-df", source, "-nf", tmp_path / "NEW")
    limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))}
    process = start(*flags, "--jobs", 2, **limit)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 5, err
    assert "0002_NOISY_SRGB_010_s001.png: cannot be written: File too large" in err
    assert "Traceback" not in err
    assert set(pieces(tmp_path / "NEW")) <= {"0001_NOISY_SRGB_010_s001.png"}
    assert prep(*flags).code == 0
    assert len(pieces(tmp_path / "NEW")) == 2
