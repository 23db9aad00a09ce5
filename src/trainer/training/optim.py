"""The optimiser, and the learning rate as a function of how far training has come."""

import math
from collections.abc import Iterable

import torch
from torch import nn

from src.trainer.config.run_config import OptimizerBlock, SchedulerBlock


def make_optimizer(
    parameters: Iterable[nn.Parameter], block: OptimizerBlock, init_lr: float
) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba, 2015, arXiv:1412.6980), without weight decay."""
    return torch.optim.Adam(parameters, lr=init_lr, betas=block.betas, fused=block.fused)


def learning_rate(block: SchedulerBlock, init_lr: float, epoch: int, progress: float) -> float:
    """The learning rate of a step.

    Parameters
    ----------
    block : SchedulerBlock
        Which schedule.
    init_lr : float
        Learning rate of the first step.
    epoch : int
        Epoch of the step, from 1.
    progress : float
        Fraction of all steps done before this one, in [0, 1).

    Returns
    -------
    float
        A function of its arguments alone, so that a resumed run needs no scheduler state.
    """
    if block.type == "step":
        return init_lr * block.gamma ** ((epoch - 1) // block.step_size)
    if block.type == "cosine":
        return init_lr * (1 + math.cos(math.pi * progress)) / 2
    return init_lr
