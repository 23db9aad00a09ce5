"""Folders of pictures: which files are in them, and which of those are no pictures."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from src.util.errors import DataError
from src.util.logger import LOG
from src.util.pictures.formats.known import ENDINGS
from src.util.pictures.io import inspect_picture
from src.util.pictures.own_results import without_results

_DEBRIS = {"thumbs.db", "desktop.ini"}
_LISTED_AT_MOST = 100


def list_pictures(folder: str | os.PathLike[str], recursive: bool = True) -> list[Path]:
    """All pictures of a folder.

    Parameters
    ----------
    folder : path
        Hidden files and folders, Thumbs.db, desktop.ini and what `test.py` made are passed over.
    recursive : bool
        Whether to look into sub-folders.

    Returns
    -------
    list of Path
        At least one, in an order that is the same on every machine.

    Raises
    ------
    DataError
        When there is no folder, no picture in it, or anything else beside the pictures; all of that, and
        every damaged picture, is listed at once.
    """
    found = list_files(folder, recursive)
    files = without_results(found, Path(folder))
    if len(files) < len(found):
        LOG.info("%s: %d files passed over, results of test.py", folder, len(found) - len(files))
    if not files:
        raise _none_in(folder)
    if any(path.suffix.lower() not in ENDINGS for path in files):
        raise_together([problem for path in files if (problem := _problem_of(path))])
    return files


def list_files(folder: str | os.PathLike[str], recursive: bool = True) -> list[Path]:
    """All files of a folder of pictures, whether they are pictures or not; see `list_pictures`."""
    folder = Path(folder)
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise DataError(f"{folder}: expected a folder of pictures, found {found}")
    files = sorted(_files(folder, recursive), key=lambda path: path.relative_to(folder).as_posix())
    if not files:
        raise _none_in(folder)
    return files


def _none_in(folder: str | os.PathLike[str]) -> DataError:
    return DataError(f"{folder}: no pictures in it (endings {', '.join(ENDINGS)})")


def _files(folder: Path, recursive: bool) -> Iterator[Path]:
    seen: set[str] = set()
    for here, folders, names in os.walk(folder, onerror=_say_unreadable, followlinks=True):
        real = os.path.realpath(here)  # a link may lead back to a folder above it
        if not recursive or real in seen:
            folders.clear()
        if real not in seen:
            yield from (Path(here, name) for name in names if not _is_debris(name))
        seen.add(real)
        # A folder with a picture's ending is given as if it were one: whoever opens it says so.
        yield from (Path(here, name) for name in folders if _has_ending(name))
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not _has_ending(name))


def _say_unreadable(error: OSError) -> None:
    LOG.warning("%s: passed over, cannot be read: %s", error.filename, error.strerror)


def _has_ending(name: str) -> bool:
    return name.lower().endswith(ENDINGS) and not name.startswith(".")


def _is_debris(name: str) -> bool:
    return name.startswith(".") or name.lower() in _DEBRIS


def _problem_of(path: Path) -> str | None:
    if path.suffix.lower() not in ENDINGS:
        return f"{path}: not a picture (its name ends with none of {', '.join(ENDINGS)}); move it elsewhere"
    try:
        inspect_picture(path)
    except DataError as error:
        return str(error)
    return None


def raise_together(problems: Sequence[str]) -> None:
    """Raise one DataError with all problems, one on each line; nothing when there are none.

    Parameters
    ----------
    problems : sequence of str
        Beyond the first hundred they are counted.

    Raises
    ------
    DataError
    """
    if not problems:
        return
    shown = list(problems[:_LISTED_AT_MOST])
    if len(problems) > len(shown):
        shown.append(f"... and {len(problems) - len(shown)} more")
    raise DataError("\n".join(shown))
