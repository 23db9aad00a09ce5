"""Batch normalisation where several processes share each batch: of the whole batch, or of each one's share.

Letters: B images, C channels, H and W rows and columns.
"""

from typing import Any

import torch
from torch import Tensor, nn

from src.trainer.distributed import Processes
from src.util.share import Share


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm whose mean and variance are those of all processes' images together, on any device.

    torch's own SyncBatchNorm, which is used on GPUs, does not run on a CPU. Parameters and buffers have the
    names of `nn.BatchNorm2d`; outside training it is the same.
    """

    processes: Processes

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape; B may be 0 where another process has images."""
        if not self.training:
            return super().forward(x)
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        images, channels, height, width = x.shape
        values = x.to(torch.promote_types(x.dtype, torch.float32))
        count = torch.full((1,), images * height * width, dtype=torch.float64, device=x.device)
        # Their difference cancels, hence 64 bits.
        moments = (
            values.sum((0, 2, 3), dtype=torch.float64),
            values.square().sum((0, 2, 3), dtype=torch.float64),
        )
        total = _Sum.apply(torch.cat((*moments, count)), self.processes)
        number = total[-1].detach()
        mean, square = (total[:-1] / number).view(2, channels)
        variance = square - mean.square()
        with torch.no_grad():
            self.running_mean.lerp_(mean.float(), self.momentum)
            self.running_var.lerp_((variance * (number / (number - 1))).float(), self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked += 1
        scale = self.weight * (variance.clamp(min=0) + self.eps).rsqrt().float()
        shift = self.bias - mean.float() * scale
        return torch.addcmul(shift[:, None, None], values, scale[:, None, None]).to(x.dtype)


class _Sum(torch.autograd.Function):
    """Sum over the processes; so is its gradient, as each of them uses the sum."""

    @staticmethod
    def forward(context: Any, values: Tensor, processes: Processes) -> Tensor:
        context.processes = processes
        return processes.sum(values)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return context.processes.sum(gradients[0].contiguous()), None


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
