"""Losses that stay on the device until they are reported."""

import torch
from torch import Tensor

from src.loss import LossValue


class LossRecord:
    """Losses of the latest steps in memory of fixed size, so that steps do not wait for the device.

    Parameters
    ----------
    steps : int
        Capacity; `take` must be called before it is exceeded.
    """

    def __init__(self, steps: int) -> None:
        self.names: list[str] = []
        """`total` and the names of the terms; empty before the first step."""
        self._steps = steps
        self._values: Tensor | None = None  # (steps, names)
        self._count = 0

    def add(self, value: LossValue) -> None:
        """Store the losses of a step."""
        row = torch.stack([value.total, *value.terms.values()])
        if self._values is None:
            self.names = ["total", *value.terms]
            self._values = row.new_empty(self._steps, len(row))
        self._values[self._count] = row
        self._count += 1

    def take(self) -> Tensor:
        """Return the losses since the last call, (steps, names) on the CPU, in one transfer."""
        taken = torch.empty(0, 0) if self._values is None else self._values[: self._count].cpu().clone()
        self._count = 0
        return taken
