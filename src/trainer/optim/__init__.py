"""How gradients become updates: `optimizers`, `schedulers` of the rate, and the `weight_mean` over steps."""

from src.trainer.optim.optimizers import OPTIMIZERS, Optimizer
from src.trainer.optim.schedulers import SCHEDULERS, Scheduler
from src.trainer.optim.weight_mean import WeightMean

__all__ = ["OPTIMIZERS", "SCHEDULERS", "Optimizer", "Scheduler", "WeightMean"]
