"""Plan and cut SIDD: find its frames in the download and name their pieces."""

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
from src.data_handlers.preparation.plan import Frame, Plan, grid_pieces
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
        The download, or a folder in it.
    new_folder : Path
        Folder for the pieces.
    crop_size, step : int
        Edge of a piece, and distance from one to the next, px, both at least 1.
    ground_truth : bool
        Whether to also cut the clean frames, into `new_folder` + `_GT` under the same names. Frames without
        a usable clean frame are then left out.
    jobs : int, optional
        Worker processes; one for each core by default.

    Returns
    -------
    list of str
        A line for each frame that could not be cut; the pieces of all others are complete.

    Raises
    ------
    DataError
        If there is no usable frame.
    UserError
        See `src.data_handlers.preparation.execute.prepare`.
    """
    return prepare(_plan(data_folder, new_folder, crop_size, step, ground_truth), jobs)


def _plan(data_folder: Path, new_folder: Path, crop_size: int, step: int, ground_truth: bool) -> Plan:
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
        frame = Frame(noisy, stem, new_folder, pieces)
        # Clean first: if it fails, no noisy piece is left without a partner.
        tasks.append((Frame(clean, stem, clean_folder, pieces), frame) if ground_truth else (frame,))
    if not tasks:
        raise_together(problems)
    return Plan(data_folder, recipes, tasks, cut_image, problems)


def _beside(folder: Path) -> Path:
    """Return the folder of the clean pieces; not inside, where training would find them."""
    whole = Path(os.path.abspath(folder))
    return folder.parent / f"{folder.name}_GT" if folder.name else whole.with_name(f"{whole.name}_GT")


def _frames(folder: Path, problems: list[str]) -> Iterator[tuple[str, Path, Path]]:
    """Yield the pieces' stem, noisy file and clean file of each frame; add lone files to `problems`."""
    if not folder.is_dir():
        raise DataError(f"-df: {folder}: no such folder; expected SIDD-Medium or SIDD-Small, sRGB ({PAGE})")
    noisy = find_frames(folder)
    others = set(list_files(folder)) - set(noisy)
    clean = {(path.parent, path.name.upper()): path for path in sorted(others) if FRAME.fullmatch(path.name)}
    if not noisy:
        raise DataError(f"-df: {folder}: no file such as {_EXAMPLES} in it or below; download it from {PAGE}")
    partners = {path: _clean_name(path) for path in noisy}
    needed = {(path.parent, name.upper()) for path, name in partners.items()}
    problems += [
        f"{path}: its noisy image is missing; download the scene again ({PAGE})"
        for key, path in clean.items() if key not in needed
    ]  # fmt: skip
    for path, stem in _stems(noisy, problems).items():
        name = partners[path]
        yield stem, path, clean.get((path.parent, name.upper()), path.with_name(name))


def _clean_name(noisy: Path) -> str:
    return re.sub("NOISY", "GT", noisy.name, count=1, flags=re.IGNORECASE)


def _stems(noisy: list[Path], problems: list[str]) -> dict[Path, str]:
    """Return the stem of each frame's pieces, with the scene's name if the file's alone is not unique."""
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
            problems.append(f"{path}: its pieces would be named like those of {first}; keep one of the two")
    return stems


def _checked_size(noisy: Path, clean: Path | None, crop_size: int) -> tuple[int, int]:
    infos = {path: inspect_image(path) for path in (noisy, clean) if path is not None}
    height, width = infos[noisy].height, infos[noisy].width
    for path, info in infos.items():
        if (info.dtype, info.channels) != ("uint8", 3):
            found = f"{info.dtype} with {info.channels} channel(s)"
            raise DataError(f"{path}: expected 8-bit RGB, found {found}")
        if (info.height, info.width) != (height, width):
            raise DataError(f"{path}: {info.size} px, but {noisy} has {infos[noisy].size}")
        if info.change:
            LOG.warning("%s: %s", path, info.change)
    if min(height, width) < crop_size:
        raise DataError(f"{noisy}: {height}x{width} px are less than the crop of {crop_size}")
    return height, width


def cut_image(source: Path, boxes: list[Box]) -> Iterator[np.ndarray]:
    """Cut an image file, which is decoded once.

    Parameters
    ----------
    source : Path
        An image.
    boxes : list of Box
        Inside the image.

    Yields
    ------
    ndarray of uint8, shape (H, W, C)
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageWarning)  # logged with the frame's name in the plan
        image = read_image(source)
    for top, left, height, width in boxes:
        yield image[top : top + height, left : left + width]
