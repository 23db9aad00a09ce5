"""SIDD, real noise of phone cameras: https://abdokamel.github.io/sidd/.

Abdelhamed, Lin, Brown: A High-Quality Denoising Dataset for Smartphone Cameras. CVPR 2018.
https://doi.org/10.1109/CVPR.2018.00182
"""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field
from scipy import io

from src.data_handlers.base import Picture, expect_folder
from src.data_handlers.folder import Folder
from src.util.errors import DataError
from src.util.image_io import PictureInfo

PAGE = "https://abdokamel.github.io/sidd/"


def sidd_train(
    folder: Annotated[
        str, Field(description="folder of pieces cut from the noisy SIDD-Medium sRGB frames")
    ] = "datasets/SIDD_train",
    clean_folder: Annotated[
        str | None, Field(description="the same pieces of the ground truth; None = not known")
    ] = None,
) -> Folder:
    """Pieces of SIDD-Medium's noisy frames."""
    expect_folder(folder, "pieces of SIDD-Medium's noisy sRGB frames", PAGE)
    return Folder(folder, clean_folder)


def sidd_val(
    folder: Annotated[
        str, Field(description="folder of ValidationNoisyBlocksSrgb.mat and ValidationGtBlocksSrgb.mat")
    ] = "datasets/SIDD_val",
) -> "MatBlocks":
    """The 1,280 validation blocks, with ground truth."""
    files = ("ValidationNoisyBlocksSrgb.mat", "ValidationGtBlocksSrgb.mat")
    path = expect_folder(folder, " and ".join(files), PAGE)
    return MatBlocks(path / files[0], path / files[1])


def sidd_test(
    folder: Annotated[
        str, Field(description="folder of BenchmarkNoisyBlocksSrgb.mat")
    ] = "datasets/SIDD_test",
) -> "MatBlocks":
    """The 1,280 benchmark blocks; their ground truth is kept by the benchmark's server."""
    file = "BenchmarkNoisyBlocksSrgb.mat"
    return MatBlocks(expect_folder(folder, file, PAGE) / file)


class MatBlocks:
    """Blocks in MAT files (version 5), each holding one array of the file's name.

    The array is uint8 of shape (images, blocks, H, W, 3); block j of image i is the picture named
    i * blocks + j, in four digits. Files are read at the first picture, not before, and not sent to loader
    workers.

    Parameters
    ----------
    noisy_file : Path
        The noisy blocks.
    clean_file : Path, optional
        Their ground truth, of the same shape.

    Raises
    ------
    DataError
        When a file is missing or holds something else.
    """

    def __init__(self, noisy_file: Path, clean_file: Path | None = None) -> None:
        self.where = str(noisy_file)
        self._files = [noisy_file] if clean_file is None else [noisy_file, clean_file]
        shapes = [_declared_shape(file) for file in self._files]
        if len(set(shapes)) > 1:
            raise DataError(f"{clean_file}: shape {shapes[1]}, but {noisy_file.name} has {shapes[0]}")
        self._images, self._blocks, self._height, self._width = shapes[0][:4]
        self._arrays: list[np.ndarray] = []

    def __len__(self) -> int:
        return self._images * self._blocks

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_arrays": []}

    def name(self, number: int) -> str:
        """Image and block as one number of four digits."""
        return f"{number:04d}"

    def inspect(self, number: int) -> PictureInfo:
        """Size and channels, which all blocks share; see `Source`."""
        return PictureInfo(self._height, self._width, 3)

    def read(self, number: int) -> Picture:
        """The block, and its ground truth where there is one."""
        if not self._arrays:
            self._arrays = [_read_array(file) for file in self._files]
        at = divmod(number, self._blocks)
        blocks = [np.ascontiguousarray(array[at]) for array in self._arrays]
        return Picture(self.name(number), *blocks)


def _declared_shape(file: Path) -> tuple[int, ...]:
    if not file.is_file():
        raise DataError(f"{file}: no such file; download it from {PAGE}, or set `folder` to where it is")
    try:
        arrays = {name: (shape, kind) for name, shape, kind in io.whosmat(file)}
    except NotImplementedError:
        raise DataError(f"{file}: expected a MAT file of version 5, as published, got version 7.3") from None
    except Exception as error:  # SciPy raises anything on a damaged file
        raise DataError(f"{file}: not a MAT file of version 5, or damaged ({error})") from None
    shape, kind = arrays.get(file.stem, ((), ""))
    if not shape:
        raise DataError(f"{file}: expected an array {file.stem}, found {', '.join(arrays) or 'none'}")
    if kind != "uint8" or len(shape) != 5 or shape[4] != 3 or 0 in shape:
        raise DataError(f"{file}: expected uint8 of shape (images, blocks, H, W, 3), got {kind} {shape}")
    return shape


def _read_array(file: Path) -> np.ndarray:
    try:
        return io.loadmat(file, variable_names=[file.stem])[file.stem]
    except Exception as error:  # as above
        raise DataError(f"{file}: damaged ({error}); download it again from {PAGE}") from None
