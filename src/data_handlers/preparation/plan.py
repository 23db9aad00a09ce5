"""What a preparation is going to do, known before anything is written."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.data_handlers.datasets.base import Box
from src.data_handlers.preparation.grid import crop_boxes

Cut = Callable[[Path, list[Box]], Iterable[np.ndarray]]
"""Reads a frame's file and gives a uint8 (H, W, C) piece for each box, in order; can be sent to a process."""


class Piece(NamedTuple):
    """A file to write.

    Attributes
    ----------
    name : str
        Its name in the target.
    box : Box
        Where it lies in its frame.
    """

    name: str
    box: Box


@dataclass(frozen=True)
class Frame:
    """An image of the benchmark, and what is cut from it.

    Attributes
    ----------
    source : Path
        Its file.
    name : str
        The file's path from the data folder on.
    stem : str
        What its pieces' names begin with.
    size, changed : int
        Of the file: bytes, and when it was changed, in ns: they tell whether it is still the same.
    target : Path
        Folder for the pieces.
    pieces : tuple of Piece
        In the order in which they are cut.
    """

    source: Path
    name: str
    stem: str
    size: int
    changed: int
    target: Path
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Plan:
    """All that a preparation does.

    Attributes
    ----------
    source : Path
        The benchmark's folder; nothing in it is changed.
    recipes : mapping
        Each target folder -> how its pieces are made; a folder holds pieces of one recipe.
    tasks : sequence of tuple of Frame
        Each is done by one worker, frame by frame; the first that fails ends the task.
    cut : Cut
        How a frame is read.
    problems : sequence of str
        Frames that are left out, and why.
    """

    source: Path
    recipes: Mapping[Path, Mapping[str, object]]
    tasks: Sequence[tuple[Frame, ...]]
    cut: Cut
    problems: Sequence[str]

    def pieces(self, target: Path) -> dict[str, Frame]:
        """Name of each piece of a target -> its frame."""
        frames = (frame for task in self.tasks for frame in task if frame.target == target)
        return {piece.name: frame for frame in frames for piece in frame.pieces}


def frame_of(source: Path, root: Path, target: Path, stem: str, pieces: Iterable[Piece]) -> Frame:
    """A frame with its file's path from `root` on, size and time.

    Raises
    ------
    OSError
        When there is no such file.
    """
    stat = source.stat()
    name = source.relative_to(root).as_posix()
    return Frame(source, name, stem, stat.st_size, stat.st_mtime_ns, target, tuple(pieces))


def grid_pieces(stem: str, height: int, width: int, crop: int, step: int) -> list[Piece]:
    """The pieces of a whole frame: `STEM_sNNN.png`, NNN counted from 001, row by row."""
    boxes = crop_boxes(height, width, crop, step)
    return [Piece(f"{stem}_s{number:03d}.png", box) for number, box in enumerate(boxes, 1)]
