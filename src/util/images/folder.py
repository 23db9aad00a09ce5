"""Folders of images: which files are in them, and which of those are no images."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from src.util.errors import DataError
from src.util.images.formats.known import ENDINGS, MAGICS, OPTIONAL, RAW_ENDINGS
from src.util.images.own_results import without_results
from src.util.logger import LOG

_DEBRIS = {"thumbs.db", "desktop.ini"}
_DEBRIS_FOLDERS = {"@eadir"}  # thumbnails of network storage
_LISTED_AT_MOST = 100


def list_images(
    folder: str | os.PathLike[str], recursive: bool = True, outside: Path | None = None
) -> list[Path]:
    """All images of a folder, for training and for denoising alike.

    Images are files whose names end as images' do, damaged ones too, and others whose first bytes are a
    image's. What else is there is passed over and counted in one line: notes, sidecars, raw files, folders
    named as images, and what `test.py` made. Hidden files, Thumbs.db and the like are no news.

    Parameters
    ----------
    folder : path
        Where to look.
    recursive : bool
        Whether to look into sub-folders.
    outside : Path, optional
        What lies in and below this folder is left out, too.

    Returns
    -------
    list of Path
        At least one, in an order that is the same on every machine.

    Raises
    ------
    DataError
        When there is no folder, or no image in it.
    """
    found, folders = _walk(folder, recursive)
    apart = None if outside is None else Path(os.path.abspath(outside))
    mine = [path for path in found if apart is None or apart not in Path(os.path.abspath(path)).parents]
    files = without_results(mine, Path(folder))
    images = [path for path in files if _is_image(path)]
    said = _passed_over(set(files) - set(images), len(folders), len(found) - len(files))
    if not images:
        raise DataError(f"{_none_in(folder)}{f'; passed over: {said}' if said else ''}")
    if said:
        LOG.info("%s: passed over: %s", folder, said)
    return images


def list_files(folder: str | os.PathLike[str], recursive: bool = True) -> list[Path]:
    """All files of a folder of images, whether they are images or not, and folders named as images.

    Whoever opens one of those says so; see `list_images`, which passes over them.
    """
    files, folders = _walk(folder, recursive)
    return _in_order([*files, *folders], Path(folder))


def _in_order(paths: list[Path], folder: Path) -> list[Path]:
    return sorted(paths, key=lambda path: path.relative_to(folder).as_posix())


def _walk(folder: str | os.PathLike[str], recursive: bool) -> tuple[list[Path], list[Path]]:
    """The files, and the folders that are named as if they were images."""
    folder = Path(folder)
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise DataError(f"{folder}: expected a folder of images, found {found}")
    files, named, seen = list[Path](), list[Path](), set[str]()
    for here, folders, names in os.walk(folder, onerror=_say_unreadable, followlinks=True):
        real = os.path.realpath(here)  # a link may lead back to a folder above it
        if not recursive or real in seen:
            folders.clear()
        if real not in seen:
            files += (Path(here, name) for name in names if not _is_debris(name))
        seen.add(real)
        named += (Path(here, name) for name in folders if _has_ending(name))
        folders[:] = sorted(
            name for name in folders
            if not (name.startswith(".") or _has_ending(name) or name.lower() in _DEBRIS_FOLDERS)
        )  # fmt: skip
    if not files and not named:
        raise DataError(_none_in(folder))
    return _in_order(files, folder), named


def _none_in(folder: str | os.PathLike[str]) -> str:
    return f"{folder}: no images in it (endings {', '.join(ENDINGS)})"


def _is_image(path: Path) -> bool:
    ending = path.suffix.lower()
    if ending in ENDINGS or ending in RAW_ENDINGS:
        return ending in ENDINGS
    if not path.is_file():  # a pipe would keep us waiting
        return False
    try:
        with open(path, "rb") as file:
            return file.read(8).startswith(MAGICS)
    except OSError:
        return False


def _passed_over(files: set[Path], folders: int, results: int) -> str:
    """What is no image, counted by its ending."""
    counts = Counter(path.suffix or "without an ending" for path in files)
    said = [f"{count} {ending}" for ending, count in sorted(counts.items())]
    if any(ending.lower() in RAW_ENDINGS for ending in counts):
        said.append("(develop raw files to 16-bit TIFF, without sharpening and noise reduction)")
    endings = {ending.lower() for ending in counts}
    said += [f"({kind.hint})" for kind in OPTIONAL if not kind.is_here and endings & {*kind.endings}]
    said += [f"{folders} folders named as images"] if folders else []
    said += [f"{results} results of test.py"] if results else []
    return ", ".join(said).replace(", (", " (")


def _say_unreadable(error: OSError) -> None:
    LOG.warning("%s: passed over, cannot be read: %s", error.filename, error.strerror)


def _has_ending(name: str) -> bool:
    return name.lower().endswith(ENDINGS) and not name.startswith(".")


def _is_debris(name: str) -> bool:
    return name.startswith(".") or name.lower() in _DEBRIS


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
