"""Read SIDD's block files: MAT files of version 5 that hold one large uint8 array.

MATLAB stores the first index fastest, so the bytes of one block are scattered over the whole file. The array
is rewritten block by block to an unnamed temporary file, which is memory-mapped: the blocks occupy the disk
cache instead of process memory, and forked workers share them.
"""

import math
import tempfile
from pathlib import Path

import cv2
import numpy as np

from src.util.errors import DataError, StorageError

PAGE = "https://abdokamel.github.io/sidd/"
"""Where the files come from."""

Shape = tuple[int, int, int, int, int]

_BLOCKS_AT_ONCE = 64  # a cache line of the stored array
_MAX_DEFLATE_RATIO = 1_100  # zlib reaches at most 1,032


def declared_shape(file: Path) -> Shape:
    """Return the shape (images, blocks, H, W, 3) of the array named like the file, from the headers alone.

    Raises
    ------
    DataError
        If the file is missing or no MAT file of version 5, or the array has another type or shape.
    """
    from scipy import io  # imported late: every command imports all datasets

    if not file.is_file():
        raise DataError(f"{file}: no such file; download it from {PAGE}, or set `data_dir` to its folder")
    try:
        arrays = {name: (shape, kind) for name, shape, kind in io.whosmat(file)}
    except NotImplementedError:
        raise DataError(f"{file}: expected a MAT file of version 5, as published, got version 7.3") from None
    except Exception as error:  # SciPy raises any type on a damaged file
        raise DataError(f"{file}: not a MAT file of version 5, or damaged ({error})") from None
    shape, kind = arrays.get(file.stem, ((), ""))
    if not shape:
        raise DataError(f"{file}: expected an array {file.stem}, found {', '.join(arrays) or 'none'}")
    if kind != "uint8" or len(shape) != 5 or shape[4] != 3 or 0 in shape:
        raise DataError(f"{file}: expected uint8 of shape (images, blocks, H, W, 3), got {kind} {shape}")
    if math.prod(shape) > _MAX_DEFLATE_RATIO * file.stat().st_size:
        reason = f"it claims {shape}, far more than it can hold"
        raise DataError(f"{file}: damaged ({reason}); download it again from {PAGE}")
    return shape


def read_blocks(file: Path) -> np.ndarray:
    """Read the array named like the file. While it is read, the array is in memory once as a whole.

    Parameters
    ----------
    file : Path
        A MAT file of version 5, deflated or not.

    Returns
    -------
    ndarray of uint8, shape (images * blocks, H, W, 3)
        Block j of image i is at i * blocks + j. Memory-mapped and read-only; the disk space is freed with it.

    Raises
    ------
    DataError
        See `declared_shape`; also if the file is cut short or damaged.
    StorageError
        If there is no room for the temporary file.
    """
    from scipy import io

    images, count, height, width, channels = declared_shape(file)
    try:
        array = io.loadmat(file, variable_names=[file.stem])[file.stem]
    except Exception as error:  # SciPy raises any type on a damaged file
        raise DataError(f"{file}: damaged ({error}); download it again from {PAGE}") from None
    pixels = array.reshape(images * count, -1, order="F").T  # no copy; column = block * images + image
    with tempfile.TemporaryFile(buffering=0) as blocks:
        try:
            for start in range(0, images * count, _BLOCKS_AT_ONCE):
                part = cv2.transpose(pixels[:, start : start + _BLOCKS_AT_ONCE])
                for column, row in enumerate(part, start):
                    block, image = divmod(column, images)
                    blocks.seek((image * count + block) * row.nbytes)
                    blocks.write(row.data)
        except OSError as error:
            raise StorageError(
                f"{file}: cannot be unpacked to {tempfile.gettempdir()}: {error.strerror or error};"
                f" {array.nbytes / 1e6:.0f} MB are needed there (TMPDIR names another place)"
            ) from None
        # The mapping keeps the file. Rows, columns and channels stay in the order of the MAT file.
        mapped = np.memmap(blocks, np.uint8, "r", shape=(images * count, channels, width, height))
    return np.asarray(mapped).transpose(0, 3, 2, 1)
