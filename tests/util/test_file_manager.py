import subprocess
import sys
import time
from datetime import datetime

import pytest

from src.util import file_manager
from src.util.atomic_file import write_atomically
from src.util.errors import ConfigError, RunExistsError, StorageError
from src.util.file_manager import FileManager, made_folder, timestamp


@pytest.fixture
def run(tmp_path):
    files = FileManager(tmp_path / "output", "run")
    files.create()
    yield files
    files.close()


def snapshot(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


OUTSIDE = ["../../x", "..", ".", "", "  ", "/abs", "a/b", "a\\b", "C:", "~/x/..", "\u2025/x"]
NOT_EVERYWHERE = [
    "a\0b", "a\nb", "a\x1b[2J", "x" * 300, "é" * 80, "CON", "con.txt", "NUL", "COM1", "aux.", " a", "a ",
    ".git", "a*", "a?", '"a"', "a|b", "a<b", "\udcff", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE + NOT_EVERYWHERE, ids=lambda name: ascii(name[:10]))
def test_f1_f2_a_name_that_is_not_a_folder_name_everywhere_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match="expected one plain folder name"):
        FileManager(tmp_path, name)


@pytest.mark.parametrize(
    "name", ["run", "run.1", "psnr_x", "ssim_29.00", "Läufe 2", "-x", "a\u2215b", "x" * 150]
)
def test_a_plain_name_stays_inside_the_output(tmp_path, name):
    files = FileManager(tmp_path / "output", name)
    files.create()
    files.close()
    assert files.folder.resolve().parent == (tmp_path / "output").resolve()


def test_f1_a_run_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    for name in ("run", "nowhere"):
        with pytest.raises(ConfigError, match="is a link"):
            FileManager(tmp_path, name)


def test_f3_a_new_file_manager_does_not_touch_the_disk(tmp_path):
    files = FileManager(tmp_path / "output", "run")
    files.checkpoint_file(1), files.best_file(1, "psnr", 30.0), files.find_checkpoint("run_001.pth")
    assert list(tmp_path.iterdir()) == []


def test_the_folders_of_a_run_are_as_documented(run):
    assert {path.name for path in run.folder.iterdir() if path.is_dir()} == {
        "best_ckpts", "checkpoint", "img", "logs", "tboard",
    }  # fmt: skip


def test_f4_an_existing_run_is_refused_and_not_changed(run):
    run.log_file.write_text("old")
    run.checkpoint_file(1).write_bytes(b"old")
    run.close()
    before = snapshot(run.folder)
    with pytest.raises(RunExistsError, match="exists; add -r to resume it, or choose another name"):
        FileManager(run.folder.parent, "run").create()
    assert snapshot(run.folder) == before


def test_f5_f6_opening_a_run_keeps_its_files_and_creates_missing_folders(run):
    (run.logs / "notes.txt").write_text("mine")
    run.tensorboard.rmdir()
    run.close()
    before = snapshot(run.folder)
    run.open()
    assert snapshot(run.folder) == before
    assert run.tensorboard.is_dir()


def test_only_temporary_files_of_killed_processes_are_removed(run):
    (run.checkpoints / ".run_001.pth.123.tmp").write_bytes(b"half")
    (run.checkpoints / "mine.tmp").write_bytes(b"mine")
    run.close()
    run.open()
    assert [path.name for path in run.checkpoints.iterdir()] == ["mine.tmp"]


def test_temporary_files_of_a_running_test_are_kept(run):
    run.close()
    folder = run.test_folder("Folder", 1)

    with write_atomically(folder / "metrics.csv") as file:
        run.open()  # the run is resumed meanwhile
        run.close()
        file.write(b"scores")
    assert (folder / "metrics.csv").read_bytes() == b"scores"


def test_a_missing_run_cannot_be_opened(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no run .* to resume"):
        FileManager(tmp_path, "run").open()
    assert list(tmp_path.iterdir()) == []


def test_f14_only_one_process_may_write_to_a_run(run):
    second = FileManager(run.folder.parent, "run")
    with pytest.raises(RunExistsError, match="another process is training this run"):
        second.open()
    run.close()
    second.open()
    second.close()


def test_f14_the_lock_of_a_killed_process_is_released(run):
    run.close()
    code = (
        "import filelock, sys, time; lock = filelock.FileLock(sys.argv[1]); lock.acquire();"
        "print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, run.folder / ".lock"], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    try:
        with pytest.raises(RunExistsError):
            run.open()
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    run.open()


def test_an_output_folder_that_is_a_file_is_a_storage_error(tmp_path):
    (tmp_path / "output").write_text("")
    for folder in (tmp_path / "output", tmp_path / "output" / "deeper"):
        with pytest.raises(StorageError, match="cannot be made"):
            FileManager(folder, "run").create()


def test_files_are_named_as_documented(tmp_path):
    files = FileManager(tmp_path, "my_run")
    assert files.checkpoint_file(7).relative_to(tmp_path).as_posix() == "my_run/checkpoint/my_run_007.pth"
    assert files.checkpoint_file(1000).name == "my_run_1000.pth"
    best = {metric: files.best_file(12, metric, 29.4567).name for metric in ("psnr", "ssim")}
    assert best == {"psnr": "my_run_012_psnr_29.46.pth", "ssim": "my_run_012_ssim_29.457.pth"}
    assert files.best_file(12, "psnr", 1).parent.name == "best_ckpts"


def test_k21_a_checkpoint_is_found_by_its_name_in_both_folders_and_nowhere_else(run):
    run.checkpoint_file(1).write_bytes(b"")
    run.best_file(1, "psnr", 30).write_bytes(b"")
    (run.folder / "other.pth").write_bytes(b"")
    assert run.find_checkpoint("run_001.pth") == run.find_checkpoint("run_001") == run.checkpoint_file(1)
    assert run.find_checkpoint("run_001_psnr_30.00") == run.best_file(1, "psnr", 30)
    for name in ("../other.pth", "other.pth", "", "..", str(run.checkpoint_file(1)), "x" * 5000, "a\0b"):
        assert run.find_checkpoint(name) is None


def test_a_validation_folder_is_named_by_its_epoch(run):
    assert run.validation_folder(3) == run.validation_folder(3) == run.images / "val_003"
    assert run.validation_folder(3).is_dir()


def test_e14_each_test_gets_a_new_folder(run, monkeypatch):
    monkeypatch.setattr(file_manager, "timestamp", lambda: "20260101_000000")
    folders = [run.test_folder("Demo", 5) for _ in range(70)]
    assert len(set(folders)) == 70
    assert folders[0] == run.images / "test_Demo_005_20260101_000000"
    assert all(folder.is_dir() for folder in folders)


def test_a_timestamp_is_a_sortable_date_with_its_year():
    parsed = datetime.strptime(timestamp(), "%Y%m%d_%H%M%S")
    assert abs(time.time() - parsed.timestamp()) < 60


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be made"):
        made_folder(tmp_path / "file" / "folder")
