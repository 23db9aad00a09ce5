"""Write files atomically."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from src.util.errors import FULL, StorageError


@contextmanager
def write_atomically(path: Path, durable: bool = True, size: int | None = None) -> Iterator[BinaryIO]:
    """Write a file so that its name always holds either the old or the complete new content.

    Parameters
    ----------
    path : Path
        The file. Its folder must exist.
    durable : bool
        Whether to wait until the content is on disk, so that it survives a power cut. False takes half the
        time for small files; a killed process leaves no partial file either way.
    size : int or None
        Number of bytes to write, if known; the error message names it.

    Yields
    ------
    BinaryIO
        A temporary file to write to. It is renamed at the end of the `with` block and removed on an error.

    Raises
    ------
    StorageError
        When writing fails; the old file is unchanged.
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
        _remove(temporary)  # before the message counts the free bytes
        raise refused(path, error, size) from None
    finally:
        _remove(temporary)


def _remove(temporary: Path) -> None:
    # A failure here would hide the error that is being handled.
    with suppress(OSError):
        temporary.unlink(missing_ok=True)


def refused(path: Path, error: OSError, size: int | None = None) -> StorageError:
    """Return the error for a file that cannot be written; see `write_atomically`."""
    space = ""
    if error.errno in FULL:
        needed = "" if size is None else f"{size:,} are needed, "
        with suppress(OSError):
            free = shutil.disk_usage(path.parent).free
            space = f" ({needed}{free:,} bytes are free); make room and start again"
    return StorageError(f"{path}: cannot be written: {error.strerror or error}{space}")


def free_bytes(folder: Path) -> int:
    """Return the free bytes on the disk of a folder, which need not exist yet."""
    existing = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    return shutil.disk_usage(existing).free


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # Windows cannot open a folder, and its renames are durable
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
