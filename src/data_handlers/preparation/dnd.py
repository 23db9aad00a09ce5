"""DND's images: pieces to train on, and the boxes that the benchmark scores."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from src.data_handlers.datasets.base import Box
from src.data_handlers.datasets.dnd_mat import (
    BOXES_PER_IMAGE,
    IMAGES,
    PAGE,
    DndImage,
    find_images,
    find_info,
    read_boxes,
)
from src.data_handlers.preparation.execute import prepare
from src.data_handlers.preparation.grid import strips, surrounding
from src.data_handlers.preparation.plan import Frame, Piece, Plan, frame_of, grid_pieces
from src.util.errors import DataError
from src.util.images.folder import raise_together
from src.util.images.io import to_uint8

Split = Literal["train", "test"]

# Of an image of 5,500 rows a column of crops 512 px wide; what is read at once, 3 float32 values each.
_MOST_PIXELS = 3_000_000


def prepare_dnd(
    data_folder: Path,
    new_folder: Path,
    split: Split = "train",
    crop_size: int = 512,
    step: int = 256,
    *,
    jobs: int | None = None,
) -> list[str]:
    """Cut DND's noisy sRGB images: into pieces to train on, `IMAGE_sNNN.png`, or into the 20 official boxes
    of each, `IMAGE_BOX.png`.

    Parameters
    ----------
    data_folder : Path
        The download: `images_srgb` and, for the boxes, `info.mat` are in it.
    new_folder : Path
        Folder for the pieces.
    split : "train" or "test"
        Pieces on a grid, or the boxes.
    crop_size, step : int
        Edge of a piece, and from one to the next, px, both at least 1; of no effect on the boxes.
    jobs : int, optional
        Worker processes; without it one for each core. Each reads a part of an image at a time.

    Returns
    -------
    list of str
        A line for each image that could not be cut; the pieces of all others are there.

    Raises
    ------
    DataError
        When there is not one usable image, or no usable `info.mat` for the boxes.
    UserError
        See `src.data_handlers.preparation.execute.prepare`.
    """
    return prepare(plan_dnd(data_folder, new_folder, split, crop_size, step), jobs)


def plan_dnd(data_folder: Path, new_folder: Path, split: Split, crop_size: int, step: int) -> Plan:
    """What `prepare_dnd` is going to do."""
    problems: list[str] = []
    images = _images(data_folder, problems)
    if split == "train":
        recipe: dict[str, object] = {"pieces": "DND train", "crop_size": crop_size, "step": step}
        pieces_of = _grid(crop_size, step)
    else:
        recipe = {"pieces": "DND test"}
        pieces_of = _official(read_boxes(find_info(data_folder)))
    tasks: list[tuple[Frame, ...]] = []
    for number, path in sorted(images.items()):
        try:
            pieces = pieces_of(number, DndImage(path))
            tasks.append((frame_of(path, data_folder, new_folder, f"{number:04d}", pieces),))
        except DataError as error:
            problems.append(str(error))
    if not tasks:
        raise_together(problems)
    return Plan(data_folder, {new_folder: recipe}, tasks, cut_image, problems)


def _images(folder: Path, problems: list[str]) -> dict[int, Path]:
    """Number of each image -> its file; by its name, because a missing one must not shift the others."""
    images = find_images(folder) if folder.is_dir() else {}
    if not images:
        raise DataError(f"-df: {folder}: no images_srgb/0001.mat to 0050.mat; DND is got from {PAGE}")
    missing = [f"{number:04d}.mat" for number in range(1, IMAGES + 1) if number not in images]
    if missing:
        problems.append(
            f"{folder}: {len(missing)} of DND's {IMAGES} images are missing; download them from {PAGE}:"
            f" {', '.join(missing)}"
        )
    return images


def _grid(crop_size: int, step: int) -> Callable[[int, DndImage], list[Piece]]:
    def pieces(number: int, image: DndImage) -> list[Piece]:
        height, width = image.shape
        if min(height, width) < crop_size:
            raise DataError(f"{image.path}: {height}x{width} px are less than the crop of {crop_size}")
        found = grid_pieces(f"{number:04d}", height, width, crop_size, step)
        # Column by column: crops above each other come of one reading.
        return sorted(found, key=lambda piece: (piece.box.left, piece.box.top))

    return pieces


def _official(boxes: list[list[Box]]) -> Callable[[int, DndImage], list[Piece]]:
    def pieces(number: int, image: DndImage) -> list[Piece]:
        height, width = image.shape
        for box in boxes[number - 1]:
            if box.top + box.height > height or box.left + box.width > width:
                raise DataError(f"{image.path}: {height}x{width} px do not hold {box} of info.mat")
        names = [f"{number:04d}_{box:02d}.png" for box in range(1, BOXES_PER_IMAGE + 1)]
        return [Piece(name, box) for name, box in zip(names, boxes[number - 1], strict=True)]

    return pieces


def cut_image(source: Path, boxes: list[Box]) -> Iterator[np.ndarray]:
    """Pieces of one of DND's images, a part of which is read at a time.

    Parameters
    ----------
    source : Path
        Such as `0001.mat`.
    boxes : list of Box
        Inside it.

    Yields
    ------
    ndarray of uint8, shape (H, W, 3)
        Rounded from [0, 1].
    """
    image = DndImage(source)
    for group in strips(boxes, _MOST_PIXELS):
        around = surrounding(group)
        values = image.read(around)
        for box in group:
            top = box.top - around.top
            yield to_uint8(values[top : top + box.height].transpose(2, 0, 1))
