"""The learning rate as a function of how far training has come: a resumed run needs no state of it."""

import math
from typing import Annotated, Protocol

from pydantic import Field


class Scheduler(Protocol):
    """The learning rate of each step, as a share of the first one's."""

    def __call__(self, epoch: int, progress: float) -> float:
        """Give the factor of `init_lr` for a step.

        Parameters
        ----------
        epoch : int
            Epoch of the step, from 1.
        progress : float
            Fraction of all steps done before this one, in [0, 1).

        Returns
        -------
        float
            At least 0; a function of its arguments alone.
        """
        ...


class Step:
    """Falls at the ends of epochs, as published.

    Parameters
    ----------
    step_size, gamma
        See their descriptions.
    """

    def __init__(
        self,
        step_size: Annotated[int, Field(ge=1, description="epochs from one fall to the next")] = 15,
        gamma: Annotated[float, Field(gt=0, le=1, description="factor of each fall")] = 0.5,
    ) -> None:
        self.step_size = step_size
        self.gamma = gamma

    def __call__(self, epoch: int, progress: float) -> float:
        """Fall by `gamma` every `step_size` epochs."""
        return self.gamma ** ((epoch - 1) // self.step_size)


class Cosine:
    """Falls along half a cosine to zero at the end.

    Parameters
    ----------
    warm_up
        See its description.
    """

    def __init__(
        self,
        warm_up: Annotated[
            float,
            Field(ge=0, lt=1, description="share of all steps in which it rises before it falls"),
        ] = 0.0,
    ) -> None:
        self.warm_up = warm_up

    def __call__(self, epoch: int, progress: float) -> float:
        """Rise and fall with the steps done."""
        if progress < self.warm_up:
            # From a hundredth: a step at rate zero would be none.
            return 0.01 + 0.99 * progress / self.warm_up
        return (1 + math.cos(math.pi * (progress - self.warm_up) / (1 - self.warm_up))) / 2


class Constant:
    """Stays as it is."""

    def __call__(self, epoch: int, progress: float) -> float:
        """One, always."""
        return 1.0


SCHEDULERS: dict[str, type[Scheduler]] = {"step": Step, "cosine": Cosine, "constant": Constant}
"""What a configuration's `training.scheduler.type` may be."""
