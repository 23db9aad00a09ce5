"""Detect networks that have learned nothing or diverged."""

import math
from collections.abc import Iterable

import numpy as np
from torch import Tensor

from src.trainer.evaluation.masked_loss import MaskedLoss
from src.trainer.evaluation.no_data import filled_in
from src.trainer.network.network import Network

# Edge, px, of the blocks whose means tell an image from noise on a plain background.
_BLOCK = 16
_LEAST = 3 * _BLOCK
# An image is plain if its block means deviate by a smaller share of the data range. A result is blank if its
# block means deviate by a smaller share of the image's deviation.
_PLAIN, _KEPT = 0.01, 0.05
# A failed network's loss exceeds the input's by this factor, and exceeds that of the image's mean colour.
_FAR_ABOVE = 2.0

BLANK = "the result is nearly constant, the image is not: this network has not learned to denoise it"


def is_blank(noisy: np.ndarray, denoised: np.ndarray, data_range: float = 1.0) -> bool:
    """Return whether a result is nearly constant although its image is not.

    Parameters
    ----------
    noisy, denoised : ndarray, shape (H, W, C)
        Images of the same type.
    data_range : float
        The data range.
    """
    if min(noisy.shape[:2]) < _LEAST:  # too few blocks
        return False
    before = _structure(noisy)
    return before > _PLAIN * data_range and _structure(denoised) < _KEPT * before


def as_array(image: Tensor) -> np.ndarray:
    """Convert an image (C, H, W) on the CPU to an array (H, W, C)."""
    array: np.ndarray = image.permute(1, 2, 0).numpy()
    return array


def _structure(image: np.ndarray) -> float:
    """Return the standard deviation of block means, in the channel where it is largest."""
    rows, columns = (edge // _BLOCK for edge in image.shape[:2])
    cut = image[: rows * _BLOCK, : columns * _BLOCK].reshape(rows, _BLOCK, columns, _BLOCK, -1)
    return float(cut.mean(axis=(1, 3), dtype=np.float64).std(axis=(0, 1)).max())


def came_to_nothing(network: Network, noisy: Iterable[Tensor], masked_loss: MaskedLoss | None) -> str | None:
    """Return the evidence that a training has failed, or None.

    Parameters
    ----------
    network : Network
        The network after its training.
    noisy : iterable of Tensor
        A few images (C, H, W) in [0, 1]. NaN is not counted.
    masked_loss : MaskedLoss or None
        The training's masked loss; None if it hides nothing.
    """
    blank, losses = [], []
    for index, image in enumerate(noisy):
        seen = filled_in(image)
        denoised = network.denoise(seen, f"image {index}")
        blank.append(is_blank(as_array(seen), as_array(denoised)))
        if masked_loss and masked_loss.suits(image, f"image {index}"):
            losses.append(
                (masked_loss(network, image, index), masked_loss.of(lambda image: image, image, index),
                 masked_loss.of(_mean_colour, image, index))
            )  # fmt: skip
    if blank and all(blank):
        return "its results are nearly constant, the images are not"
    own, of_input, of_colour = np.nansum(np.array(losses).reshape(-1, 3), axis=0)
    if own > _FAR_ABOVE * of_input and own > of_colour:
        ratio = own / of_input if of_input else math.inf
        return f"its error at hidden pixels is {ratio:.3g} times that of the unchanged input"
    return None


def _mean_colour(image: Tensor) -> Tensor:
    return image.mean((1, 2), keepdim=True).expand_as(image)
