"""How gradients become updates: `optimizers`, and `schedulers` for the learning rate."""

from src.trainer.optim.optimizers import OPTIMIZERS, Optimizer
from src.trainer.optim.schedulers import SCHEDULERS, Scheduler

__all__ = ["OPTIMIZERS", "SCHEDULERS", "Optimizer", "Scheduler"]
