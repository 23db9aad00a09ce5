"""One training step: a task for the network, its answer, how far that is off, an update."""

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
        Being trained.
    objective : Objective
        Says what the network is given, and what is expected of it.
    loss : Loss
        Compares the two.
    optimizer : torch.optim.Optimizer
        Over the network's parameters.
    stopwatch : Stopwatch
        Takes the time of the objective's part, called masking, and of the network's.
    grad_clip : float or None
        Largest norm of the gradient.
    processes : Processes
        Those that share each batch; all take every step together.
    mean : WeightMean or None
        Of the weights after each step; None = the last weights are what counts.
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
        self, images: Images, progress: float, generator: torch.Generator, say: Callable[[], str],
        share: Share | None = None,
    ) -> LossValue:  # fmt: skip
        """Update the network once.

        Parameters
        ----------
        images : mapping of str to Tensor
            The batch on the network's device, see `Objective`.
        progress : float
            Fraction of training done, for the loss.
        generator : torch.Generator
            Of the CPU, the objective's source of randomness.
        say : callable
            Gives the words for where training is, should it have to stop here.
        share : Share, optional
            Which images of the whole batch these are; None = all.

        Returns
        -------
        LossValue
            Detached, on the device; of several processes what this one adds to the whole batch's loss.

        Raises
        ------
        NonFiniteError
            On the CPU before the update; a GPU is not made to wait, there the trainer looks before it saves.
        """
        with self.stopwatch.part("masking"):
            count = len(images["noisy"])
            task = self.objective.task(images, generator, share or Share(0, count, count))
        with self.stopwatch.part("network"):
            denoised = self.network(task.input)
            value = self.loss(denoised, task.target, _counted(task.mask, images), progress)
            if share is not None:
                value = _part_of_mean(value, denoised, share)
            if denoised.device.type == "cpu":
                total = self.processes.sum(value.total.detach())
                if not torch.isfinite(total):
                    raise NonFiniteError(f"{say()}: the loss is {total.item()}; try a smaller init_lr")
            self.optimizer.zero_grad(set_to_none=True)
            with self.network.arithmetic():
                value.total.backward()
            self.processes.sum_gradients(self._parameters)
            self._check_and_clip(denoised.device, say)
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


def _counted(mask: Tensor, images: Images) -> Tensor:
    """A mask without the pixels that were filled in."""
    return mask.masked_fill(images["missing"], 0) if "missing" in images else mask


def _part_of_mean(value: LossValue, denoised: Tensor, share: Share) -> LossValue:
    """What the images of a share add to the mean over the whole batch; its gradient is zero without any."""
    if not share.images:
        return LossValue(denoised.sum(), {name: torch.zeros_like(term) for name, term in value.terms.items()})
    weight = share.images / share.total
    return LossValue(value.total * weight, {name: term * weight for name, term in value.terms.items()})
