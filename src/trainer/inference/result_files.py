"""Which files of a folder are denoised, and what their results are called."""

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from src.util.images.folder import list_images
from src.util.images.formats import jpeg
from src.util.images.formats.known import ENDINGS, JPEG_ENDINGS, WRITTEN, stem_and_ending

_SHOWN = 5  # names in a line that sums up

Format = Literal["auto", "same", "png"]
"""`auto`: as the image, but PNG for JPEG, which would lose twice; `same`: JPEG, too; `png`: always."""


def result_names(images: Sequence[Path], kind: Format = "auto") -> dict[Path, str]:
    """`NAME_DN.EXT` for each image of a folder; where two would share it, `NAME.jpg_DN.EXT`.

    Parameters
    ----------
    images : sequence of Path
        Of one folder.
    kind : {"auto", "same", "png"}
        See `Format`.

    Returns
    -------
    dict
        Names that differ even where `A` and `a` are one name, as on some file systems.
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
    """The format of an image, in words, where no result can be of it; else nothing."""
    ending = path.suffix.lower()
    if ending in ENDINGS and ending not in WRITTEN:
        return ending
    if ending not in JPEG_ENDINGS or not path.is_file():  # a pipe would keep us waiting
        return ""
    try:
        with open(path, "rb") as file:
            bits = jpeg.bits(file)
    except OSError:  # whoever reads it says so
        return ""
    return f"{ending} of {bits} bits" if bits > 8 else ""


def find_results(folder: Path, out: Path, kind: Format) -> dict[Path, Path]:
    """What is to be denoised, and where to.

    Parameters
    ----------
    folder : Path
        Looked through at any depth, but for `out`; see `list_images`.
    out : Path
        Gets the same sub-folders; may be `folder`.
    kind : {"auto", "same", "png"}
        See `Format`.

    Returns
    -------
    dict
        Image to result, in order.

    Raises
    ------
    DataError
        When there is no image.
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
    """The first few, and how many more there are."""
    shown = [str(path) for path in paths[:_SHOWN]]
    return ", ".join(shown) + (f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else "")
