"""The optimisers: a class for each, whose constructor takes its settings."""

from collections.abc import Iterable
from typing import Annotated, Protocol

import torch
from pydantic import Field
from torch import nn

Decay = Annotated[float, Field(ge=0, lt=1)]
Betas = Annotated[
    tuple[Decay, Decay], Field(description="decay of the running mean and square of the gradient")
]
Fused = Annotated[bool, Field(description="update all weights in one pass; the last digits differ")]


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
        betas: Betas = (0.9, 0.999),
        fused: Fused = False,
    ) -> None:
        self.betas = betas
        self.fused = fused

    def __call__(self, parameters: Iterable[nn.Parameter], init_lr: float) -> torch.optim.Optimizer:
        """Make the optimiser; see `Optimizer`."""
        return torch.optim.Adam(parameters, lr=init_lr, betas=self.betas, fused=self.fused)


class AdamW:
    """Adam with weight decay apart from the gradient.

    Parameters
    ----------
    betas, weight_decay, fused
        See their descriptions.

    References
    ----------
    .. [1] I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019. arXiv:1711.05101
    """

    def __init__(
        self,
        betas: Betas = (0.9, 0.999),
        weight_decay: Annotated[
            float,
            Field(ge=0, description="share of each weight that a step takes off, times the rate"),
        ] = 0.01,
        fused: Fused = False,
    ) -> None:
        self.betas = betas
        self.weight_decay = weight_decay
        self.fused = fused

    def __call__(self, parameters: Iterable[nn.Parameter], init_lr: float) -> torch.optim.Optimizer:
        """Make the optimiser; see `Optimizer`."""
        return torch.optim.AdamW(
            parameters, lr=init_lr, betas=self.betas, weight_decay=self.weight_decay, fused=self.fused
        )


OPTIMIZERS: dict[str, type[Optimizer]] = {"Adam": Adam, "AdamW": AdamW}
"""What a configuration's `training.optimizer.type` may be."""
