"""One training step: make a task, run the network, compute the loss, update the weights."""

from collections.abc import Callable

import torch
from torch import Tensor

from src.loss import Loss, LossValue
from src.trainer.network.network import Network
from src.trainer.objective import Images, Objective
from src.trainer.optim import WeightMean
from src.trainer.parallel.distributed import ALONE, Processes
from src.trainer.training.stopwatch import Stopwatch
from src.util.errors import NonFiniteError
from src.util.share import Share


class TrainingStep:
    """A gradient step of any objective.

    Parameters
    ----------
    network : Network
        The network to train.
    objective : Objective
        Makes the network's input, target and mask from a batch.
    loss : Loss
        Compares output and target.
    optimizer : torch.optim.Optimizer
        Updates the network's parameters.
    stopwatch : Stopwatch
        Times the objective, as `masking`, and the rest, as `network`.
    grad_clip : float or None
        Largest norm of the gradient; None = no limit.
    processes : Processes
        The processes that share each batch.
    mean : WeightMean or None
        Mean of the weights after each step; None = use the last weights.
    """

    def __init__(
        self, network: Network, objective: Objective, loss: Loss,
        optimizer: torch.optim.Optimizer, stopwatch: Stopwatch, grad_clip: float | None = None,
        processes: Processes = ALONE, mean: WeightMean | None = None,
    ) -> None:  # fmt: skip
        self.network = network
        self.objective = objective
        self.loss = loss
        self.optimizer = optimizer
        self.stopwatch = stopwatch
        self.grad_clip = grad_clip
        self.processes = processes
        self.mean = mean
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def __call__(
        self, images: Images, progress: float, generator: torch.Generator, where: Callable[[], str],
        share: Share | None = None,
    ) -> LossValue:  # fmt: skip
        """Update the network once.

        Parameters
        ----------
        images : mapping of str to Tensor
            The batch on the network's device; see `Objective`.
        progress : float
            Fraction of training done, 0 to 1.
        generator : torch.Generator
            Random numbers of the objective; on the CPU.
        where : callable
            Returns the epoch, step and images for an error message.
        share : Share, optional
            This process's part of the whole batch; None = all of it.

        Returns
        -------
        LossValue
            Detached, on the device; with several processes, this one's part of the whole batch's loss.

        Raises
        ------
        NonFiniteError
            On the CPU, before the update. A GPU would have to wait; the trainer checks before it saves.
        """
        with self.stopwatch.part("masking"):
            count = len(images["noisy"])
            task = self.objective.task(images, generator, share or Share(0, count, count))
        with self.stopwatch.part("network"):
            denoised = self.network(task.input)
            mask = task.mask.masked_fill(images["missing"], 0) if "missing" in images else task.mask
            value = self.loss(denoised, task.target, mask, progress)
            if share is not None:
                value = _part_of_mean(value, denoised, share)
            if denoised.device.type == "cpu":
                total = self.processes.sum(value.total.detach())
                if not torch.isfinite(total):
                    raise NonFiniteError(f"{where()}: the loss is {total.item()}; try a smaller init_lr")
            self.optimizer.zero_grad(set_to_none=True)
            with self.network.arithmetic():
                value.total.backward()
            self.processes.sum_gradients(self._parameters)
            self._check_and_clip(denoised.device, where)
            self.optimizer.step()
        return LossValue(value.total.detach(), value.terms)

    def _check_and_clip(self, device: torch.device, where: Callable[[], str]) -> None:
        on_host = device.type == "cpu"
        if not on_host and self.grad_clip is None:
            return
        norm = torch.nn.utils.get_total_norm([p.grad for p in self._parameters if p.grad is not None])
        if on_host and not torch.isfinite(norm):
            raise NonFiniteError(
                f"{where()}: the gradient's norm is {norm.item()}; lower init_lr or set training.grad_clip"
            )
        if self.grad_clip is not None:
            torch.nn.utils.clip_grads_with_norm_(self._parameters, self.grad_clip, norm)


def _part_of_mean(value: LossValue, denoised: Tensor, share: Share) -> LossValue:
    """Scale the mean over a share to its part of the mean over the whole batch; an empty share gives zero."""
    if not share.images:
        return LossValue(denoised.sum(), {name: torch.zeros_like(term) for name, term in value.terms.items()})
    weight = share.images / share.total
    return LossValue(value.total * weight, {name: term * weight for name, term in value.terms.items()})
