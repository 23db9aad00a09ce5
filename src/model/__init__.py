"""Denoising networks: `MODELS` (what `model.type` names) and `NETWORKS` (what `bsn` names).

`base` says what a network offers. `denoiser` holds the one of a run, `unet` or `unet2`, made of `blocks`,
over the `local_mean` where it is asked for; `folded` is one made faster for use.
"""

from src.model.base import DenoisingNetwork, Window
from src.model.denoiser import NETWORKS, NL_BSN
from src.model.folded import folded
from src.model.unet import UNet
from src.model.unet2 import UNet2

MODELS: dict[str, type[DenoisingNetwork]] = {"NL_BSN": NL_BSN}
"""What a configuration's `model.type` may be."""

__all__ = ["MODELS", "NETWORKS", "NL_BSN", "DenoisingNetwork", "UNet", "UNet2", "Window", "folded"]
