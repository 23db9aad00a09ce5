"""Output that takes its name only once it was found right."""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from src.util.atomic_file import free_bytes, refused
from src.util.errors import LOST, ConfigError, StorageError
from src.util.file_manager import made_folder


def expect_free(paths: Iterable[Path], overwrite: bool) -> None:
    """Refuse to write over what is there, unless it was asked for.

    Raises
    ------
    ConfigError
        When one of the paths exists.
    """
    taken = [f"{path}: exists; add --overwrite to replace it" for path in paths if os.path.lexists(path)]
    if taken and not overwrite:
        raise ConfigError(taken)


def expect_room(folder: Path, size: int) -> None:
    """Refuse to start what the disk cannot hold.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    size : int
        Bytes that will be written into it.

    Raises
    ------
    StorageError
        When they do not fit.
    """
    free = free_bytes(made_folder(folder))
    if free < size:
        raise StorageError(f"{folder}: {size / 1e6:,.0f} MB are to be written, {free / 1e6:,.0f} MB are free")


@contextmanager
def staged_file(path: Path, overwrite: bool) -> Iterator[Path]:
    """A hidden name beside `path`; what is written there takes its name when the block ends well.

    Parameters
    ----------
    path : Path
        Its folder exists.
    overwrite : bool
        Whether it may replace a file that has come to stand there.

    Raises
    ------
    ConfigError
        When one has come to stand there, or a folder stands there.
    StorageError
        When the disk refuses, also what is written in the block.
    """
    if path.is_dir():
        raise ConfigError(f"{path}: expected a file or nothing, found a folder; choose another name")
    temporary = _hidden(path)
    try:
        yield temporary
        _flush(temporary)
        expect_free([path], overwrite)
        os.replace(temporary, path)
    except OSError as error:
        raise _named(error, path) from None
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def staged_folder(path: Path, overwrite: bool, ours: frozenset[str]) -> Iterator[Path]:
    """A hidden folder beside `path`, which takes its name when the block ends well.

    Parameters
    ----------
    path : Path
        Its folder exists.
    overwrite : bool
        Whether it may replace a folder of that name.
    ours : frozenset of str
        Names of files which the replaced folder may hold; only these are ever deleted.

    Raises
    ------
    ConfigError
        When the folder that is to be replaced holds anything else.
    StorageError
        When the disk refuses, also what is written in the block.
    """
    _expect_only(path, ours)
    temporary = _hidden(path)
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.iterdir():
            _flush(file)
        expect_free([path], overwrite)
        _expect_only(path, ours)
        _swap(temporary, path, ours)
    except OSError as error:
        raise _named(error, path) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _named(error: OSError, path: Path) -> Exception:
    return refused(path, error) if error.errno in LOST else error


def _swap(temporary: Path, path: Path, ours: frozenset[str]) -> None:
    old = _hidden(path.with_name(f"{path.name}.old"))
    replaced = path.is_dir()
    if replaced:
        path.rename(old)
    temporary.rename(path)
    if replaced:
        for name in ours:
            (old / name).unlink(missing_ok=True)
        old.rmdir()


def _expect_only(path: Path, ours: frozenset[str]) -> None:
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise ConfigError(f"{path}: expected a folder or nothing; move it elsewhere")
    foreign = [] if not path.is_dir() else [file for file in path.iterdir() if file.name not in ours]
    if foreign:
        raise ConfigError(f"{foreign[0]}: is not part of a submission; move it out of {path}")


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def _flush(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
