"""The self-supervised loss as a score for images without ground truth.

Shape letters: B blocks, C channels, H rows, W columns.
"""

import math
from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from src.loss import Loss
from src.masker import Masker
from src.trainer.config.build import build_loss, build_masker
from src.trainer.config.run_config import RunConfig
from src.trainer.evaluation.no_data import filled_in
from src.trainer.network.network import Network
from src.trainer.objective import OBJECTIVES
from src.util.logger import LOG
from src.util.seed import make_generator

BLOCK = 256
"""Edge of the scored blocks, px."""


class MaskedLoss:
    """The loss at blind spots that are the same in each validation.

    It covers at most four blocks of an image, so a photograph costs no more than a crop. It is divided by the
    hidden share, so that images of different sizes can be compared and averaged.

    Parameters
    ----------
    masker : Masker
        The training's masker.
    loss : Loss
        The training's loss, at its full weights.
    seed : int
        The run's seed. It determines an image's blind spots together with the image's index.
    """

    def __init__(self, masker: Masker, loss: Loss, seed: int) -> None:
        self.masker = masker
        self.loss = loss
        self.seed = seed
        self._refused = False

    def suits(self, noisy: Tensor, name: str) -> bool:
        """Return whether an image (C, H, W) can be masked; log a warning for the first that cannot."""
        try:
            self.masker.check_size(*(min(edge, BLOCK) for edge in noisy.shape[1:]))
        except ValueError as error:
            if not self._refused:
                LOG.warning("%s: no masked loss, nor for images like it: %s", name, error)
            self._refused = True
            return False
        return True

    def __call__(self, network: Network, noisy: Tensor, index: int) -> float:
        """Compute the loss of one image.

        Parameters
        ----------
        network : Network
            Network on any device.
        noisy : Tensor, shape (C, H, W)
            Values in [0, 1]. NaN is not counted.
        index : int
            The image's index in its dataset.

        Returns
        -------
        float
            Loss per hidden value; NaN if none is hidden.
        """
        name = f"image {index}, masked"
        return self.of(lambda image: network.denoise(image, name), noisy.to(network.device), index)

    @torch.no_grad()
    def of(self, denoise: Callable[[Tensor], Tensor], noisy: Tensor, index: int) -> float:
        """Compute the loss of any function that denoises an image (C, H, W); see `__call__`."""
        blocks, known = blocks_of(filled_in(noisy)), blocks_of(~noisy.isnan().any(0, keepdim=True))
        masked = self.masker.mask(blocks, make_generator(self.seed, "validation mask", index))
        counted = masked.mask * known
        hidden = counted.mean().item()
        if not hidden:
            return math.nan
        denoised = torch.stack([denoise(image).to(blocks.device) for image in masked.image])
        value = self.loss(denoised, blocks, counted, 1.0)
        return value.total.item() / hidden  # the loss is a mean over all values, hidden or not


def masked_loss_of(config: RunConfig) -> MaskedLoss | None:
    """Return the masked loss of a run, or None if its training hides nothing."""
    if not OBJECTIVES[config.training.objective].hides:
        return None
    return MaskedLoss(build_masker(config), build_loss(config), config.seed)


def blocks_of(image: Tensor) -> Tensor:
    """Return a block of each quarter of an image (C, H, W), or of each half or the middle of a smaller one.

    Returns
    -------
    Tensor
        Shape (B, C, H, W); H and W are at most `BLOCK`.
    """
    rows, columns = (_starts(edge) for edge in image.shape[1:])
    blocks = [image[:, top : top + BLOCK, left : left + BLOCK] for top, left in product(rows, columns)]
    return torch.stack(blocks)


def _starts(edge: int) -> list[int]:
    count = 1 if edge < 2 * BLOCK else 2
    return [max(0, (2 * part + 1) * edge // (2 * count) - BLOCK // 2) for part in range(count)]
