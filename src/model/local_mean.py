"""The local mean of images, beside which a network predicts detail alone.

Shape letters: B images, C channels, H rows, W columns.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LocalMean(nn.Module):
    """Gaussian blur of each channel, in float32 whatever the precision.

    Parameters
    ----------
    sigma : float
        Standard deviation of the Gaussian, px. It is cut off at three times that.

    Attributes
    ----------
    radius : int
        How far it looks, px.
    """

    weights: Tensor

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.radius = math.ceil(3 * sigma)
        weights = [math.exp(-0.5 * (offset / sigma) ** 2) for offset in range(-self.radius, self.radius + 1)]
        # In numbers: arithmetic on a device without values would load PyTorch's compiler, for seconds.
        normalised = torch.tensor([weight / math.fsum(weights) for weight in weights])
        self.register_buffer("weights", normalised, persistent=False)  # no part of the trained weights

    def forward(self, x: Tensor) -> Tensor:
        """Blur (B, C, H, W), any H and W from 1 on; beyond the border the nearest pixel counts."""
        channels = x.shape[1]
        rows = self.weights[None, None, :, None].expand(channels, 1, -1, 1)
        with torch.autocast(x.device.type, enabled=False):
            padded = F.pad(x.float().contiguous(), [self.radius] * 4, mode="replicate")
            down = F.conv2d(padded, rows, groups=channels)
            return F.conv2d(down, rows.transpose(2, 3), groups=channels)
