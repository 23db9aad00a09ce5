"""SIDD's frames: which files of the download they are, and what their pieces are called."""

import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from src.data_handlers.datasets.base import Box
from src.data_handlers.datasets.mat_blocks import PAGE
from src.data_handlers.datasets.sidd_frames import FRAME, find_frames
from src.data_handlers.preparation.execute import prepare
from src.data_handlers.preparation.plan import Frame, Plan, frame_of, grid_pieces
from src.util.errors import DataError
from src.util.images.folder import list_files, raise_together
from src.util.images.io import ImageWarning, inspect_image, read_image
from src.util.logger import LOG

_EXAMPLES = "0001_NOISY_SRGB_010.PNG or NOISY_SRGB_010.PNG"


def prepare_sidd(
    data_folder: Path,
    new_folder: Path,
    crop_size: int = 512,
    step: int = 256,
    *,
    ground_truth: bool = False,
    jobs: int | None = None,
) -> list[str]:
    """Cut SIDD-Medium's or SIDD-Small's noisy sRGB frames into pieces, `STEM_sNNN.png`.

    Parameters
    ----------
    data_folder : Path
        The download, or any folder of it.
    new_folder : Path
        Folder for the pieces.
    crop_size, step : int
        Edge of a piece, and from one to the next, px, both at least 1.
    ground_truth : bool
        Whether to cut the clean frames alike, into the folder `new_folder` + `_GT` beside it, under the same
        names. A frame without a sound clean one is left out then.
    jobs : int, optional
        Worker processes; without it one for each core.

    Returns
    -------
    list of str
        A line for each frame that could not be cut; the pieces of all others are there.

    Raises
    ------
    DataError
        When there is not one usable frame.
    UserError
        See `src.data_handlers.preparation.execute.prepare`.
    """
    return prepare(plan_sidd(data_folder, new_folder, crop_size, step, ground_truth), jobs)


def plan_sidd(data_folder: Path, new_folder: Path, crop_size: int, step: int, ground_truth: bool) -> Plan:
    """What `prepare_sidd` is going to do."""
    problems: list[str] = []
    recipe = {"crop_size": crop_size, "step": step}
    recipes = {new_folder: {"pieces": "SIDD noisy", **recipe}}
    if ground_truth:
        clean_folder = _beside(new_folder)
        recipes[clean_folder] = {"pieces": "SIDD ground truth", **recipe}
    tasks: list[tuple[Frame, ...]] = []
    for stem, noisy, clean in _frames(data_folder, problems):
        try:
            height, width = _checked_size(noisy, clean if ground_truth else None, crop_size)
        except DataError as error:
            problems.append(str(error))
            continue
        pieces = grid_pieces(stem, height, width, crop_size, step)
        frame = frame_of(noisy, data_folder, new_folder, stem, pieces)
        # The clean one first: where it fails, no noisy piece is left without a partner.
        both = (frame_of(clean, data_folder, clean_folder, stem, pieces), frame) if ground_truth else (frame,)
        tasks.append(both)
    if not tasks:
        raise_together(problems)
    return Plan(data_folder, recipes, tasks, cut_image, problems)


def _beside(folder: Path) -> Path:
    """Never inside: a folder is searched with all that is below it when images to train on are listed."""
    whole = Path(os.path.abspath(folder))
    return folder.parent / f"{folder.name}_GT" if folder.name else whole.with_name(f"{whole.name}_GT")


def _frames(folder: Path, problems: list[str]) -> Iterator[tuple[str, Path, Path]]:
    """Stem of the pieces, noisy and clean file of each frame; `problems` gets those that are incomplete."""
    if not folder.is_dir():
        raise DataError(f"-df: {folder}: no such folder; it holds SIDD-Medium or SIDD-Small, sRGB ({PAGE})")
    noisy = find_frames(folder)
    others = set(list_files(folder)) - set(noisy)
    clean = {(path.parent, path.name.upper()): path for path in sorted(others) if FRAME.fullmatch(path.name)}
    if not noisy:
        raise DataError(f"-df: {folder}: no file such as {_EXAMPLES} in it or below; get it from {PAGE}")
    partners = {path: _clean_name(path) for path in noisy}
    needed = {(path.parent, name.upper()) for path, name in partners.items()}
    problems += [
        f"{path}: the noisy image that belongs to it is missing; download the scene again ({PAGE})"
        for key, path in clean.items() if key not in needed
    ]  # fmt: skip
    for path, stem in _stems(noisy, problems).items():
        name = partners[path]
        yield stem, path, clean.get((path.parent, name.upper()), path.with_name(name))


def _clean_name(noisy: Path) -> str:
    return re.sub("NOISY", "GT", noisy.name, count=1, flags=re.IGNORECASE)


def _stems(noisy: list[Path], problems: list[str]) -> dict[Path, str]:
    """What the pieces of each frame are called: with the scene, where the file's name alone is not unique."""
    count = Counter(path.stem.upper() for path in noisy)
    stems: dict[Path, str] = {}
    taken: dict[str, Path] = {}
    for path in noisy:
        stem = path.stem
        if not stem[0].isdigit() or count[stem.upper()] > 1:
            stem = f"{Path(os.path.abspath(path)).parent.name}_{stem}"
        first = taken.setdefault(stem.upper(), path)
        if first == path:
            stems[path] = stem
        else:
            problems.append(f"{path}: its pieces would be called like those of {first}; keep one of the two")
    return stems


def _checked_size(noisy: Path, clean: Path | None, crop_size: int) -> tuple[int, int]:
    infos = {path: inspect_image(path) for path in (noisy, clean) if path is not None}
    height, width = infos[noisy].height, infos[noisy].width
    for path, info in infos.items():
        if (info.dtype, info.channels) != ("uint8", 3):
            found = f"{info.dtype} of {info.channels} channel(s)"
            raise DataError(f"{path}: expected 8-bit RGB as SIDD's sRGB frames are, found {found}")
        if (info.height, info.width) != (height, width):
            raise DataError(f"{path}: {info.size} px, but {noisy} has {infos[noisy].size}")
        if info.change:
            LOG.warning("%s: %s", path, info.change)
    if min(height, width) < crop_size:
        raise DataError(f"{noisy}: {height}x{width} px are less than the crop of {crop_size}")
    return height, width


def cut_image(source: Path, boxes: list[Box]) -> Iterator[np.ndarray]:
    """Pieces of an image file; it is decoded once.

    Parameters
    ----------
    source : Path
        An image.
    boxes : list of Box
        Inside it.

    Yields
    ------
    ndarray of uint8, shape (H, W, C)
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageWarning)  # the plan has said it, with the frame's name
        image = read_image(source)
    for top, left, height, width in boxes:
        yield image[top : top + height, left : left + width]
