"""Batch norm that no longer looks at the batch."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def freeze_norm(module: nn.Module) -> None:
    """Let each batch norm inside a module in training use its running statistics, as it does afterwards.

    What a network has learnt under the statistics of batches may fail under the running ones, far from their
    mean; with them it learns what it is used with.
    """
    for part in module.modules():
        if isinstance(part, _BatchNorm):
            part.eval()
