"""Replace the NaN that marks missing values of an image."""

import torch
from torch import Tensor

from src.util.images.formats.holes import without_nan


def filled_in(image: Tensor) -> Tensor:
    """Replace NaN in an image (C, H, W) by values from around, as input for a network."""
    if not image.isnan().any():
        return image
    pixels, _ = without_nan(image.permute(1, 2, 0).numpy(force=True))
    return torch.from_numpy(pixels).permute(2, 0, 1).to(image.device)


def blackened(image: Tensor) -> Tensor:
    """Replace NaN in an image by 0, for display."""
    return image.masked_fill(image.isnan(), 0)
