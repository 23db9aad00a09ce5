import os

import pytest

from src.data_handlers.submission.staging import expect_room, staged_file, staged_folder
from src.util.errors import ConfigError, StorageError

OURS = frozenset({"0001.mat", "0002.mat"})


def everything_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_file_gets_its_name_if_the_block_succeeds(tmp_path):
    with staged_file(tmp_path / "a.csv", overwrite=False) as temporary:
        temporary.write_text("right")
        assert not (tmp_path / "a.csv").exists()
    assert everything_in(tmp_path) == ["a.csv"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_of_a_file_or_folder_that_was_wrong(tmp_path, error):
    with pytest.raises(error), staged_file(tmp_path / "a.csv", overwrite=False) as temporary:
        temporary.write_text("wrong")
        raise error
    with pytest.raises(error), staged_folder(tmp_path / "a", overwrite=False, names=OURS) as temporary:
        (temporary / "0001.mat").write_text("wrong")
        raise error
    assert everything_in(tmp_path) == []


def test_an_existing_file_stays_if_the_new_one_is_wrong(tmp_path):
    (tmp_path / "a.csv").write_text("old")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0001.mat").write_text("old")
    with pytest.raises(ValueError), staged_file(tmp_path / "a.csv", overwrite=True):
        raise ValueError
    with pytest.raises(ValueError), staged_folder(tmp_path / "a", overwrite=True, names=OURS):
        raise ValueError
    assert everything_in(tmp_path) == ["a", "a.csv", "a/0001.mat"]
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "a" / "0001.mat").read_text() == "old"


def test_a_file_that_appears_during_the_work_is_not_replaced(tmp_path):
    with pytest.raises(ConfigError, match="exists"), staged_file(tmp_path / "c", overwrite=False) as new:
        new.write_text("ours")
        (tmp_path / "c").write_text("another process's")
    assert (tmp_path / "c").read_text() == "another process's"


def test_a_folder_under_the_files_name_is_left_alone(tmp_path):
    (tmp_path / "a.csv").mkdir()
    with (
        pytest.raises(ConfigError, match=r"a\.csv: expected a file or nothing, found a folder"),
        staged_file(tmp_path / "a.csv", overwrite=True),
    ):
        pytest.fail("the block must not run")
    assert everything_in(tmp_path) == ["a.csv"]


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_gets_its_files_if_the_block_succeeds(tmp_path, exists):
    old = tmp_path / "bundled"
    if exists:
        old.mkdir()
        (old / "0001.mat").write_text("old")
    with staged_folder(old, overwrite=exists, names=OURS) as temporary:
        for name in OURS:
            (temporary / name).write_text("new")
    assert everything_in(tmp_path) == ["bundled", "bundled/0001.mat", "bundled/0002.mat"]
    assert {(old / name).read_text() for name in OURS} == {"new"}


def test_files_of_others_are_never_deleted(tmp_path):
    old = tmp_path / "bundled"
    old.mkdir()
    (old / "0001.mat").write_text("old")
    (old / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match=r"thesis\.tex: not part of a submission"):
        staged_folder(old, overwrite=True, names=OURS).__enter__()
    (old / "thesis.tex").unlink()
    with staged_folder(old, overwrite=True, names=OURS) as temporary:
        for name in OURS:
            (temporary / name).write_text("new")
        (old / "thesis.tex").write_text("years of work")  # appears during the work
    assert (old / "thesis.tex").read_text() == "years of work"


def test_a_link_or_file_under_the_folders_name_is_left_alone(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("elsewhere")
    (tmp_path / "file").write_text("text")
    for name in ("link", "file"):
        with pytest.raises(ConfigError, match="expected a folder or nothing"):
            staged_folder(tmp_path / name, overwrite=True, names=OURS).__enter__()


def test_a_disk_without_room_is_refused_before_writing(tmp_path):
    expect_room(tmp_path / "new", 1)
    with pytest.raises(StorageError, match="are needed"):
        expect_room(tmp_path, 10**18)


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be made"):
        expect_room(tmp_path / "file" / "new", 1)
    assert os.listdir(tmp_path) == ["file"]
