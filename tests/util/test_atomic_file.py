import errno
import os
from pathlib import Path

import pytest

from src.util import atomic_file
from src.util.atomic_file import write_atomically
from src.util.errors import StorageError


def write(path, content, **options):
    with write_atomically(path, **options) as file:
        file.write(content)


def fail(path, error, **options):
    with write_atomically(path, **options) as file:
        file.write(b"half of the new con")
        raise error


def test_a_file_is_written_and_replaced(tmp_path):
    path = tmp_path / "a.bin"
    write(path, b"one")
    write(path, b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), StorageError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_k1_a_failed_write_leaves_only_the_old_file(tmp_path, error, raised):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(raised):
        fail(path, error)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_missing_folder_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="cannot be written"):
        write(tmp_path / "gone" / "a.bin", b"")


def test_the_content_is_on_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    """Otherwise a power cut after the rename could leave an empty file."""
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(
            atomic_file.os, name, lambda *a, real=real, name=name: (calls.append(name), real(*a))[1]
        )
    write(tmp_path / "a.bin", b"x")
    assert calls == ["fsync", "replace", "fsync"]  # the file, its name and its folder


def test_a_write_that_is_not_durable_is_atomic_but_does_not_wait_for_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic_file.os, "fsync", lambda descriptor: pytest.fail("waited for the disk"))
    path = tmp_path / "a.bin"
    write(path, b"old", durable=False)
    with pytest.raises(StorageError):
        fail(path, OSError(errno.ENOSPC, "No space left on device"), durable=False)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_partial_file_is_removed_before_free_bytes_are_reported(tmp_path, monkeypatch):
    """Otherwise a full disk always has 0 bytes free."""
    seen, real = [], atomic_file.shutil.disk_usage

    def look(path):
        seen.append(os.listdir(tmp_path))
        return real(path)

    monkeypatch.setattr(atomic_file.shutil, "disk_usage", look)
    with pytest.raises(StorageError, match=r"a\.bin: cannot be written: No space left .* bytes are free"):
        fail(tmp_path / "a.bin", OSError(errno.ENOSPC, "No space left on device"))
    assert seen == [[]]


def test_a_read_only_disk_is_reported_with_the_files_own_name(tmp_path, monkeypatch):
    """The error of removing the temporary file must not replace it."""

    def read_only(self, missing_ok=False):
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "unlink", read_only)
    with pytest.raises(StorageError, match=r"/a\.bin: cannot be written: Read-only file system"):
        fail(tmp_path / "a.bin", OSError(errno.EROFS, "Read-only file system"))
