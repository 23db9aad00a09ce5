"""The optimisers: a class for each, whose constructor takes its settings."""

from collections.abc import Iterable
from typing import Annotated, Protocol

import torch
from pydantic import Field
from torch import nn

Decay = Annotated[float, Field(ge=0, lt=1)]


class Optimizer(Protocol):
    """The settings of an optimiser; called, they make one."""

    def __call__(self, parameters: Iterable[nn.Parameter], init_lr: float) -> torch.optim.Optimizer:
        """Make the optimiser of these parameters; the learning rate is set anew before each step."""
        ...


class Adam:
    """Adam, without weight decay.

    Parameters
    ----------
    betas, fused
        See their descriptions.

    References
    ----------
    .. [1] D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015. arXiv:1412.6980
    """

    def __init__(
        self,
        betas: Annotated[
            tuple[Decay, Decay], Field(description="decay of the running mean and square of the gradient")
        ] = (0.9, 0.999),
        fused: Annotated[
            bool, Field(description="update all weights in one pass; the last digits differ")
        ] = False,
    ) -> None:
        self.betas = betas
        self.fused = fused

    def __call__(self, parameters: Iterable[nn.Parameter], init_lr: float) -> torch.optim.Optimizer:
        """Make the optimiser; see `Optimizer`."""
        return torch.optim.Adam(parameters, lr=init_lr, betas=self.betas, fused=self.fused)


OPTIMIZERS: dict[str, type[Optimizer]] = {"Adam": Adam}
"""What a configuration's `training.optimizer.type` may be."""
