"""Find denoised images in a folder. Their places come from their names, never from the order of a listing."""

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.data_handlers.submission.layout import Layout
from src.util.errors import DataError
from src.util.images.folder import list_files, raise_together
from src.util.images.formats.known import ENDINGS
from src.util.images.io import read_image, to_uint8
from src.util.images.value_range import data_range_of
from src.util.logger import LOG, progress_bar

FLOAT_ENDING, IMAGE_ENDING = ".npy", ".png"
_RESULT = re.compile(r"(?P<stem>.+)_DN(_(\d+\.\d+|inf|nan))?(?P<ending>\.png|\.npy)", re.IGNORECASE)
_COMPANION = re.compile(r"panel\.png|.+_(NOISY|CLEAN)\.png", re.IGNORECASE)
# A network leaves [0, 1], a bad one by far; of an image of data range 255 most values are this far outside.
_OVERSTEP, _OVERSTEPPING = 1.0, 0.5


@dataclass(frozen=True)
class Result:
    """The denoised image of one block.

    Attributes
    ----------
    shape : tuple of int
        Shape of the benchmark's blocks.
    files : tuple of Path
        The file that is used, the unrounded float one if there is one; then its image, if there are both.
    """

    shape: tuple[int, int, int]
    files: tuple[Path, ...]

    @property
    def is_float(self) -> bool:
        """Whether a float file is used."""
        return self.files[0].suffix.lower() == FLOAT_ENDING

    def as_uint8(self) -> np.ndarray:
        """Read RGB of the benchmark's shape, 0 to 255; float results are rounded.

        Raises
        ------
        DataError
            If a file is damaged, has the wrong shape, type or data range, or the two files do not agree.
        """
        values = self._read()
        return values if values.dtype == np.uint8 else to_uint8(_unit(values).transpose(2, 0, 1))

    def as_float(self) -> np.ndarray:
        """Read RGB of the benchmark's shape as float32, clipped to [0, 1]; see `as_uint8`."""
        return _unit(self._read())

    def _read(self) -> np.ndarray:
        used, *others = (_read_values(file, self.shape) for file in self.files)
        for other in others:
            # Rounding changes values by half a grey level, and arithmetic by a little more.
            if np.abs(_unit(used) - _unit(other)).max() > 0.51 / data_range_of(other.dtype):
                raise DataError(
                    f"{self.files[0]}: differs from {self.files[1]}; one of them is stale: denoise again into"
                    " an empty folder"
                )
        return used


def _unit(values: np.ndarray) -> np.ndarray:
    return (values.astype(np.float32) / np.float32(data_range_of(values.dtype))).clip(0, 1)


def _read_values(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    values = read_image(path)
    if values.shape != shape:
        raise DataError(f"{path}: expected shape {shape} (H, W, RGB), got {values.shape}")
    if path.suffix.lower() != FLOAT_ENDING:
        return values
    if not np.issubdtype(values.dtype, np.floating):
        raise DataError(f"{path}: expected float32 of data range 1, got {values.dtype}")
    if not np.isfinite(values).all():
        count = np.count_nonzero(~np.isfinite(values))
        raise DataError(f"{path}: {count} of {values.size} values are NaN or infinite")
    if np.mean((values < -_OVERSTEP) | (values > 1 + _OVERSTEP)) > _OVERSTEPPING:
        low, high = values.min(), values.max()
        raise DataError(f"{path}: expected values of data range 1, got {low:g} to {high:g}")
    return values


def find_results(folder: Path, layout: Layout) -> list[Result]:
    """Return the result of every block.

    Parameters
    ----------
    folder : Path
        The output of `test.py`: `NNNN_DN.png`, `NNNN_DN_PP.PP.png`, `NNNN_DN.npy` with their names in
        `metrics.csv`, or `NAME_DN.png`.
    layout : Layout
        Of the benchmark.

    Returns
    -------
    list of Result
        In the order of the benchmark.

    Raises
    ------
    DataError
        If a block has no result or two of a kind, or a file belongs to no block; all are named.
    """
    files = list_files(folder, recursive=False)
    names = _names(folder / "metrics.csv")
    found: dict[tuple[int, str], Path] = {}
    problems = []
    for file in files:
        if file.suffix.lower() not in ENDINGS or _COMPANION.fullmatch(file.name):
            continue
        number, kind = _place(file, names, layout), file.suffix.lower()
        if number is None:
            problems.append(f"{file}: belongs to no block of the benchmark; move it elsewhere")
        elif (number, kind) in found:
            other = found[number, kind].name
            problems.append(f"{file}: {layout.label(number)} has {other} already; one of them is stale")
        else:
            found[number, kind] = file
    missing = set(range(len(layout))) - {number for number, _ in found}
    if missing:
        problems.append(f"{folder}: {len(missing)} of {len(layout)} missing: {layout.labels(missing)}")
    raise_together(problems)
    kinds = (FLOAT_ENDING, IMAGE_ENDING)
    results = [
        Result(layout.shape, tuple(found[number, kind] for kind in kinds if (number, kind) in found))
        for number in range(len(layout))
    ]
    _log_kinds(results)
    return results


def _place(file: Path, names: dict[str, str] | None, layout: Layout) -> int | None:
    """Return the number of a result's block; None if it belongs to none."""
    match = _RESULT.fullmatch(file.name)
    if match is None:
        return None
    name = match["stem"]
    if names is not None and re.fullmatch(r"\d{4,}", name):
        return layout.number(names[name]) if name in names else None
    return layout.number(name)


def _names(metrics: Path) -> dict[str, str] | None:
    """Return the image's name for each NNNN of a file name; None if there is no metrics.csv."""
    if not metrics.is_file():
        return None
    with open(metrics, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"picture", "name"} <= rows[0].keys():
        raise DataError(f"{metrics}: expected the columns picture and name, as test.py writes them")
    images = [row for row in rows if re.fullmatch(r"\d{4,}", row["picture"] or "")]
    counts = Counter(row["name"] for row in images)
    raise_together([f"{metrics}: {name} is listed {n} times" for name, n in counts.items() if n > 1])
    return {row["picture"]: row["name"] for row in images}


def _log_kinds(results: list[Result]) -> None:
    floats = sum(result.is_float for result in results)
    LOG.info("results: %d as float, %d as images", floats, len(results) - floats)
    if 0 < floats < len(results):
        LOG.warning("only some results are float; are files of an earlier test in the folder?")


def read_all(results: list[Result], read: Callable[[Result], np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the values of all results.

    Parameters
    ----------
    results : list of Result
        From `find_results`.
    read : callable
        `Result.as_uint8` or `Result.as_float`.

    Yields
    ------
    tuple of int and ndarray
        The block's number and values; nothing after the first result that cannot be used.

    Raises
    ------
    DataError
        At the end; names every result that cannot be used.
    """
    problems: list[str] = []
    with progress_bar(len(results), "block") as bar:
        for number, result in enumerate(results):
            try:
                block = read(result)
            except DataError as error:
                problems.append(str(error))
            else:
                if not problems:
                    yield number, block
            bar.update()
    raise_together(problems)
