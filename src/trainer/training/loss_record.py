"""Losses that stay on the device until somebody wants to read them."""

import torch
from torch import Tensor

from src.loss import LossValue


class LossRecord:
    """The losses of the latest steps, in memory that is taken once: a step neither waits nor grows.

    Parameters
    ----------
    steps : int
        How many steps it holds; it must be read before it overflows.
    """

    def __init__(self, steps: int) -> None:
        self.names: list[str] = []
        """`total` and the name of each term; empty before the first step."""
        self._steps = steps
        self._values: Tensor | None = None  # (steps, names)
        self._count = 0

    def add(self, value: LossValue) -> None:
        """Keep what a step gave."""
        row = torch.stack([value.total, *value.terms.values()])
        if self._values is None:
            self.names = ["total", *value.terms]
            self._values = row.new_empty(self._steps, len(row))
        self._values[self._count] = row
        self._count += 1

    def take(self) -> Tensor:
        """The losses since the last call, (steps, names) on the CPU, all brought at once."""
        taken = torch.empty(0, 0) if self._values is None else self._values[: self._count].cpu().clone()
        self._count = 0
        return taken
