"""Which files of a folder are denoised, and what their results are called."""

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from src.util.errors import DataError
from src.util.logger import LOG
from src.util.pictures.folder import list_files
from src.util.pictures.formats.known import ENDINGS, JPEG_ENDINGS
from src.util.pictures.own_results import without_results

_SHOWN = 5  # names in a line that sums up

Format = Literal["auto", "same", "png"]
"""`auto`: as the picture, but PNG for JPEG, which would lose twice; `same`: JPEG, too; `png`: always."""


def result_names(pictures: Sequence[Path], kind: Format = "auto") -> dict[Path, str]:
    """`NAME_DN.EXT` for each picture of a folder; where two would share it, `NAME.jpg_DN.EXT`.

    Parameters
    ----------
    pictures : sequence of Path
        Of one folder.
    kind : {"auto", "same", "png"}
        See `Format`.

    Returns
    -------
    dict
        Names that differ even where `A` and `a` are one name, as on some file systems.
    """
    endings = {path: _ending(path, kind) for path in pictures}
    names = {path: f"{path.stem}_DN{ending}" for path, ending in endings.items()}
    long = {path: f"{path.name}_DN{ending}" for path, ending in endings.items()}
    while True:
        counts = Counter(name.casefold() for name in names.values())
        shared = [path for path, name in names.items() if counts[name.casefold()] > 1]
        clashing = [path for path in shared if names[path] != long[path]]
        if not clashing:
            return names
        names |= {path: long[path] for path in clashing}


def _ending(path: Path, kind: Format) -> str:
    ending = path.suffix.lower()
    if kind == "png" or ending not in ENDINGS or (kind == "auto" and ending in JPEG_ENDINGS):
        return ".png"
    return path.suffix


def find_results(folder: Path, out: Path, kind: Format) -> dict[Path, Path]:
    """What is to be denoised, and where to.

    Parameters
    ----------
    folder : Path
        Looked through at any depth, but for `out`. Files that are no pictures by their names are passed over,
        as is what an earlier call made.
    out : Path
        Gets the same sub-folders; may be `folder`.
    kind : {"auto", "same", "png"}
        See `Format`.

    Returns
    -------
    dict
        Picture to result, in order.

    Raises
    ------
    DataError
        When there is no picture.
    """
    found, beside = list_files(folder), _absolute(out) == _absolute(folder)
    if not beside:
        found = [path for path in found if _absolute(out) not in _absolute(path).parents]
    files = without_results(found, folder)
    if len(files) < len(found) and not beside:
        LOG.info("passed over, of an earlier call: %s", named(sorted(set(found) - set(files))))
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    for path in files:
        if path.suffix.lower() in ENDINGS:
            by_folder[path.parent].append(path)
    others = [path for path in files if path.suffix.lower() not in ENDINGS]
    if others:
        LOG.info("passed over, no picture by its name: %s", named(others))
    if not by_folder:
        raise DataError(f"{folder}: no pictures in it (endings {', '.join(ENDINGS)})")
    results: dict[Path, Path] = {}
    for parent, pictures in by_folder.items():
        place = out / parent.relative_to(folder)
        results |= {path: place / name for path, name in result_names(pictures, kind).items()}
    return results


def named(paths: Sequence[Path]) -> str:
    """The first few, and how many more there are."""
    shown = [str(path) for path in paths[:_SHOWN]]
    return ", ".join(shown) + (f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else "")


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))
