import os
import shutil

import filelock
import pytest

from src.data_handlers.preparation import execute, target
from src.data_handlers.preparation.sidd import prepare_sidd
from src.util.errors import RunExistsError, StorageError

FRAMES = {f"{number:04d}_NOISY_SRGB_010.PNG": (20, 30) for number in range(1, 5)}


@pytest.fixture
def source(make_sidd, tmp_path):
    return make_sidd(tmp_path / "SIDD", FRAMES)


@pytest.fixture
def new(tmp_path):
    return tmp_path / "new"


@pytest.fixture
def written(monkeypatch):
    """Names of the pieces that this process writes."""
    names = []
    real = execute.write_atomically

    def write(path, durable):
        names.append(path.name)
        return real(path, durable)

    monkeypatch.setattr(execute, "write_atomically", write)
    return names


def prepare(source, new, step=8, **options):
    return prepare_sidd(source, new, 16, step, **{"jobs": 1, **options})


def test_the_number_of_workers_changes_nothing(source, new, contents):
    prepare(source, new)
    prepare(source, new.with_name("other"), jobs=3)
    assert contents(new) == contents(new.with_name("other"))


def test_a_second_run_skips_what_is_done(source, new, written, messages):
    prepare(source, new)
    first = len(written)
    record = (new / ".manifest.jsonl").read_bytes()
    prepare(source, new)
    assert len(written) == first
    assert (new / ".manifest.jsonl").read_bytes() == record
    assert messages[-1] == f"INFO {first} of {first} pieces are there: 0 made now"


def test_a_second_run_does_what_a_first_one_could_not(source, new, contents):
    prepare(source, new.with_name("whole"))
    frame = source / "0003_NOISY_SRGB_010.PNG"
    content = frame.read_bytes()
    frame.write_bytes(content[:50])
    assert len(prepare(source, new)) == 1
    frame.write_bytes(content)
    assert prepare(source, new) == []
    assert contents(new) == contents(new.with_name("whole"))


@pytest.mark.parametrize("change", ["lost", "cut short", "empty"])
def test_a_piece_that_is_lost_or_not_whole_is_made_again_and_no_other(source, new, contents, written, change):
    prepare(source, new)
    before = contents(new)
    piece = new / "0002_NOISY_SRGB_010_s003.png"
    if change == "lost":
        piece.unlink()
    else:
        piece.write_bytes(b"" if change == "empty" else piece.read_bytes()[:-3])
    written.clear()
    prepare(source, new)
    assert written == [piece.name]
    assert contents(new) == before


def test_a_copy_of_the_source_gives_the_same_pieces_without_writing_them_again(source, new, written):
    prepare(source, new)
    written.clear()
    for path in source.iterdir():
        os.utime(path)
    prepare(source, new)
    assert written == []


def test_more_frames_may_come_later(source, new, make_sidd, written):
    prepare(source, new)
    written.clear()
    make_sidd(source / "more", {"0009_NOISY_SRGB_010.PNG": (16, 16)})
    prepare(source, new)
    assert written == ["0009_NOISY_SRGB_010_s001.png"]


def test_other_parameters_are_refused_and_change_nothing(source, new, contents):
    prepare(source, new)
    before = contents(new)
    with pytest.raises(RunExistsError, match=r"'step': 8.*'step': 4.*choose another -nf"):
        prepare(source, new, step=4)
    assert contents(new) == before


def test_two_preparations_at_once_are_refused(source, new, monkeypatch):
    monkeypatch.setattr(target, "_LOCK_TIMEOUT", 0)
    new.mkdir()
    with filelock.FileLock(new / ".lock"), pytest.raises(RunExistsError, match="another preparation"):
        prepare(source, new)
    assert not list(new.glob("*.png"))
    assert prepare(source, new) == []


def test_what_a_kill_left_half_written_is_removed_and_a_users_file_is_not(source, new, contents):
    prepare(source, new)
    before = contents(new)
    (new / ".0001_NOISY_SRGB_010_s001.png.4711.tmp").write_bytes(b"half")
    prepare(source, new)
    assert contents(new) == before
    (new / ".holiday.png.4711.tmp").write_bytes(b"not ours")
    prepare(source, new)
    assert (new / ".holiday.png.4711.tmp").exists()


@pytest.mark.parametrize("at", [0, 3, 10])
def test_after_a_kill_the_next_run_makes_the_rest(source, new, contents, monkeypatch, at):
    prepare(source, new.with_name("whole"))
    real, count = execute.write_atomically, iter(range(100))

    def write(path, durable):
        if next(count) == at:
            raise KeyboardInterrupt
        return real(path, durable)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(execute, "write_atomically", write)
        prepare(source, new)
    assert len(list(new.glob("*.png"))) == at
    assert prepare(source, new) == []
    assert contents(new) == contents(new.with_name("whole"))


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_full_disk_is_an_error_and_the_rest_is_made_when_there_is_room(
    source, new, contents, monkeypatch, jobs
):
    prepare(source, new.with_name("whole"))
    limit = 3 if jobs == 1 else 0
    real = os.replace

    def replace(temporary, path):
        if path.suffix == ".png" and len(list(new.glob("*.png"))) >= limit:
            raise OSError(28, "No space left on device")
        real(temporary, path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        with pytest.raises(StorageError, match=r"_s\d+\.png: cannot be written: No space left on device"):
            prepare(source, new, jobs=jobs)
    assert len(list(new.glob("*.png"))) == limit
    assert not list(new.glob(".*.tmp"))
    assert prepare(source, new) == []
    assert contents(new) == contents(new.with_name("whole"))


def test_a_stopping_worker_does_not_finish_its_frame_first(source, new, written, monkeypatch):
    monkeypatch.setattr(execute, "stopped", lambda: len(written) >= 2)
    prepare(source, new)
    assert written == ["0001_NOISY_SRGB_010_s001.png", "0001_NOISY_SRGB_010_s002.png"]
    monkeypatch.undo()
    monkeypatch.setattr("os.sync", lambda: None)
    assert prepare(source, new) == []
    assert len(list(new.glob("*.png"))) == 4 * 6


# Room: 24 pieces of 16x16 px take at most 4864 bytes each, 117 kB


@pytest.fixture
def disk(monkeypatch, tmp_path):
    """Set the number of free bytes."""
    usage = shutil.disk_usage(tmp_path)
    return lambda free: monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=free))


def test_a_disk_without_room_is_refused_before_anything_is_written(source, new, messages, disk):
    disk(58_000)
    with pytest.raises(StorageError, match=r"new: the pieces need .* are free; make room"):
        prepare(source, new)
    assert f"{source}: 4 images give 24 pieces in {new}; 24 are missing: at most 0.1 MB" in messages[0]
    assert not new.exists()


def test_noisy_and_clean_pieces_need_room_together(source, new, disk):
    disk(100_000)
    with pytest.raises(StorageError, match=r"the pieces need"):
        prepare(source, new, ground_truth=True)
    assert not new.exists()


def test_pieces_that_may_not_fit_are_made_with_a_warning(source, new, messages, disk):
    disk(60_000)
    assert prepare(source, new) == []
    assert any(m.startswith("WARNING") and "the disk may get full" in m for m in messages)
    messages.clear()
    prepare(source, new)
    assert "0 are missing" in messages[0] and not any(m.startswith("WARNING") for m in messages)
