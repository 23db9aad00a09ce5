"""Tell results of `test.py` from the images of a folder."""

from collections.abc import Sequence
from pathlib import Path

from src.util.images.formats.known import ENDINGS, stem_and_ending

PAGE = "report.html"
PANEL = "panel.png"
MARK = b'<meta name="generator" content="NL-N2V">'
"""Identifies a page written by this program; it is in `template.html`."""


def has_report(folder: Path) -> bool:
    """Return whether this program wrote the page in a folder, and so its contact sheet."""
    try:
        with open(folder / PAGE, "rb") as file:
            return MARK in file.read(1000)
    except OSError:
        return False


def without_results(files: Sequence[Path], folder: Path) -> list[Path]:
    """Return the files of a folder that are not results of `test.py`.

    Parameters
    ----------
    files : sequence of Path
        Files in and below `folder`.
    folder : Path
        The folder of the images.

    Returns
    -------
    list of Path
        Without this program's pages and contact sheets, and without each `NAME_DN.EXT` for which an image
        NAME exists, in the same folder or in the one that `--out` mirrors.
    """
    names = {path: path.relative_to(folder) for path in files}
    images = {*names.values(), *(name.with_suffix("") for name in names.values())}
    images |= {name.with_name(stem_and_ending(name.name)[0]) for name in names.values()}
    reported = {parent for parent in {path.parent for path in files} if has_report(parent)}

    def is_own(path: Path) -> bool:
        is_page = path.name in (PAGE, PANEL) and path.parent in reported
        return is_page or _is_result(names[path], images)

    return [path for path in files if not is_own(path)]


def _is_result(name: Path, images: set[Path]) -> bool:
    stem = stem_and_ending(name.name)[0]
    denoised = stem.removesuffix("_DN")
    if denoised == stem or name.suffix.lower() not in ENDINGS:
        return False
    folders = (name.parts[depth:-1] for depth in range(len(name.parts)))
    return any(Path(*folder, denoised) in images for folder in folders)
