"""Plan and cut DND: pieces to train on, or the boxes that the benchmark scores."""

from collections.abc import Callable, Iterator
from itertools import groupby
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
from src.data_handlers.preparation.plan import Frame, Piece, Plan, grid_pieces
from src.util.errors import DataError
from src.util.images.folder import raise_together
from src.util.images.io import to_uint8

Split = Literal["train", "test"]


def prepare_dnd(
    data_folder: Path,
    new_folder: Path,
    split: Split = "train",
    crop_size: int = 512,
    step: int = 256,
    *,
    jobs: int | None = None,
) -> list[str]:
    """Cut DND's noisy sRGB images into pieces, `IMAGE_sNNN.png`, or the official boxes, `IMAGE_BOX.png`.

    Parameters
    ----------
    data_folder : Path
        The download with `images_srgb` and, for the boxes, `info.mat`.
    new_folder : Path
        Folder for the pieces.
    split : "train" or "test"
        Pieces on a grid, or the 20 boxes of each image.
    crop_size, step : int
        Edge of a piece, and distance from one to the next, px, both at least 1; not used for the boxes.
    jobs : int, optional
        Worker processes; one for each core by default. Each reads a part of an image at a time.

    Returns
    -------
    list of str
        A line for each image that could not be cut; the pieces of all others are complete.

    Raises
    ------
    DataError
        If there is no usable image, or no usable `info.mat` for the boxes.
    UserError
        See `src.data_handlers.preparation.execute.prepare`.
    """
    return prepare(_plan(data_folder, new_folder, split, crop_size, step), jobs)


def _plan(data_folder: Path, new_folder: Path, split: Split, crop_size: int, step: int) -> Plan:
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
            tasks.append((Frame(path, f"{number:04d}", new_folder, pieces),))
        except DataError as error:
            problems.append(str(error))
    if not tasks:
        raise_together(problems)
    return Plan(data_folder, {new_folder: recipe}, tasks, cut_image, problems)


def _images(folder: Path, problems: list[str]) -> dict[int, Path]:
    """Return each image's file by its number; numbers come from names, so a missing file shifts no other."""
    images = find_images(folder) if folder.is_dir() else {}
    if not images:
        raise DataError(f"-df: {folder}: no images_srgb/0001.mat to 0050.mat; download DND from {PAGE}")
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
        # Column by column, which `cut_image` reads at once.
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
    """Cut one of DND's images; boxes above each other are read together.

    Parameters
    ----------
    source : Path
        Such as `0001.mat`.
    boxes : list of Box
        Inside the image; neighbours in the list with the same left edge have the same width.

    Yields
    ------
    ndarray of uint8, shape (H, W, 3)
        Rounded from [0, 1].
    """
    image = DndImage(source)
    for left, column in groupby(boxes, key=lambda box: box.left):
        group = list(column)
        top = min(box.top for box in group)
        bottom = max(box.top + box.height for box in group)
        values = image.read(Box(top, left, bottom - top, group[0].width))
        for box in group:
            yield to_uint8(values[box.top - top : box.top - top + box.height].transpose(2, 0, 1))
