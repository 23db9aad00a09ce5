"""What of a folder is taken for its pictures."""

import errno
import os

import numpy as np
import pytest

from src.util.errors import DataError
from src.util.pictures.folder import list_pictures, raise_together
from src.util.pictures.io import write_picture
from src.util.pictures.own_results import MARK

RGB = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_a_folder_is_listed_in_order_without_debris(tmp_path):
    (tmp_path / "sub" / ".hidden").mkdir(parents=True)
    for name in ("b.png", "a.PNG", "sub/c.jpg", "sub/.hidden/d.png", ".e.png"):
        (tmp_path / name).touch()
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "sub/.gitignore"):
        (tmp_path / name).write_text("x")
    names = [path.relative_to(tmp_path).as_posix() for path in list_pictures(tmp_path)]
    assert names == ["a.PNG", "b.png", "sub/c.jpg"]
    assert [path.name for path in list_pictures(tmp_path, recursive=False)] == ["a.PNG", "b.png"]


def test_a_folder_that_cannot_be_looked_into_is_named(tmp_path, monkeypatch, messages):
    for name in ("a.png", "in/b.png", "secret/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    scandir = os.scandir

    def refusing(folder):
        if str(folder).endswith("secret"):
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    assert [path.name for path in list_pictures(tmp_path)] == ["a.png", "b.png"]
    assert messages == [f"WARNING {tmp_path / 'secret'}: passed over, cannot be read: Permission denied"]


def test_what_was_denoised_of_a_folder_is_not_trained_on(tmp_path, messages):
    """A finished call left a page; one that was stopped left pictures alone, beside them or in a folder."""
    pictures = ["a.png", "b_DN.png", "day.png", "day_DNx.png", "sub/a.tif"]
    results = ["a_DN.png", "c/d/a_DN.png", "results/a_DN.png", "results/a_DN_DN.png", "results/sub/a_DN.tif"]
    for name in pictures + results:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    write_picture(tmp_path / "results" / "panel.png", RGB)
    (tmp_path / "results" / "report.html").write_bytes(b"<!doctype html>" + MARK)
    assert [path.relative_to(tmp_path).as_posix() for path in list_pictures(tmp_path)] == pictures
    assert messages == [f"INFO {tmp_path}: 7 files passed over, results of test.py"]
    (tmp_path / "results" / "report.html").write_text("another program's")
    with pytest.raises(DataError, match=r"report\.html: not a picture"):
        list_pictures(tmp_path)


def test_a_link_to_a_folder_above_does_not_hang(tmp_path):
    write_picture(tmp_path / "a.png", RGB)
    (tmp_path / "loop").symlink_to(tmp_path)
    assert [path.name for path in list_pictures(tmp_path)] == ["a.png"]


def test_d7_everything_wrong_in_a_folder_is_listed_at_once(tmp_path):
    write_picture(tmp_path / "good.png", RGB)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "table.csv").write_text("x")
    (tmp_path / "empty.png").touch()
    with pytest.raises(DataError) as caught:
        list_pictures(tmp_path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert all(name in str(caught.value) for name in ("notes.txt", "table.csv", "empty.png"))


def test_t6_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(DataError, match="no pictures"):
        list_pictures(tmp_path)
    with pytest.raises(DataError, match="found nothing"):
        list_pictures(tmp_path / "gone")


def test_many_problems_are_counted():
    with pytest.raises(DataError) as caught:
        raise_together([f"problem {n}" for n in range(150)])
    assert str(caught.value).endswith("... and 50 more")
    raise_together([])
