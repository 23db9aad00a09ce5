"""The mean of a network's weights over the latest steps, which is better than the last of them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightMean:
    """Exponential moving average of weights and buffers.

    Parameters
    ----------
    module : Module
        Whose weights change from step to step; the mean begins as they are.
    decay : float
        What of the mean stays in a step, in [0, 1). The first steps take more of the new weights,
        (1 + n) / (10 + n) of the mean staying after n, so that the initial ones are soon forgotten.

    References
    ----------
    .. [1] B. T. Polyak and A. B. Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM
       Journal on Control and Optimization 30(4), 1992. :DOI:`10.1137/0330046`
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module = module
        self.decay = decay
        self._mean = {name: value.detach().clone() for name, value in module.state_dict().items()}
        self._swapped = False

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take the weights after a step, counted from 1, into the mean."""
        decay = min(self.decay, (1 + step) / (10 + step))
        weights = self.module.state_dict()
        floating = [name for name, value in weights.items() if value.is_floating_point()]
        torch._foreach_lerp_([self._mean[n] for n in floating], [weights[n] for n in floating], 1 - decay)
        for name in weights.keys() - set(floating):  # counts, of which there is no mean
            self._mean[name].copy_(weights[name])

    def state_dict(self) -> dict[str, Tensor]:
        """The mean under the names of the module's weights."""
        return self.module.state_dict() if self._swapped else self._mean

    def latest(self) -> dict[str, Tensor]:
        """The weights of the latest step, also while the mean is in their place."""
        return self._mean if self._swapped else self.module.state_dict()

    def load_state_dict(self, mean: dict[str, Tensor]) -> None:
        """Go on from a mean that was saved."""
        for name, value in self._mean.items():
            value.copy_(mean[name])

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """While the `with` block runs the module has the mean for its weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, value in self.module.state_dict().items():
            kept = value.clone()
            value.copy_(self._mean[name])
            self._mean[name].copy_(kept)
        self._swapped = not self._swapped
