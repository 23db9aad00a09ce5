"""What every way of denoising whole images offers.

Shape letters: C channels, H rows, W columns.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from src.model import DenoisingNetwork
from src.util.errors import NonFiniteError

Reader = Callable[[np.ndarray, np.ndarray], Tensor]
"""Gives an image's pixels (C, H, W) in [0, 1] at these rows (H,) and columns (W,)."""
Writer = Callable[[int, Tensor], None]
"""Takes a band (C, rows, W) of the result, and its first row."""


class WholeImage(Protocol):
    """Denoises images of any size within bounded memory.

    A class that inherits from it writes `denoise_bands`.

    Attributes
    ----------
    module : DenoisingNetwork
        What it denoises with.
    """

    module: DenoisingNetwork

    def denoise(self, image: Tensor, name: str) -> Tensor:
        """Denoise one whole image, as it is.

        Parameters
        ----------
        image : Tensor
            (C, H, W) in [0, 1], on any device.
        name : str
            Said when something is wrong with the result.

        Returns
        -------
        Tensor
            (C, H, W) float32 on the CPU, not clipped.

        Raises
        ------
        NonFiniteError
            When the network gives NaN or infinity: such an image is never scored nor written.
        """
        denoised = torch.empty(image.shape)

        def write(top: int, band: Tensor) -> None:
            denoised[:, top : top + band.shape[1]] = band

        height, width = image.shape[1:]
        self.denoise_bands(height, width, lambda rows, columns: image[:, rows[:, None], columns], write, name)
        return denoised

    @abstractmethod
    def denoise_bands(self, height: int, width: int, read: Reader, write: Writer, name: str) -> None:
        """Denoise one image of any size; `denoise` for images that are no tensors.

        Parameters
        ----------
        height, width : int
            Of the image, px.
        read : Reader
            Gives parts of the image.
        write : Writer
            Takes the result, on the CPU; may begin again at the top when memory runs out on the way.
        name : str
            Said when something is wrong with the result.

        Raises
        ------
        NonFiniteError
            When the network gives NaN or infinity.
        OutOfMemoryError
            When memory does not even suffice for the smallest part.
        """


def expect_finite(denoised: Tensor, name: str) -> None:
    """Refuse a result with NaN or infinity."""
    if not torch.isfinite(denoised).all():
        raise NonFiniteError(f"{name}: the network's output is not finite; its weights are broken")
