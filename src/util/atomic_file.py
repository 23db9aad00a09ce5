"""Files that are never half-written."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from src.util.errors import FULL, StorageError


@contextmanager
def write_atomically(path: Path, durable: bool = True, size: int | None = None) -> Iterator[BinaryIO]:
    """Write a file so that at any moment either the old or the whole new content stands under its name.

    Parameters
    ----------
    path : Path
        Its folder exists.
    durable : bool
        Whether to wait until the disk has it, so that a power cut right after does no harm. For many small
        files that can be made again, False saves half of the time; a kill never leaves half a file.
    size : int or None
        Bytes of the content where they are known, for the message.

    Yields
    ------
    BinaryIO
        Takes the content inside the `with` block, at whose end the file gets its name; after an error in the
        block it gets none.

    Raises
    ------
    StorageError
        When the disk refuses; what stood there before still does.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
        if durable:
            _sync_folder(path.parent)
    except OSError as error:
        _remove(temporary)  # first, for what it takes on a full disk is not free otherwise
        raise refused(path, error, size) from None
    finally:
        _remove(temporary)


def _remove(temporary: Path) -> None:
    # Where nothing can be removed nothing was written, and the error in flight says more.
    with suppress(OSError):
        temporary.unlink(missing_ok=True)


def refused(path: Path, error: OSError, size: int | None = None) -> StorageError:
    """The error of a file that the disk does not take; see `write_atomically`."""
    return StorageError(f"{path}: cannot be written: {error.strerror or error}{_room(path, error, size)}")


def _room(path: Path, error: OSError, size: int | None) -> str:
    if error.errno not in FULL:
        return ""
    needed = "" if size is None else f"{size:,} are needed, "
    try:
        return f" ({needed}{shutil.disk_usage(path.parent).free:,} bytes are free); make room and start again"
    except OSError:
        return ""


def free_bytes(folder: Path) -> int:
    """Room on the disk that a folder is on, or will be on."""
    there = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    return shutil.disk_usage(there).free


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened; the rename is durable without
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
