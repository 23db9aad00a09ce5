"""How gradients become updates.

`optimizers`, `schedulers` of the learning rate, the `weight_mean` over steps, batch norm to `freeze`.
"""

from src.trainer.optim.freeze import freeze_norm
from src.trainer.optim.optimizers import OPTIMIZERS, Optimizer
from src.trainer.optim.schedulers import SCHEDULERS, Scheduler
from src.trainer.optim.weight_mean import WeightMean

__all__ = ["OPTIMIZERS", "SCHEDULERS", "Optimizer", "Scheduler", "WeightMean", "freeze_norm"]
