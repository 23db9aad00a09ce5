"""Batch normalisation when several processes share each batch.

Shape letters: B images, C channels, H rows, W columns.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from src.trainer.parallel.distributed import Processes
from src.util.share import Share


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm on the CPU with the mean and variance of all processes' images.

    It replaces torch's SyncBatchNorm, which needs a GPU. Parameters, buffers and evaluation are those of
    `nn.BatchNorm2d`. The gradient is written by hand, because autograd through the same sums makes a step
    of two processes a sixth slower.

    References
    ----------
    .. [1] T. F. Chan, G. H. Golub, R. J. LeVeque, "Algorithms for Computing the Sample Variance: Analysis and
       Recommendations", The American Statistician 37(3), 1983. :DOI:`10.1080/00031305.1983.10483115`
    """

    processes: Processes

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1) -> None:
        super().__init__(num_features, eps, momentum)
        # The compiler would reorder the exchanges, differently in each process. A decorator would load the
        # compiler on import, which takes seconds.
        self.forward = torch.compiler.disable(self.forward)  # type: ignore[method-assign]

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape. B may be 0 if another process has images."""
        if not self.training:
            return super().forward(x)
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        mean, variance, pixels = self._moments(x)
        with torch.no_grad():
            self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
            unbiased = variance * (pixels / (pixels - 1))
            self.running_var.lerp_(unbiased.to(self.running_var), self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked += 1
        mean, variance = mean.to(self.weight), variance.to(self.weight)
        normalised: Tensor = _Normalised.apply(
            x, self.weight, self.bias, mean, variance, pixels, self.eps, self.processes
        )
        return normalised

    @torch.no_grad()
    def _moments(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean and variance (C,) over all processes' images, and the number of pixels, in float64.

        Each process computes its variance about its own mean, to avoid cancellation in float32 [1]_.
        """
        own = torch.zeros(2 * self.num_features + 1, dtype=torch.float64, device=x.device)
        if pixels := x[:, 0].numel():
            mean, variance = (v.double() for v in torch.batch_norm_update_stats(x, None, None, 0))
            own = pixels * torch.cat((mean, variance + mean.square(), own.new_ones(1)))
        total = self.processes.sum(own)
        mean, square = (total[:-1] / total[-1]).view(2, self.num_features)
        return mean, (square - mean.square()).clamp(min=0), total[-1]


class _Normalised(torch.autograd.Function):
    """Normalise by mean and variance (C,) over the `pixels` pixels of all processes' `x`.

    The gradients of weight and bias are those of this process's images alone, as for all other parameters.
    """

    @staticmethod
    def forward(
        context: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, pixels: Tensor,
        eps: float, processes: Processes,
    ) -> Tensor:  # fmt: skip
        context.save_for_backward(x, weight, mean, variance, pixels)
        context.eps, context.processes = eps, processes
        return F.batch_norm(x, mean, variance, weight, bias, eps=eps)

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance, pixels = context.saved_tensors
        eps = context.eps
        scale = weight * (variance + eps).rsqrt()
        mixed = gradient.dtype != scale.dtype  # torch multiplies mixed types slowly
        # The gradient for constant mean and variance ...
        direct, of_weight, of_bias = torch.zeros_like(x), torch.zeros_like(weight), torch.zeros_like(weight)
        if x.numel():
            direct, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
                gradient, x, weight, mean, variance, None, None, False, eps, [mixed, True, True]
            )
        # ... plus the gradient through them, which is batch norm with another scale and shift.
        means = context.processes.sum(torch.cat((of_weight, of_bias)).double()) / pixels
        factor, shift = (-scale * means.to(scale).view(2, -1)).unbind()
        of_x = F.batch_norm(x, mean, variance, factor, shift, eps=eps)
        of_x = of_x.add_(direct) if mixed else of_x.addcmul_(gradient, scale[:, None, None])
        return of_x, of_weight, of_bias, None, None, None, None, None


def share_batch_norm(module: nn.Module, processes: Processes) -> None:
    """Make every batch norm in a module normalise by all processes' images.

    Parameters
    ----------
    module : nn.Module
        Changed in place, with the same state. Call this before an optimiser gets its parameters.
    processes : Processes
        The processes that share each batch.
    """
    if processes.alone:
        return
    for parent in list(module.modules()):
        for name, norm in parent.named_children():
            if isinstance(norm, nn.BatchNorm2d):
                setattr(parent, name, _shared(norm, processes))


def _shared(norm: nn.BatchNorm2d, processes: Processes) -> nn.Module:
    shared: nn.SyncBatchNorm | SharedBatchNorm
    if norm.weight.is_cuda:
        shared = nn.SyncBatchNorm(norm.num_features, norm.eps, norm.momentum)
    else:
        shared = SharedBatchNorm(norm.num_features, norm.eps, norm.momentum)
        shared.processes = processes
    shared.to(norm.weight.device).load_state_dict(norm.state_dict())
    return shared.train(norm.training)


def average_statistics(module: nn.Module, share: Share, processes: Processes) -> None:
    """Replace running statistics by their mean over all processes, weighted by the images of each.

    Used without `training.sync_bn`, in each step: averaging only before a validation or a checkpoint would
    make a resumed run differ from an uninterrupted one.

    Parameters
    ----------
    module : nn.Module
        Its batch norms are changed in place.
    share : Share
        This process's share of the latest batch.
    processes : Processes
        The processes that share each batch.
    """
    if processes.alone:
        return
    names = ("running_mean", "running_var")
    running = [value for name, value in module.named_buffers() if name.endswith(names)]
    for value in running:
        value.mul_(share.images / share.total)
    processes.sum_each(running)
