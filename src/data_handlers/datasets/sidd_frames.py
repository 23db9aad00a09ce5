"""Find the sRGB frames in the downloaded SIDD-Medium or SIDD-Small."""

import re
from collections.abc import Iterable
from pathlib import Path

from src.util.images.folder import list_files, raise_together

# File names of SIDD-Medium start with the number of the scene, those of SIDD-Small do not.
FRAME = re.compile(r"(\d+_)?(?P<kind>NOISY|GT)_SRGB_\d+\.PNG", re.IGNORECASE)
"""File name of a frame; `kind` is NOISY or GT."""


def find_frames(root: Path) -> list[Path]:
    """Return the noisy frames in a folder and its subfolders; empty if there are only other images."""
    matches = ((path, FRAME.fullmatch(path.name)) for path in list_files(root))
    return [path for path, match in matches if match and match["kind"].upper() == "NOISY"]


def clean_frames(frames: Iterable[Path], root: Path, clean_root: Path) -> list[Path]:
    """Return the ground truth of each noisy frame: the same file name with GT instead of NOISY, in any case.

    Parameters
    ----------
    frames : iterable of Path
        Noisy frames from `find_frames`.
    root, clean_root : Path
        Folders of the noisy and of the clean frames, with the same layout. The download has one for both.

    Raises
    ------
    DataError
        When a frame has no ground truth, one line for each.
    """
    existing = {_key(path, clean_root): path for path in list_files(clean_root)}
    partners, problems = [], []
    for frame in frames:
        folder, name = _key(frame, root)
        name = name.replace("NOISY", "GT", 1)
        if (folder, name) in existing:
            partners.append(existing[folder, name])
        else:
            problems.append(f"{frame}: its ground truth {clean_root / folder / name} is missing")
    raise_together(problems)
    return partners


def _key(path: Path, root: Path) -> tuple[Path, str]:
    return path.relative_to(root).parent, path.name.upper()
