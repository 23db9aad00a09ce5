"""What a network is trained to do: `base` says what an objective is, `hide` and `imitate` are two."""

from src.trainer.objective.base import Images, Objective, Task
from src.trainer.objective.hide import Hide
from src.trainer.objective.imitate import Imitate

__all__ = ["OBJECTIVES", "Hide", "Images", "Imitate", "Objective", "Task"]

OBJECTIVES: dict[str, type[Objective]] = {"hide": Hide, "imitate": Imitate}
"""What a configuration's `training.objective` may be."""
