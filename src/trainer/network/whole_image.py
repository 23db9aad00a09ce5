"""The interface for denoising whole images.

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
"""Reads an image's pixels (C, H, W) in [0, 1] at rows (H,) and columns (W,)."""
Writer = Callable[[int, Tensor], None]
"""Writes a band (C, rows, W) of the result that begins at a row."""


class WholeImage(Protocol):
    """Denoises images of any size in bounded memory.

    Subclasses implement `denoise_bands`.

    Attributes
    ----------
    module : DenoisingNetwork
        The network.
    """

    module: DenoisingNetwork

    def denoise(self, image: Tensor, name: str) -> Tensor:
        """Denoise one whole image.

        Parameters
        ----------
        image : Tensor
            (C, H, W) in [0, 1], on any device.
        name : str
            Name of the image, for error messages.

        Returns
        -------
        Tensor
            (C, H, W) float32 on the CPU, not clipped.

        Raises
        ------
        NonFiniteError, OutOfMemoryError
            See `denoise_bands`.
        """
        denoised = torch.empty(image.shape)

        def write(top: int, band: Tensor) -> None:
            denoised[:, top : top + band.shape[1]] = band

        height, width = image.shape[1:]
        self.denoise_bands(height, width, lambda rows, columns: image[:, rows[:, None], columns], write, name)
        return denoised

    @abstractmethod
    def denoise_bands(self, height: int, width: int, read: Reader, write: Writer, name: str) -> None:
        """Denoise one image of any size band by band, without holding all of it in memory.

        Parameters
        ----------
        height, width : int
            Size of the image, px.
        read : Reader
            Reads parts of the image.
        write : Writer
            Called with bands of the result, on the CPU, from the top down. Starts again at the top if memory
            runs out.
        name : str
            Name of the image, for error messages.

        Raises
        ------
        NonFiniteError
            If the network's output contains NaN or infinity.
        OutOfMemoryError
            If memory does not suffice even for the smallest part.
        """


def expect_finite(denoised: Tensor, name: str) -> None:
    """Raise a NonFiniteError if a result contains NaN or infinity."""
    if not torch.isfinite(denoised).all():
        raise NonFiniteError(f"{name}: the network's output is not finite; its weights are broken")
