"""Denoising networks: `MODELS` (the values of `model.type`) and `NETWORKS` (the values of `bsn`).

`base` defines the interface. `denoiser` wraps the network of a run: `unet` or `unet2`, built from `blocks`,
optionally on top of a `local_mean`. `folded` speeds a network up for inference.
"""

from src.model.base import DenoisingNetwork, Window
from src.model.denoiser import NETWORKS, NL_BSN
from src.model.folded import folded
from src.model.unet import UNet
from src.model.unet2 import UNet2

MODELS: dict[str, type[DenoisingNetwork]] = {"NL_BSN": NL_BSN}
"""The values of the configuration key `model.type`."""

__all__ = ["MODELS", "NETWORKS", "NL_BSN", "DenoisingNetwork", "UNet", "UNet2", "Window", "folded"]
