"""Make and check DND's submission: a folder `bundled` of `0001.mat` to `0050.mat`, as DND's own kit makes it.

Each file holds `Idenoised`, a 1x20 cell of single (512, 512, 3), RGB in [0, 1], one for each official box;
`israw` = false; `eval_version` = '1.0'.
"""

from pathlib import Path

import numpy as np
from scipy import io

from src.data_handlers.datasets.dnd import PAGE, dnd_test
from src.data_handlers.submission.check import Check, noisy_signatures
from src.data_handlers.submission.layout import DndLayout, Layout
from src.data_handlers.submission.matlab import declared, load
from src.data_handlers.submission.resemblance import Signatures
from src.data_handlers.submission.results import Result, find_results, read_all
from src.data_handlers.submission.staging import expect_room, staged_folder
from src.util.errors import DataError
from src.util.file_manager import expect_free
from src.util.logger import LOG, progress_bar

BUNDLE, CELL, VERSION = "bundled", "Idenoised", "1.0"
LAYOUT = DndLayout()


def submit_dnd(denoised: Path, out: Path, noisy: Path | None = None, overwrite: bool = False) -> None:
    """Make a submission from denoised images, and check it.

    Parameters
    ----------
    denoised : Path
        The folder of the denoised images; see `find_results`.
    out : Path
        The folder to make `bundled` in.
    noisy : Path or None
        The folder of DND's boxes or original files; without it boxes are not compared, with a warning.
    overwrite : bool
        Whether to replace an earlier `bundled`.

    Raises
    ------
    DataError
        If anything is missing or wrong; nothing is written under this name then.
    ConfigError, StorageError
        If `bundled` exists or the disk has no room.
    """
    layout, bundle = LAYOUT, out / BUNDLE
    if not overwrite:
        expect_free(bundle)
    results = find_results(denoised, layout)
    if not all(result.is_float for result in results):
        LOG.warning("8-bit results: run test.py with test.save_float: true to keep the unrounded values")
    signatures = _noisy(noisy, layout)
    expect_room(out, int(4 * len(layout) * np.prod(layout.shape)) + 10_000 * layout.images)
    with staged_folder(bundle, overwrite, frozenset(_file_names(layout))) as folder:
        _write(folder, results, layout)
        _read(folder, check := Check(layout, signatures))
        check.conclude(str(bundle))
    LOG.info("upload the %d files in %s at %s", layout.images, bundle, PAGE)


def check_dnd(folder: Path, noisy: Path | None) -> None:
    """Check an existing submission.

    Parameters
    ----------
    folder : Path
        `bundled`, or its parent folder.
    noisy : Path or None
        As for `submit_dnd`.

    Raises
    ------
    DataError
        If anything is wrong; all problems are named.
    """
    bundle = folder / BUNDLE if (folder / BUNDLE).is_dir() else folder
    if not bundle.is_dir():
        raise DataError(f"{folder}: no such folder")
    check = Check(LAYOUT, _noisy(noisy, LAYOUT))
    _read(bundle, check)
    check.conclude(str(bundle))


def _noisy(folder: Path | None, layout: Layout) -> Signatures | None:
    return None if folder is None else noisy_signatures(dnd_test(str(folder)), layout)


def _file_names(layout: Layout) -> list[str]:
    return [f"{image + 1:04d}.mat" for image in range(layout.images)]


def _write(folder: Path, results: list[Result], layout: Layout) -> None:
    names = _file_names(layout)
    cells = np.empty(layout.blocks, object)  # SciPy writes it as a row
    for number, block in read_all(results, Result.as_float):
        image, box = divmod(number, layout.blocks)
        cells[box] = block
        if box == layout.blocks - 1:
            variables = {CELL: cells, "israw": False, "eval_version": VERSION}
            io.savemat(folder / names[image], variables, appendmat=False)


def _read(folder: Path, check: Check) -> None:
    names = _file_names(check.layout)
    for stray in sorted({file.name for file in folder.iterdir()} - set(names)):
        check.problem(f"{stray}: not part of a submission")
    with progress_bar(len(names), "file") as bar:
        for image, name in enumerate(names):
            try:
                _read_file(folder / name, image, check)
            except DataError as error:
                check.problem(str(error).removeprefix(f"{folder}/"))
            bar.update()


def _read_file(file: Path, image: int, check: Check) -> None:
    layout = check.layout
    wanted = {
        CELL: ((1, layout.blocks), "cell"),
        "israw": ((1, 1), "logical"),
        "eval_version": ((1,), "char"),
    }
    found = declared(file)
    if found != wanted:
        raise DataError(f"{file}: expected {wanted}, got {found}")
    variables = load(file)
    if variables["israw"].item() or variables["eval_version"].item() != VERSION:
        raise DataError(f"{file}: expected israw = false and eval_version = '{VERSION}'")
    for box, block in enumerate(variables[CELL][0]):
        number = image * layout.blocks + box
        problem = _problem(block, layout)
        if problem:
            check.reject(number, problem)
        else:
            check.take(number, block)


def _problem(block: np.ndarray, layout: Layout) -> str | None:
    if block.dtype != np.float32 or block.shape != layout.shape:
        return f"expected single {layout.shape}, got {block.dtype} {block.shape}"
    if not np.isfinite(block).all():
        return "NaN or infinite values"
    low, high = block.min(), block.max()
    if low < 0 or high > 1:
        return f"expected values in [0, 1], got {low:.3g} to {high:.3g}"
    return None
