"""One training step: hide blind spots, predict them, compare, update."""

from collections.abc import Callable

import torch
from torch import Tensor

from src.loss import Loss, LossValue
from src.masker import Masker
from src.trainer.network import Network
from src.util.errors import NonFiniteError
from src.util.stopwatch import Stopwatch


class TrainingStep:
    """Noise2Void's step (Krull et al., CVPR 2019, doi:10.1109/CVPR.2019.00223) with any masker.

    Parameters
    ----------
    network : Network
        Being trained.
    masker : Masker
        Hides the blind spots.
    loss : Loss
        Compares the prediction with the noisy picture at the spots.
    optimizer : torch.optim.Optimizer
        Over the network's parameters.
    stopwatch : Stopwatch
        Takes the time of masking and network.
    grad_clip : float or None
        Largest norm of the gradient.
    """

    def __init__(
        self, network: Network, masker: Masker, loss: Loss,
        optimizer: torch.optim.Optimizer, stopwatch: Stopwatch, grad_clip: float | None = None,
    ) -> None:  # fmt: skip
        self.network = network
        self.masker = masker
        self.loss = loss
        self.optimizer = optimizer
        self.stopwatch = stopwatch
        self.grad_clip = grad_clip
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def __call__(
        self, noisy: Tensor, progress: float, generator: torch.Generator, say: Callable[[], str]
    ) -> LossValue:
        """Update the network once.

        Parameters
        ----------
        noisy : Tensor
            (B, C, H, W) in [0, 1] on the network's device.
        progress : float
            Fraction of training done, for the loss.
        generator : torch.Generator
            Decides where the blind spots are.
        say : callable
            Gives the words for where training is, should it have to stop here.

        Returns
        -------
        LossValue
            Detached, on the device.

        Raises
        ------
        NonFiniteError
            On the CPU before the update; a GPU is not made to wait, there the trainer looks before it saves.
        """
        with self.stopwatch.part("masking"):
            masked = self.masker.mask(noisy, generator)
        with self.stopwatch.part("network"):
            denoised = self.network(masked.image)
            value = self.loss(denoised, noisy, masked.mask, progress)
            if noisy.device.type == "cpu" and not torch.isfinite(value.total):
                raise NonFiniteError(f"{say()}: the loss is {value.total.item()}; try a smaller init_lr")
            self.optimizer.zero_grad(set_to_none=True)
            value.total.backward()
            self._check_and_clip(noisy.device, say)
            self.optimizer.step()
        return LossValue(value.total.detach(), value.terms)

    def _check_and_clip(self, device: torch.device, say: Callable[[], str]) -> None:
        on_host = device.type == "cpu"
        if not on_host and self.grad_clip is None:
            return
        norm = torch.nn.utils.get_total_norm([p.grad for p in self._parameters if p.grad is not None])
        if on_host and not torch.isfinite(norm):
            raise NonFiniteError(
                f"{say()}: the gradient's norm is {norm.item()}; lower init_lr or set training.grad_clip"
            )
        if self.grad_clip is not None:
            torch.nn.utils.clip_grads_with_norm_(self._parameters, self.grad_clip, norm)
