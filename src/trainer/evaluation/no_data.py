"""Images in which NaN stands for values that there are none of."""

import torch
from torch import Tensor

from src.util.images.formats.holes import without_nan


def filled_in(image: Tensor) -> Tensor:
    """An image (C, H, W) as a network can see it: values from around for NaN; itself where there is none."""
    if not image.isnan().any():
        return image
    pixels, _ = without_nan(image.permute(1, 2, 0).numpy(force=True))
    return torch.from_numpy(pixels).permute(2, 0, 1).to(image.device)


def blackened(image: Tensor) -> Tensor:
    """An image with 0 for NaN, as it is shown; itself where there is none."""
    missing = image.isnan()
    return image.masked_fill(missing, 0) if missing.any() else image
