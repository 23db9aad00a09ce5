"""List the images of a folder."""

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
    """List all images of a folder, for training and for denoising alike.

    A file is an image if its name has an image's ending, or if its first bytes are those of an image. Other
    files (notes, sidecars, raw files), folders with an image's ending and results of `test.py` are skipped
    and counted in one log line. Hidden files, Thumbs.db and the like are skipped silently.

    Parameters
    ----------
    folder : path
        The folder.
    recursive : bool
        Whether to look into sub-folders.
    outside : Path, optional
        A folder to leave out, with all below it.

    Returns
    -------
    list of Path
        At least one, in the same order on every machine.

    Raises
    ------
    DataError
        When the folder does not exist or has no image.
    """
    found, folders = _walk(folder, recursive)
    skipped = None if outside is None else Path(os.path.abspath(outside))
    inside = [p for p in found if skipped is None or skipped not in Path(os.path.abspath(p)).parents]
    files = without_results(inside, Path(folder))
    images = [path for path in files if _is_image(path)]
    others = _counted(set(files) - set(images), len(folders), len(found) - len(files))
    if not images:
        raise DataError(f"{_no_images(folder)}{f'; passed over: {others}' if others else ''}")
    if others:
        LOG.info("%s: passed over: %s", folder, others)
    return images


def list_files(folder: str | os.PathLike[str], recursive: bool = True) -> list[Path]:
    """List all files of a folder, also those that are not images, and folders with an image's ending."""
    files, folders = _walk(folder, recursive)
    return _in_order([*files, *folders], Path(folder))


def _in_order(paths: list[Path], folder: Path) -> list[Path]:
    return sorted(paths, key=lambda path: path.relative_to(folder).as_posix())


def _walk(folder: str | os.PathLike[str], recursive: bool) -> tuple[list[Path], list[Path]]:
    """Return the files, and the folders with an image's ending."""
    folder = Path(folder)
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise DataError(f"{folder}: expected a folder of images, found {found}")
    files, named, seen = list[Path](), list[Path](), set[str]()
    for here, folders, names in os.walk(folder, onerror=_warn_unreadable, followlinks=True):
        real = os.path.realpath(here)  # a link may lead to a parent folder
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
        raise DataError(_no_images(folder))
    return _in_order(files, folder), named


def _no_images(folder: str | os.PathLike[str]) -> str:
    return f"{folder}: no images in it (endings {', '.join(ENDINGS)})"


def _is_image(path: Path) -> bool:
    ending = path.suffix.lower()
    if ending in ENDINGS or ending in RAW_ENDINGS:
        return ending in ENDINGS
    if not path.is_file():  # reading a pipe would block
        return False
    try:
        with open(path, "rb") as file:
            return file.read(8).startswith(MAGICS)
    except OSError:
        return False


def _counted(files: set[Path], folders: int, results: int) -> str:
    """Count what is not an image, files by their ending, and add hints on how to read them."""
    counts = Counter(path.suffix or "without an ending" for path in files)
    endings = {ending.lower() for ending in counts}
    parts = [f"{count} {ending}" for ending, count in sorted(counts.items())]
    if endings & {*RAW_ENDINGS}:
        parts.append("(develop raw files to 16-bit TIFF, without sharpening and noise reduction)")
    parts += [f"({kind.hint})" for kind in OPTIONAL if not kind.is_here and endings & {*kind.endings}]
    parts += [f"{folders} folders named as images"] if folders else []
    parts += [f"{results} results of test.py"] if results else []
    return ", ".join(parts).replace(", (", " (")


def _warn_unreadable(error: OSError) -> None:
    LOG.warning("%s: passed over, cannot be read: %s", error.filename, error.strerror)


def _has_ending(name: str) -> bool:
    return name.lower().endswith(ENDINGS) and not name.startswith(".")


def _is_debris(name: str) -> bool:
    return name.startswith(".") or name.lower() in _DEBRIS


def raise_together(problems: Sequence[str]) -> None:
    """Raise one DataError that lists up to 100 problems and counts the others; return if there are none."""
    if not problems:
        return
    shown = list(problems[:_LISTED_AT_MOST])
    if len(problems) > len(shown):
        shown.append(f"... and {len(problems) - len(shown)} more")
    raise DataError("\n".join(shown))
