"""Calling the network: precision and memory layout in one place, for training and inference alike."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from src.util.errors import NonFiniteError


@dataclass(frozen=True)
class Network:
    """A denoiser on its device, with the precision it is run in.

    Parameters
    ----------
    module : nn.Module
        Takes and gives (B, C, H, W).
    device : torch.device
        Where its weights are.
    precision : {"fp32", "bf16"}
        `bf16` runs convolutions under autocast; the result is float32 again.
    channels_last : bool
        Whether inputs and weights are laid out NHWC.
    """

    module: nn.Module
    device: torch.device
    precision: Literal["fp32", "bf16"] = "fp32"
    channels_last: bool = False

    def __post_init__(self) -> None:
        self.module.to(device=self.device, memory_format=self._layout)  # type: ignore[call-overload]

    @property
    def _layout(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def __call__(self, images: Tensor) -> Tensor:
        """Denoise images (B, C, H, W) in [0, 1] on the device; float32, not clipped."""
        images = images.contiguous(memory_format=self._layout)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            denoised: Tensor = self.module(images)
        return denoised.float()

    @torch.no_grad()
    def denoise(self, image: Tensor, name: str) -> Tensor:
        """Denoise one whole picture, as it is, once.

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
            When the network gives NaN or infinity: such a picture is never scored nor written.
        """
        was_training = self.module.training
        self.module.eval()
        try:
            denoised = self(image[None].to(self.device))[0].cpu()
        finally:
            self.module.train(was_training)
        if not torch.isfinite(denoised).all():
            raise NonFiniteError(f"{name}: the network's output is not finite; its weights are broken")
        return denoised
