"""The plan of a preparation: which pieces to cut from which frames."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.data_handlers.datasets.base import Box
from src.data_handlers.preparation.grid import crop_boxes

Cut = Callable[[Path, list[Box]], Iterable[np.ndarray]]
"""Read a frame's file and yield a uint8 (H, W, C) piece for each box, in order; can be sent to a process."""


class Piece(NamedTuple):
    """A file to write.

    Attributes
    ----------
    name : str
        Its name in the target folder.
    box : Box
        Its place in the frame.
    """

    name: str
    box: Box


@dataclass(frozen=True)
class Frame:
    """An image of the benchmark and its pieces.

    Attributes
    ----------
    source : Path
        The image's file.
    stem : str
        The beginning of its pieces' names.
    target : Path
        The folder for the pieces.
    pieces : sequence of Piece
        In the order in which they are cut.
    """

    source: Path
    stem: str
    target: Path
    pieces: Sequence[Piece]


@dataclass(frozen=True)
class Plan:
    """All that a preparation does.

    Attributes
    ----------
    source : Path
        The benchmark's folder; it is only read.
    recipes : mapping
        Each target folder -> the settings of its pieces; a folder holds pieces of one recipe.
    tasks : sequence of tuple of Frame
        Each is done by one worker, frame by frame; the first frame that fails ends the task.
    cut : Cut
        Reads a frame.
    problems : sequence of str
        The frames that are left out, and why.
    """

    source: Path
    recipes: Mapping[Path, Mapping[str, object]]
    tasks: Sequence[tuple[Frame, ...]]
    cut: Cut
    problems: Sequence[str]

    def frames(self, target: Path) -> list[Frame]:
        """Return the frames whose pieces go to a target."""
        return [frame for task in self.tasks for frame in task if frame.target == target]


def grid_pieces(stem: str, height: int, width: int, crop: int, step: int) -> list[Piece]:
    """Return the pieces of a whole frame: `STEM_sNNN.png`, NNN counted from 001, row by row."""
    boxes = crop_boxes(height, width, crop, step)
    return [Piece(f"{stem}_s{number:03d}.png", box) for number, box in enumerate(boxes, 1)]
