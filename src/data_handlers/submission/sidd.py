"""Make and check SIDD's submissions: the CSV for Kaggle, and `SubmitSrgb.mat` for the older server.

The CSV has the header `ID,BLOCK` and a row for each of the 1,280 blocks: ID is image * 32 + block, BLOCK the
base64 of the uint8 values (256, 256, 3), RGB, in C order. `SubmitSrgb.mat` holds them in a 40x32 cell,
`DenoisedBlocksSrgb`.
"""

import base64
import binascii
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from scipy import io

from src.data_handlers.datasets.sidd import PAGE, sidd_test
from src.data_handlers.submission.check import Check, noisy_signatures
from src.data_handlers.submission.layout import Layout, SiddLayout
from src.data_handlers.submission.matlab import declared, load
from src.data_handlers.submission.resemblance import Signatures
from src.data_handlers.submission.results import Result, find_results, read_all
from src.data_handlers.submission.staging import expect_room, staged_file
from src.util.errors import ConfigError, DataError
from src.util.file_manager import expect_free
from src.util.logger import LOG

HEADER = b"ID,BLOCK"
MAT_NAME, CELL = "SubmitSrgb.mat", "DenoisedBlocksSrgb"
LAYOUT = SiddLayout()


def submit_sidd(test: Path, denoised: Path, out: Path, mat: bool = False, overwrite: bool = False) -> None:
    """Make a submission from denoised images, and check it.

    Parameters
    ----------
    test : Path
        The folder of `BenchmarkNoisyBlocksSrgb.mat`.
    denoised : Path
        The folder of the denoised images; see `find_results`.
    out : Path
        The CSV file.
    mat : bool
        Whether to also write `SubmitSrgb.mat` beside it.
    overwrite : bool
        Whether to replace files of these names.

    Raises
    ------
    DataError
        If anything is missing or wrong; nothing is written under these names then.
    ConfigError, StorageError
        If a file exists or the disk has no room.
    """
    layout = LAYOUT
    files = [out, out.with_name(MAT_NAME)] if mat else [out]
    if out.suffix.lower() != ".csv":
        raise ConfigError(f"--out: expected a file name that ends with .csv, got {out}")
    for file in files if not overwrite else ():
        expect_free(file)
    results = find_results(denoised, layout)
    noisy = _noisy(test, layout)
    pixels = len(layout) * np.prod(layout.shape)
    expect_room(out.parent, int(pixels * (4 / 3 + mat)) + 100 * len(layout))
    with ExitStack() as stack:
        csv_file, *mat_file = [stack.enter_context(staged_file(file, overwrite)) for file in files]
        _write_csv(csv_file, results)
        _read_csv(csv_file, check := Check(layout, noisy))
        check.conclude(str(out))
        for file in mat_file:
            _write_mat(file, results, layout)
            _read_mat(file, check := Check(layout, noisy))
            check.conclude(str(files[1]))
    LOG.info("upload %s to the Kaggle competition linked on %s", out, PAGE)


def check_sidd(file: Path, test: Path | None) -> None:
    """Check an existing submission: a CSV, or a `.mat` for the older server.

    Parameters
    ----------
    file : Path
        The submission.
    test : Path or None
        The folder of `BenchmarkNoisyBlocksSrgb.mat`; without it blocks are not compared, with a warning.

    Raises
    ------
    DataError
        If anything is wrong; all problems are named.
    """
    layout = LAYOUT
    if not file.is_file():
        raise DataError(f"{file}: no such file")
    check = Check(layout, None if test is None else _noisy(test, layout))
    read: Callable[[Path, Check], None] = _read_mat if file.suffix.lower() == ".mat" else _read_csv
    read(file, check)
    check.conclude(str(file))


def _noisy(test: Path, layout: Layout) -> Signatures:
    return noisy_signatures(sidd_test(str(test)), layout)


def _write_csv(file: Path, results: list[Result]) -> None:
    with open(file, "wb") as stream:
        stream.write(HEADER + b"\n")
        for number, block in read_all(results, Result.as_uint8):
            stream.write(b"%d,%b\n" % (number, base64.b64encode(block.tobytes())))


def _read_csv(file: Path, check: Check) -> None:
    with open(file, "rb") as lines:
        first = lines.readline(1000).rstrip(b"\r\n")
        if first != HEADER:
            check.problem(f"first line: expected {HEADER.decode()}, got {first[:40]!r}")
            return
        for row, line in enumerate(lines, start=2):
            identity, _, text = line.rstrip(b"\r\n").partition(b",")
            if not identity.isdigit() or int(identity) >= len(check.layout):
                last = len(check.layout) - 1
                check.problem(f"line {row}: expected an ID of 0 to {last}, got {identity[:40]!r}")
            else:
                _take_text(int(identity), text, check)


def _take_text(number: int, text: bytes, check: Check) -> None:
    shape = check.layout.shape
    try:
        values = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
    except binascii.Error:
        check.reject(number, "not base64")
        return
    if values.size != np.prod(shape):
        check.reject(number, f"expected {np.prod(shape)} bytes, uint8 of shape {shape}, got {values.size}")
    else:
        check.take(number, values.reshape(shape))


def _write_mat(file: Path, results: list[Result], layout: Layout) -> None:
    cells = np.empty((layout.images, layout.blocks), object)
    for number, block in read_all(results, Result.as_uint8):
        cells[divmod(number, layout.blocks)] = block
    io.savemat(file, {CELL: cells}, appendmat=False)


def _read_mat(file: Path, check: Check) -> None:
    layout = check.layout
    found, wanted = declared(file), {CELL: ((layout.images, layout.blocks), "cell")}
    if found != wanted:
        check.problem(f"expected {wanted}, got {found}")
        return
    cells = load(file)[CELL]
    for number in range(len(layout)):
        block = cells[divmod(number, layout.blocks)]
        if block.dtype != np.uint8 or block.shape != layout.shape:
            check.reject(number, f"expected uint8 {layout.shape}, got {block.dtype} {block.shape}")
        else:
            check.take(number, block)
