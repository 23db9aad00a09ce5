"""Learn from pairs of noisy and clean images."""

from typing import ClassVar

import torch

from src.masker import Masker
from src.trainer.objective.base import Images, Objective, Task
from src.util.images.conversion import as_float
from src.util.share import Share


class Imitate(Objective):
    """Supervised training: the target is the clean image, and every pixel counts."""

    images: ClassVar[tuple[str, ...]] = ("noisy", "clean")
    terms: ClassVar[str] = "target_"
    hides: ClassVar[bool] = False

    def __init__(self, masker: Masker) -> None:
        pass

    def task(self, images: Images, generator: torch.Generator, share: Share) -> Task:
        """Return the unchanged pair; see `Objective`."""
        noisy, target = as_float(images["noisy"]), as_float(images["clean"])
        return Task(noisy, target, noisy.new_ones(len(noisy), 1, *noisy.shape[2:]))
