"""Training objectives: `base` defines the interface, `hide` and `imitate` implement it."""

from src.trainer.objective.base import Images, Objective, Task
from src.trainer.objective.hide import Hide
from src.trainer.objective.imitate import Imitate

__all__ = ["OBJECTIVES", "Hide", "Images", "Imitate", "Objective", "Task"]

OBJECTIVES: dict[str, type[Objective]] = {"hide": Hide, "imitate": Imitate}
"""The values of the configuration key `training.objective`."""
