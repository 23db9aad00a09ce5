"""One training step: hide blind spots, predict them, compare, update."""

from collections.abc import Callable

import torch
from torch import Tensor

from src.loss import Loss, LossValue
from src.masker import Masker
from src.trainer.network.network import Network
from src.trainer.parallel.distributed import ALONE, Processes
from src.trainer.training.stopwatch import Stopwatch
from src.util.errors import NonFiniteError
from src.util.pictures.io import as_float
from src.util.share import Share


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
    processes : Processes
        Those that share each batch; all take every step together.
    """

    def __init__(
        self, network: Network, masker: Masker, loss: Loss,
        optimizer: torch.optim.Optimizer, stopwatch: Stopwatch, grad_clip: float | None = None,
        processes: Processes = ALONE,
    ) -> None:  # fmt: skip
        self.network = network
        self.masker = masker
        self.loss = loss
        self.optimizer = optimizer
        self.stopwatch = stopwatch
        self.grad_clip = grad_clip
        self.processes = processes
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def __call__(
        self, batch: Tensor, progress: float, generator: torch.Generator, say: Callable[[], str],
        share: Share | None = None, missing: Tensor | None = None,
    ) -> LossValue:  # fmt: skip
        """Update the network once.

        Parameters
        ----------
        batch : Tensor
            (B, C, H, W) noisy images on the network's device, in [0, 1] or uint8.
        progress : float
            Fraction of training done, for the loss.
        generator : torch.Generator
            Decides where the blind spots are.
        say : callable
            Gives the words for where training is, should it have to stop here.
        share : Share, optional
            Which images of the whole batch these are; None = all.
        missing : Tensor, optional
            (B, 1, H, W) bool: pixels that were filled in, of which the loss counts none.

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
            # As they came: of uint8 a masker knows without a look at the values that they are 8-bit levels.
            whole = share or Share(0, len(batch), len(batch))
            masked = self.masker.mask_share(batch, generator, whole)
            noisy = as_float(batch)
        with self.stopwatch.part("network"):
            denoised = self.network(masked.image)
            counted = masked.mask if missing is None else masked.mask.masked_fill(missing, 0)
            value = self.loss(denoised, noisy, counted, progress)
            if share is not None:
                value = _part_of_mean(value, denoised, share)
            if noisy.device.type == "cpu":
                total = self.processes.sum(value.total.detach())
                if not torch.isfinite(total):
                    raise NonFiniteError(f"{say()}: the loss is {total.item()}; try a smaller init_lr")
            self.optimizer.zero_grad(set_to_none=True)
            with self.network.arithmetic():
                value.total.backward()
            self.processes.sum_gradients(self._parameters)
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


def _part_of_mean(value: LossValue, denoised: Tensor, share: Share) -> LossValue:
    """What the images of a share add to the mean over the whole batch; its gradient is zero without any."""
    if not share.images:
        return LossValue(denoised.sum(), {name: torch.zeros_like(term) for name, term in value.terms.items()})
    weight = share.images / share.total
    return LossValue(value.total * weight, {name: term * weight for name, term in value.terms.items()})
