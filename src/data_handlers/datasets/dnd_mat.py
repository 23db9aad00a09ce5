"""Read DND's own files (MAT 7.3, which is HDF5): the noisy sRGB images and the boxes that are scored.

Images are stored transposed, (3, W, H); this module returns (H, W, 3).
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from src.data_handlers.datasets.base import Box
from src.util.errors import DataError
from src.util.images.formats.base import check_size
from src.util.images.formats.known import MAX_PIXELS

if TYPE_CHECKING:
    import h5py  # imported late: every command imports all datasets

PAGE = "https://noise.visinf.tu-darmstadt.de/"
"""Where the files come from."""

IMAGES, BOXES_PER_IMAGE, BOX_EDGE = 50, 20, 512
"""The number of images, of boxes in each, and the edge of a box in px."""

DATASET = "InoisySRGB"
_IMAGE = re.compile(r"(\d{4})\.mat", re.IGNORECASE)
_BEYOND = 0.5  # values may leave [0, 1] by this; of another data range, such as 255, they leave it further

Result = TypeVar("Result")


def find_images(folder: Path) -> dict[int, Path]:
    """Return the downloaded images: number, 1 to 50, -> file `0001.mat` to `0050.mat`.

    Parameters
    ----------
    folder : Path
        The download, or its folder `images_srgb`.
    """
    inner = folder / "images_srgb"
    files = sorted((inner if inner.is_dir() else folder).iterdir())
    matches = ((path, _IMAGE.fullmatch(path.name)) for path in files)
    images = {int(match[1]): path for path, match in matches if match}
    return {number: path for number, path in images.items() if 1 <= number <= IMAGES}


def find_info(folder: Path) -> Path:
    """Return the path of the download's `info.mat`, which may be missing; see `find_images`."""
    beside = folder.parent / "info.mat"
    return beside if folder.name == "images_srgb" and beside.is_file() else folder / "info.mat"


def read_boxes(info_file: Path) -> list[list[Box]]:
    """Read the benchmark's boxes.

    Parameters
    ----------
    info_file : Path
        DND's `info.mat`.

    Returns
    -------
    list of list of Box
        The 20 boxes of each of the 50 images; box `01` of image `0001` is at [0][0].

    Raises
    ------
    DataError
        If the file is missing, damaged, or of another kind.
    """
    return _with_file(info_file, lambda file: _boxes(file, info_file))


def _boxes(file: "h5py.File", path: Path) -> list[list[Box]]:
    import h5py

    references = file.get("info/boundingboxes")
    wanted = f"expected info.boundingboxes of {IMAGES} images"
    if not isinstance(references, h5py.Dataset) or references.dtype != h5py.ref_dtype:
        raise DataError(f"{path}: {wanted}, found none; download DND's info.mat again ({PAGE})")
    if references.shape != (1, IMAGES):
        raise DataError(f"{path}: {wanted}, found shape {references.shape}")
    return [_boxes_of_image(file, references[0, image], image, path) for image in range(IMAGES)]


def _boxes_of_image(file: "h5py.File", reference: "h5py.Reference", image: int, path: Path) -> list[Box]:
    where = f"{path}: boxes of image {image + 1:04d}"
    corners = file[reference] if reference else None
    shape = getattr(corners, "shape", None)
    if corners is None or shape != (4, BOXES_PER_IMAGE):
        raise DataError(f"{where}: expected shape {(4, BOXES_PER_IMAGE)}, found {shape}")
    rows = np.asarray(corners[()], dtype=np.float64).T  # row1, col1, row2, col2 from 1 on, inclusive
    sizes = rows[:, 2:] - rows[:, :2] + 1
    if (rows != np.rint(rows)).any() or (rows < 1).any() or (sizes != BOX_EDGE).any():
        raise DataError(f"{where}: expected {BOX_EDGE}x{BOX_EDGE} px at whole numbers from 1 on")
    return [Box(int(row[0]) - 1, int(row[1]) - 1, BOX_EDGE, BOX_EDGE) for row in rows]


class DndImage:
    """A noisy sRGB image, `0001.mat` to `0050.mat`, read in parts.

    The file is opened for each read and then closed: an open HDF5 file does not survive a fork.

    Parameters
    ----------
    path : Path
        The file; it is not opened here.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._shape: tuple[int, int] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in px.

        Raises
        ------
        DataError
            If the file is missing, damaged, or not such an image.
        """
        if self._shape is None:
            self._shape = _with_file(self.path, lambda file: _stored(file, self.path).shape[:0:-1])
        return self._shape

    def read(self, box: Box) -> np.ndarray:
        """Read a part of the image; only this part is read from the disk.

        Parameters
        ----------
        box : Box
            Inside the image.

        Returns
        -------
        ndarray of float32, shape (H, W, 3)
            The stored R, G, B; data range 1.

        Raises
        ------
        DataError
            As for `shape`; also if the box leaves the image, or values are not of data range 1.
        """
        return _with_file(self.path, lambda file: self._slice(_stored(file, self.path), box))

    def _slice(self, stored: "h5py.Dataset", box: Box) -> np.ndarray:
        top, left, height, width = box
        whole = stored.shape[:0:-1]
        if min(top, left) < 0 or min(height, width) < 1 or top + height > whole[0] or left + width > whole[1]:
            raise DataError(f"{self.path}: {box} is not inside its {whole[0]}x{whole[1]} px")
        values = stored[:, left : left + width, top : top + height].transpose(2, 1, 0)
        low, high = values.min(), values.max()
        if not (-_BEYOND <= low and high <= 1 + _BEYOND):  # also rejects NaN
            raise DataError(f"{self.path}: expected values from 0 to 1, found {low:g} to {high:g} in {box}")
        return np.ascontiguousarray(values)


def _stored(file: "h5py.File", path: Path) -> "h5py.Dataset":
    import h5py

    dataset = file.get(DATASET)
    if not isinstance(dataset, h5py.Dataset):
        raise DataError(f"{path}: expected the dataset {DATASET}, found {', '.join(file) or 'none'}")
    if dataset.dtype != np.float32 or dataset.ndim != 3 or dataset.shape[0] != 3 or 0 in dataset.shape:
        found = f"{dataset.dtype} {dataset.shape}"
        raise DataError(f"{path}: expected {DATASET} as float32 of shape (3, W, H), found {found}")
    check_size(path, (dataset.shape[2], dataset.shape[1], 3), 4, MAX_PIXELS)
    return dataset


def _with_file(path: Path, use: "Callable[[h5py.File], Result]") -> Result:
    import h5py

    if not path.is_file():
        raise DataError(f"{path}: no such file; download it from {PAGE}")
    try:
        # Without a lock, which network mounts refuse; nobody writes to these files.
        with h5py.File(path, "r", locking=False) as file:
            return use(file)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # h5py raises OSError, RuntimeError, KeyError and more on a damaged file
        raise DataError(f"{path}: not a MAT file of version 7.3, or damaged ({error})") from None
