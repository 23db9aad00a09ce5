"""Batch normalisation where several processes share each batch: of the whole batch, or of each one's share.

Letters: B images, C channels, H and W rows and columns.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from src.trainer.parallel.distributed import Processes
from src.util.share import Share


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm whose mean and variance are those of all processes' images together.

    torch's own SyncBatchNorm, which is used on GPUs, does not run on a CPU. Parameters and buffers have the
    names of `nn.BatchNorm2d`; outside training it is the same.

    References
    ----------
    .. [1] T. F. Chan, G. H. Golub, R. J. LeVeque, "Algorithms for Computing the Sample Variance: Analysis and
       Recommendations", The American Statistician 37(3), 1983. :DOI:`10.1080/00031305.1983.10483115`
    """

    processes: Processes

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1) -> None:
        super().__init__(num_features, eps, momentum)
        # The compiler would move what is exchanged, in each process elsewhere. Said here and not where the
        # class is made: it loads the compiler, for seconds, also for those who only ask for --help.
        self.forward = torch.compiler.disable(self.forward)  # type: ignore[method-assign]

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape; B may be 0 where another process has images."""
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
        """Mean and variance (C,) over all processes' images, and of how many pixels; in float64.

        Each process gives its own variance about its own mean, so that nothing cancels in 32 bits [1]_.
        """
        own = torch.zeros(2 * self.num_features + 1, dtype=torch.float64, device=x.device)
        if pixels := x[:, 0].numel():
            mean, variance = (v.double() for v in torch.batch_norm_update_stats(x, None, None, 0))
            own = pixels * torch.cat((mean, variance + mean.square(), own.new_ones(1)))
        total = self.processes.sum(own)
        mean, square = (total[:-1] / total[-1]).view(2, self.num_features)
        return mean, (square - mean.square()).clamp(min=0), total[-1]


class _Normalised(torch.autograd.Function):
    """Normalise by mean and variance (C,) of `pixels` pixels, those of all processes' `x` together.

    The gradients of weight and bias are those of this process's images, as are all others of the network.
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
        mixed = gradient.dtype != scale.dtype  # torch multiplies slowly what differs in type
        # As if mean and variance were constants ...
        direct, of_weight, of_bias = torch.zeros_like(x), torch.zeros_like(weight), torch.zeros_like(weight)
        if x.numel():
            direct, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
                gradient, x, weight, mean, variance, None, None, False, eps, [mixed, True, True]
            )
        # ... and what they owe to the pixels of all processes: batch norm with another scale and shift.
        means = context.processes.sum(torch.cat((of_weight, of_bias)).double()) / pixels
        factor, shift = (-scale * means.to(scale).view(2, -1)).unbind()
        of_x = F.batch_norm(x, mean, variance, factor, shift, eps=eps)
        of_x = of_x.add_(direct) if mixed else of_x.addcmul_(gradient, scale[:, None, None])
        return of_x, of_weight, of_bias, None, None, None, None, None


def share_batch_norm(module: nn.Module, processes: Processes) -> None:
    """Let every batch norm inside a module see all processes' images; nothing for one alone.

    Parameters
    ----------
    module : nn.Module
        Changed in place; the names and values of its state stay. No optimiser knows its parameters yet.
    processes : Processes
        Those that share each batch.
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
    """Give all processes the mean of their running statistics, each weighed by its images.

    Where each process has statistics of its own, see `training.sync_bn`, these are what it validates by and
    what is saved. In each step: a mean that waited for that would make a resumed run another one.

    Parameters
    ----------
    module : nn.Module
        Whose batch norms are changed in place; a share without images has changed none of them.
    share : Share
        What of the latest batch this process has had.
    processes : Processes
        Those that share each batch.
    """
    if processes.alone:
        return
    names = ("running_mean", "running_var")
    running = [value for name, value in module.named_buffers() if name.endswith(names)]
    for value in running:
        value.mul_(share.images / share.total)
    processes.sum_each(running)
