"""Listing the images of a folder."""

import errno
import os
import shutil

import numpy as np
import pytest

from src.util.errors import DataError
from src.util.images.folder import list_images, raise_together
from src.util.images.io import read_image, write_image
from src.util.images.own_results import MARK

RGB = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_a_folder_is_listed_in_order_without_debris(tmp_path):
    (tmp_path / "sub" / ".hidden").mkdir(parents=True)
    for name in ("b.png", "a.PNG", "sub/c.jpg", "sub/.hidden/d.png", ".e.png"):
        (tmp_path / name).touch()
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "sub/.gitignore"):
        (tmp_path / name).write_text("x")
    names = [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)]
    assert names == ["a.PNG", "b.png", "sub/c.jpg"]
    assert [path.name for path in list_images(tmp_path, recursive=False)] == ["a.PNG", "b.png"]


def test_an_unreadable_folder_is_named(tmp_path, monkeypatch, messages):
    for name in ("a.png", "in/b.png", "secret/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    scandir = os.scandir

    def refusing(folder):
        if str(folder).endswith("secret"):
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    assert [path.name for path in list_images(tmp_path)] == ["a.png", "b.png"]
    assert messages == [f"WARNING {tmp_path / 'secret'}: passed over, cannot be read: Permission denied"]


def test_results_in_a_folder_are_not_listed(tmp_path, messages):
    """A finished call leaves a page; an interrupted one only images, in the same or in another folder."""
    images = ["a.png", "b_DN.png", "day.png", "day_DNx.png", "e.ome.tif", "sub/a.tif"]
    results = [
        "a_DN.png", "c/d/a_DN.png", "results/a_DN.png", "results/a_DN_DN.png", "results/e_DN.ome.tif",
        "results/sub/a_DN.tif",
    ]  # fmt: skip
    for name in images + results:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    write_image(tmp_path / "results" / "panel.png", RGB)
    (tmp_path / "results" / "report.html").write_bytes(b"<!doctype html>" + MARK)
    assert [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)] == images
    assert messages == [f"INFO {tmp_path}: passed over: 8 results of test.py"]
    (tmp_path / "results" / "report.html").write_text("another program's")
    list_images(tmp_path)
    assert messages[1] == f"INFO {tmp_path}: passed over: 1 .html, 6 results of test.py"


def test_a_link_to_a_folder_above_does_not_hang(tmp_path):
    write_image(tmp_path / "a.png", RGB)
    (tmp_path / "loop").symlink_to(tmp_path)
    assert [path.name for path in list_images(tmp_path)] == ["a.png"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_does_not_hang(tmp_path, messages):
    (tmp_path / "a.png").write_bytes(b"")
    for name in ("pipe", "pipe.jpg"):
        os.mkfifo(tmp_path / name)
    assert [path.name for path in list_images(tmp_path)] == ["a.png", "pipe.jpg"]
    assert messages == [f"INFO {tmp_path}: passed over: 1 without an ending"]
    with pytest.raises(DataError, match=r"pipe\.jpg: expected an image, found a pipe or device"):
        read_image(tmp_path / "pipe.jpg")


def test_other_files_are_skipped_and_counted_in_one_line(tmp_path, messages):
    """A damaged image is listed; reading it reports the damage."""
    write_image(tmp_path / "good.png", RGB)
    write_image(tmp_path / "phone.jfif", RGB)
    shutil.copy(tmp_path / "good.png", tmp_path / "named_badly")
    (tmp_path / "empty.png").touch()
    for name in ("a.xmp", "b.xmp", "notes.txt", "raw.CR2", "phone.mov", "clip"):
        (tmp_path / name).write_bytes(b"II*\0 of a raw file" if name.endswith("CR2") else b"GIF89a and so on")
    for folder in ("IMG_0.jpg", "@eaDir/IMG_1.jpg"):
        (tmp_path / folder).mkdir(parents=True)
        write_image(tmp_path / folder / "thumb.png", RGB)
    names = [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)]
    assert names == ["empty.png", "good.png", "named_badly", "phone.jfif"]
    assert messages == [
        f"INFO {tmp_path}: passed over: 1 .CR2, 1 .mov, 1 .txt, 2 .xmp, 1 without an ending"
        " (develop raw files to 16-bit TIFF, without sharpening and noise reduction), 1 folders named as"
        " images"
    ]


def test_t6_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(DataError, match="no images"):
        list_images(tmp_path)
    (tmp_path / "a.NEF").write_bytes(b"II*\0")
    with pytest.raises(DataError, match=r"no images in it .*; passed over: 1 \.NEF \(develop raw files to"):
        list_images(tmp_path)
    with pytest.raises(DataError, match="found nothing"):
        list_images(tmp_path / "gone")


def test_many_problems_are_counted():
    with pytest.raises(DataError) as caught:
        raise_together([f"problem {n}" for n in range(150)])
    assert str(caught.value).endswith("... and 50 more")
    raise_together([])
