"""Find the images of a folder and name their results."""

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from src.util.images.folder import list_images
from src.util.images.formats import jpeg
from src.util.images.formats.known import ENDINGS, JPEG_ENDINGS, WRITTEN, stem_and_ending

_LISTED = 5  # paths that a summary lists

Format = Literal["auto", "same", "png"]
"""`auto`: the image's format, but PNG for JPEG, which would lose quality again; `same`: also JPEG; `png`."""


def result_names(images: Sequence[Path], kind: Format = "auto") -> dict[Path, str]:
    """Name the result of each image `NAME_DN.EXT`, or `NAME.jpg_DN.EXT` where two would share a name.

    Parameters
    ----------
    images : sequence of Path
        Images of one folder.
    kind : {"auto", "same", "png"}
        See `Format`.

    Returns
    -------
    dict
        Image to name. No two names are equal, not even on file systems that ignore case.
    """
    endings = {path: _ending(path, kind) for path in images}
    names = {path: f"{stem_and_ending(path.name)[0]}_DN{ending}" for path, ending in endings.items()}
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
    if kind == "png" or ending not in WRITTEN or (kind == "auto" and ending in JPEG_ENDINGS):
        return ".png"
    return ".png" if read_alone(path) else stem_and_ending(path.name)[1]


def read_alone(path: Path) -> str:
    """Return the format of an image that can be read but not written; otherwise an empty string."""
    ending = path.suffix.lower()
    if ending in ENDINGS and ending not in WRITTEN:
        return ending
    if ending not in JPEG_ENDINGS or not path.is_file():  # reading a pipe would block
        return ""
    try:
        with open(path, "rb") as file:
            bits = jpeg.bits(file)
    except OSError:  # reported when the image is read
        return ""
    return f"{ending} of {bits} bits" if bits > 8 else ""


def find_results(folder: Path, out: Path, kind: Format) -> dict[Path, Path]:
    """Find the images of a folder and the paths of their results.

    Parameters
    ----------
    folder : Path
        Searched at any depth, except `out`; see `list_images`.
    out : Path
        Receives the same sub-folders. May be `folder`.
    kind : {"auto", "same", "png"}
        See `Format`.

    Returns
    -------
    dict
        Image to result, in the folder's order.

    Raises
    ------
    DataError
        If there is no image.
    """
    beside = os.path.abspath(out) == os.path.abspath(folder)
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    for path in list_images(folder, outside=None if beside else out):
        by_folder[path.parent].append(path)
    results: dict[Path, Path] = {}
    for parent, images in by_folder.items():
        place = out / parent.relative_to(folder)
        results |= {path: place / name for path, name in result_names(images, kind).items()}
    return results


def named(paths: Sequence[Path]) -> str:
    """List the first few paths, and how many more there are."""
    shown = [str(path) for path in paths[:_LISTED]]
    return ", ".join(shown) + (f" and {len(paths) - _LISTED} more" if len(paths) > _LISTED else "")
