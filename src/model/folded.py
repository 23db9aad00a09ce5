"""The same network for inference, its batch norms folded into the convolutions before them."""

from copy import copy
from itertools import pairwise
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

AnyModule = TypeVar("AnyModule", bound=nn.Module)


@torch.no_grad()
def folded(module: AnyModule) -> AnyModule:
    """A network without batch norms that gives the same but for rounding.

    Outside training a batch norm multiplies each channel and adds to it, which the convolution before it can
    do as well. Each one saves a pass over memory.

    Parameters
    ----------
    module : Module
        In eval mode; not changed. Pairs of convolution and batch norm are looked for in each `nn.Sequential`.

    Returns
    -------
    Module
        In eval mode, with the weights that `module` has now; those of other layers are shared with it.
    """
    layers = dict(module.named_children())
    if isinstance(module, nn.Sequential):
        for (conv_name, conv), (norm_name, norm) in pairwise(list(layers.items())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                layers[conv_name] = fuse_conv_bn_eval(conv, norm)
                layers[norm_name] = nn.Identity()
    twin = copy(module)
    twin._modules = {name: folded(layer) for name, layer in layers.items()}
    return twin
