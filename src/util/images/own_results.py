"""What `test.py` made of a folder's images, told from the images."""

from collections.abc import Sequence
from pathlib import Path

from src.util.images.formats.known import ENDINGS, stem_and_ending

PAGE = "report.html"
PANEL = "panel.png"
MARK = b'<meta name="generator" content="NL-N2V">'
"""By which a page of ours is known from a foreign one of the same name; `template.html` has it."""


def has_report(folder: Path) -> bool:
    """Whether the page in a folder is of our making, and so the contact sheet beside it."""
    try:
        with open(folder / PAGE, "rb") as file:
            return MARK in file.read(1000)
    except OSError:
        return False


def without_results(files: Sequence[Path], folder: Path) -> list[Path]:
    """The files of a folder that are no results: noise that was removed cannot be learned, nor removed again.

    Parameters
    ----------
    files : sequence of Path
        In and below `folder`.
    folder : Path
        The images'.

    Returns
    -------
    list of Path
        Without each `NAME_DN.EXT` whose image NAME is there, beside it or where `--out` mirrors it from;
        and without pages of ours.
    """
    names = {path: path.relative_to(folder) for path in files}
    images = {*names.values(), *(name.with_suffix("") for name in names.values())}
    images |= {name.with_name(stem_and_ending(name.name)[0]) for name in names.values()}
    reported = {place for place in {path.parent for path in files} if has_report(place)}

    def is_ours(path: Path) -> bool:
        page = path.name in (PAGE, PANEL) and path.parent in reported
        return page or _is_result(names[path], images)

    return [path for path in files if not is_ours(path)]


def _is_result(name: Path, images: set[Path]) -> bool:
    stem = stem_and_ending(name.name)[0]
    denoised = stem.removesuffix("_DN")
    if denoised == stem or name.suffix.lower() not in ENDINGS:
        return False
    places = (name.parts[depth:-1] for depth in range(len(name.parts)))
    return any(Path(*place, denoised) in images for place in places)
