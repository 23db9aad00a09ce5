"""Write output under a hidden name and rename it once it is found right."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from src.util.atomic_file import free_bytes, refused
from src.util.errors import LOST, ConfigError, StorageError
from src.util.file_manager import expect_free, made_folder


def expect_room(folder: Path, size: int) -> None:
    """Make a folder if it is missing, and check that it can hold `size` more bytes.

    Raises
    ------
    StorageError
        If the disk has no room for them.
    """
    free = free_bytes(made_folder(folder))
    if free < size:
        raise StorageError(f"{folder}: {size / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB are free")


@contextmanager
def staged_file(path: Path, overwrite: bool) -> Iterator[Path]:
    """Yield a hidden name beside `path`; the file written there is renamed to `path` if the block succeeds.

    Parameters
    ----------
    path : Path
        Its folder exists.
    overwrite : bool
        Whether to replace an existing file.

    Raises
    ------
    ConfigError
        If a folder has this name, or a file has appeared there that must not be replaced.
    StorageError
        If the disk refuses, also in the block.
    """
    if path.is_dir():
        raise ConfigError(f"{path}: expected a file or nothing, found a folder; choose another name")
    temporary = _hidden(path)
    try:
        yield temporary
        _flush(temporary)
        if not overwrite:
            expect_free(path)
        os.replace(temporary, path)
    except OSError as error:
        raise _named(error, path) from None
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def staged_folder(path: Path, overwrite: bool, names: frozenset[str]) -> Iterator[Path]:
    """Yield a hidden folder beside `path`; its files are moved to `path` if the block succeeds.

    Parameters
    ----------
    path : Path
        Its parent folder exists.
    overwrite : bool
        Whether to replace files in an existing folder.
    names : frozenset of str
        The files that the block writes; the existing folder may hold no others. Nothing else is replaced.

    Raises
    ------
    ConfigError
        If the existing folder holds other files, or has appeared and must not be replaced.
    StorageError
        If the disk refuses, also in the block.
    """
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise ConfigError(f"{path}: expected a folder or nothing; move it elsewhere")
    for file in path.iterdir() if path.is_dir() else ():
        if file.name not in names:
            raise ConfigError(f"{file}: not part of a submission; move it out of {path}")
    temporary = _hidden(path)
    temporary.mkdir()
    try:
        yield temporary
        for name in names:
            _flush(temporary / name)
        if not overwrite:
            expect_free(path)
        path.mkdir(exist_ok=True)
        for name in names:
            os.replace(temporary / name, path / name)
    except OSError as error:
        raise _named(error, path) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _named(error: OSError, path: Path) -> Exception:
    return refused(path, error) if error.errno in LOST else error


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def _flush(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
