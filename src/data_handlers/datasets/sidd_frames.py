"""Which files of the downloaded SIDD-Medium or SIDD-Small are its sRGB frames."""

import re
from collections.abc import Iterable
from pathlib import Path

from src.util.images.folder import list_files, raise_together

# SIDD-Medium numbers its scenes in the file's name, SIDD-Small does not.
FRAME = re.compile(r"(\d+_)?(?P<kind>NOISY|GT)_SRGB_\d+\.PNG", re.IGNORECASE)
"""The name of a frame's file; `kind` says which of the pair it is."""


def find_frames(root: Path) -> list[Path]:
    """The noisy frames in a folder and below it; none where all are pieces of frames, or other images."""
    matches = ((path, FRAME.fullmatch(path.name)) for path in list_files(root))
    return [path for path, match in matches if match and match["kind"].upper() == "NOISY"]


def clean_frames(frames: Iterable[Path], root: Path, clean_root: Path) -> list[Path]:
    """The ground truth of each noisy frame: the file of its name with GT instead of NOISY, in any case.

    Parameters
    ----------
    frames : iterable of Path
        Of `find_frames`.
    root, clean_root : Path
        The folders of noisy and of clean frames, laid out alike; in the download they are one.

    Returns
    -------
    list of Path

    Raises
    ------
    DataError
        Naming each frame without ground truth.
    """
    there = {_key(path, clean_root): path for path in list_files(clean_root)}
    partners, problems = [], []
    for frame in frames:
        folder, name = _key(frame, root)
        name = name.replace("NOISY", "GT", 1)
        if (folder, name) in there:
            partners.append(there[folder, name])
        else:
            problems.append(f"{frame}: its ground truth {clean_root / folder / name} is missing")
    raise_together(problems)
    return partners


def _key(path: Path, root: Path) -> tuple[Path, str]:
    return path.relative_to(root).parent, path.name.upper()
