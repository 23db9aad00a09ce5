"""Denoising networks: `MODELS` (what `model.type` names) and `NETWORKS` (what `bsn` names).

`denoiser` holds the network of a run, `unet` or `unet2`, made of `blocks`; `folded` is one made faster for
use.
"""

from src.model.blocks import UShape, Window
from src.model.denoiser import NETWORKS, NL_BSN
from src.model.folded import folded
from src.model.unet import UNet
from src.model.unet2 import UNet2

MODELS = {"NL_BSN": NL_BSN}

__all__ = ["MODELS", "NETWORKS", "NL_BSN", "UNet", "UNet2", "UShape", "Window", "folded"]
