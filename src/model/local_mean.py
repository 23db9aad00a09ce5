"""The local mean of images, to which a network adds detail.

Shape letters: B images, C channels, H rows, W columns.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LocalMean(nn.Module):
    """Gaussian blur of each channel, in float32 even under autocast.

    Parameters
    ----------
    sigma : float
        Standard deviation of the Gaussian, px; it is cut off at three standard deviations.

    Attributes
    ----------
    radius : int
        Radius of the kernel, px.
    """

    weights: Tensor

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.radius = math.ceil(3 * sigma)
        weights = [math.exp(-0.5 * (offset / sigma) ** 2) for offset in range(-self.radius, self.radius + 1)]
        # Python numbers: arithmetic on the meta device would load PyTorch's compiler, which takes seconds.
        normalised = torch.tensor([weight / math.fsum(weights) for weight in weights])
        self.register_buffer("weights", normalised, persistent=False)  # not part of checkpoints

    def forward(self, x: Tensor) -> Tensor:
        """Blur (B, C, H, W), any H and W from 1 on; the border pixels are repeated outside."""
        channels = x.shape[1]
        rows = self.weights[None, None, :, None].expand(channels, 1, -1, 1)
        with torch.autocast(x.device.type, enabled=False):
            padded = F.pad(x.float().contiguous(), [self.radius] * 4, mode="replicate")
            down = F.conv2d(padded, rows, groups=channels)
            return F.conv2d(down, rows.transpose(2, 3), groups=channels)
