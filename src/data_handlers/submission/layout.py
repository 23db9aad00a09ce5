"""The number, size and names of a benchmark's blocks."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

from src.data_handlers.datasets.dnd_mat import BOX_EDGE, BOXES_PER_IMAGE, IMAGES


@dataclass(frozen=True)
class Layout(ABC):
    """The same number of square RGB blocks of each image; block j of image i has the number i * blocks + j.

    Attributes
    ----------
    images, blocks : int
        Images, and blocks of each image.
    edge : int
        Edge of a block, px.
    """

    images: int
    blocks: int
    edge: int

    def __len__(self) -> int:
        return self.images * self.blocks

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a block: (H, W, 3)."""
        return self.edge, self.edge, 3

    @abstractmethod
    def number(self, name: str) -> int | None:
        """Return the number of the block that an image of this name shows; None for any other name."""

    @abstractmethod
    def label(self, number: int) -> str:
        """Return the benchmark's name of a block."""

    def labels(self, numbers: Iterable[int]) -> str:
        """Return the names of blocks for a message; runs are shortened to `FIRST to LAST`."""
        runs: list[list[int]] = []
        for number in sorted(set(numbers)):
            if runs and runs[-1][-1] == number - 1:
                runs[-1] = [runs[-1][0], number]
            else:
                runs.append([number])
        return ", ".join(" to ".join(map(self.label, run)) for run in runs)


@dataclass(frozen=True)
class SiddLayout(Layout):
    """SIDD's benchmark: a block's name is its number, `0000` to `1279`, the server's ID."""

    images: int = 40
    blocks: int = 32
    edge: int = 256

    def number(self, name: str) -> int | None:
        """Parse a name such as `0033` or `0033.png`."""
        found = re.fullmatch(r"(\d{4})(\.\w+)?", name, re.ASCII)
        number = int(found[1]) if found else len(self)
        return number if number < len(self) else None

    def label(self, number: int) -> str:
        """Return such as `ID 33`."""
        return f"ID {number}"


@dataclass(frozen=True)
class DndLayout(Layout):
    """DND: the official boxes, named IMAGE_BOX, both counted from 1."""

    images: int = IMAGES
    blocks: int = BOXES_PER_IMAGE
    edge: int = BOX_EDGE

    def number(self, name: str) -> int | None:
        """Parse a name such as `0002_14`, `0002_14.png` or `0002_14_noisy.png`."""
        found = re.fullmatch(r"(\d{4})_(\d{2})(_noisy)?(\.\w+)?", name, re.ASCII)
        image, box = (int(found[1]) - 1, int(found[2]) - 1) if found else (-1, -1)
        inside = 0 <= image < self.images and 0 <= box < self.blocks
        return image * self.blocks + box if inside else None

    def label(self, number: int) -> str:
        """Return such as `0002_14`."""
        image, box = divmod(number, self.blocks)
        return f"{image + 1:04d}_{box + 1:02d}"
