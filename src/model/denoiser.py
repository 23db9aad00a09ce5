"""`NL_BSN`: the network of a run, for images of any size.

Shape letters: B images, C channels, H rows, W columns.
"""

from collections.abc import Callable
from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from src.model.blocks import UShape, Window
from src.model.unet import UNet
from src.model.unet2 import UNet2
from src.util.config.schema import nearest

NETWORKS: dict[str, Callable[..., UShape]] = {"UNet": UNet, "UNet2": UNet2}


class NL_BSN(nn.Module):  # noqa: N801  (the name is part of published YAML files)
    """Blind-spot denoiser: a network chosen by name, fed with images of any size.

    Parameters
    ----------
    bsn : str
        Name of the network, a key of `NETWORKS`.
    in_channels : int
        Channels of the image, in and out.
    features : list of int, optional
        Channels at each level of the network; None takes the network's own default.
    upsample_align_corners : bool
        Whether enlargements keep the corner pixels in place, as published. With False a network does the same
        everywhere in a picture of any size.
    pd_training, pd_testing : int
        Pixel-shuffle strides of published YAML files, accepted and without effect.

    Attributes
    ----------
    bsn : UShape
        The network itself, which takes multiples of its `stride` only.
    in_channels : int
        As given.

    Raises
    ------
    ValueError
        If there is no network of that name, or `features` does not suit it.

    References
    ----------
    .. [1] A. Krull, T.-O. Buchholz and F. Jug, "Noise2Void - Learning Denoising from Single Noisy Images",
       CVPR 2019. :DOI:`10.1109/CVPR.2019.00223`
    """

    def __init__(
        self,
        bsn: Annotated[str, Field(description="network: UNet or UNet2")] = "UNet2",
        in_channels: Annotated[int, Field(ge=1, description="channels of the image, in and out")] = 3,
        features: Annotated[
            list[Annotated[int, Field(ge=1)]] | None,
            Field(description="channels at each level, from the top down; null = the network's default"),
        ] = None,
        upsample_align_corners: Annotated[
            bool, Field(description="enlarge with the corner pixels in place, as published")
        ] = True,
        pd_training: Annotated[int, Field(ge=1, description="pixel-shuffle stride; without effect")] = 5,
        pd_testing: Annotated[int, Field(ge=1, description="pixel-shuffle stride; without effect")] = 2,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        network = _network(bsn)
        widths = () if features is None else (features,)
        self.bsn = network(in_channels, *widths, upsample_align_corners=upsample_align_corners)

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        """Denoise images.

        Parameters
        ----------
        x : Tensor
            Images, (B, C, H, W), any H and W from 1 on, values about [0, 1]. Not modified.
        window : Window, optional
            Where in their pictures the images lie, if they are tiles; see `UShape`.

        Returns
        -------
        Tensor
            Denoised images of the same shape, not clipped.

        Notes
        -----
        Sizes that the network's stride does not divide are extended to the right and below by reflection
        (by repeating the edge where the image is too small to reflect), and the result is cut back. Nothing
        is resampled. Sizes that it divides reach the network as they are.
        """
        height, width = x.shape[-2:]
        padded = _pad_to_multiple(x, self.bsn.stride)
        return self.bsn(padded, window)[..., :height, :width]


def _network(name: str) -> Callable[..., UShape]:
    if name in NETWORKS:
        return NETWORKS[name]
    raise ValueError(f"bsn: expected the name of a network, got '{name}'{nearest(name, NETWORKS)}")


def _pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Extend (B, C, H, W) to the right and below until `multiple` divides H and W."""
    below, right = (-x.shape[-2] % multiple, -x.shape[-1] % multiple)
    for missing, size, padding in (
        (below, x.shape[-2], (0, 0, 0, below)),
        (right, x.shape[-1], (0, right, 0, 0)),
    ):
        if missing:
            x = F.pad(x, padding, mode="reflect" if missing < size else "replicate")
    return x
