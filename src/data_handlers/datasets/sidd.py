"""SIDD: images with real noise of smartphone cameras. https://abdokamel.github.io/sidd/.

Abdelhamed, Lin, Brown: A High-Quality Denoising Dataset for Smartphone Cameras. CVPR 2018.
https://doi.org/10.1109/CVPR.2018.00182
"""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from src.data_handlers.datasets.base import Image, Source, expect_folder, noisy_root, stamp
from src.data_handlers.datasets.folder import Folder, ImageFiles
from src.data_handlers.datasets.mat_blocks import PAGE, declared_shape, read_blocks
from src.data_handlers.datasets.sidd_frames import clean_frames, find_frames
from src.util.errors import DataError
from src.util.images.io import ImageInfo


def sidd_train(
    data_dir: Annotated[
        str,
        Field(
            description="folder of pieces cut by prep_SIDD.py, or the download (its noisy sRGB frames), or a"
            " folder prepared by AP-BSN (its RN)"
        ),
    ] = "datasets/SIDD_train",
    clean_folder: Annotated[
        str | None,
        Field(
            description="ground truth: pieces of the same names (prep_SIDD.py --gt), the download, or"
            " AP-BSN's CL; None = unknown; not used for training"
        ),
    ] = None,
) -> ImageFiles:
    """Read the noisy frames of SIDD-Medium, in pieces or whole."""
    how = f"{PAGE}; cut by `python prep_SIDD.py -c 512 -s 256 -df SIDD -nf {data_dir}`"
    root = noisy_root(expect_folder(data_dir, "pieces of SIDD-Medium's noisy sRGB frames", how))
    frames = find_frames(root)
    if not frames:
        return Folder(str(root), clean_folder)
    clean = None if clean_folder is None else clean_frames(frames, root, Path(clean_folder))
    return ImageFiles(root, frames, clean)


def sidd_val(
    data_dir: Annotated[
        str, Field(description="folder of ValidationNoisyBlocksSrgb.mat and ValidationGtBlocksSrgb.mat")
    ] = "datasets/SIDD_val",
) -> "MatBlocks":
    """Read the 1,280 validation blocks, with ground truth."""
    files = ("ValidationNoisyBlocksSrgb.mat", "ValidationGtBlocksSrgb.mat")
    path = expect_folder(data_dir, " and ".join(files), PAGE)
    return MatBlocks(path / files[0], path / files[1])


def sidd_test(
    data_dir: Annotated[
        str, Field(description="folder of BenchmarkNoisyBlocksSrgb.mat")
    ] = "datasets/SIDD_test",
) -> "MatBlocks":
    """Read the 1,280 benchmark blocks. Only the benchmark server has their ground truth."""
    file = "BenchmarkNoisyBlocksSrgb.mat"
    return MatBlocks(expect_folder(data_dir, file, PAGE) / file)


class MatBlocks(Source):
    """Blocks in MAT files (version 5), each with one array that has the name of the file.

    The array is uint8 of shape (images, blocks, H, W, 3). Block j of image i has the name i * blocks + j, in
    four digits. The constructor unpacks the files, which finds damage at once and lets forked workers share
    the blocks. Unpickling unpacks them again.

    Parameters
    ----------
    noisy_file : Path
        File of the noisy blocks.
    clean_file : Path, optional
        File of their ground truth, with the same shape.

    Raises
    ------
    DataError
        When a file is missing, damaged or has other content.
    StorageError
        When the blocks cannot be unpacked.
    """

    def __init__(self, noisy_file: Path, clean_file: Path | None = None) -> None:
        self.where = str(noisy_file)
        self._files = [noisy_file] if clean_file is None else [noisy_file, clean_file]
        shapes = [declared_shape(file) for file in self._files]
        if len(set(shapes)) > 1:
            raise DataError(f"{clean_file}: shape {shapes[1]}, but {noisy_file.name} has {shapes[0]}")
        self._unpack()

    def _unpack(self) -> None:
        self._arrays = [read_blocks(file) for file in self._files]

    def __len__(self) -> int:
        return len(self._arrays[0])

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_arrays"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ = state
        self._unpack()

    def name(self, number: int) -> str:
        """Return the number of the block, in four digits."""
        return f"{number:04d}"

    def inspect(self, number: int) -> ImageInfo:
        """Return size and channels, which are the same for all blocks."""
        return ImageInfo(*self._arrays[0].shape[1:])

    def read(self, number: int) -> Image:
        """Return the block and its ground truth, if any."""
        return Image(self.name(number), *(array[number] for array in self._arrays))

    def origin(self, number: int) -> tuple[str, ...]:
        """Return the files and the number of the block; see `Source`."""
        return tuple(stamp(file, number) for file in self._files)
