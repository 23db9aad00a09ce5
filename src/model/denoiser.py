"""`NL_BSN`: the network of a run, for images of any size.

Shape letters: B images, C channels, H rows, W columns.
"""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from src.model.base import AlignCorners, DenoisingNetwork, InChannels, Window
from src.model.local_mean import LocalMean
from src.model.unet import UNet
from src.model.unet2 import UNet2
from src.util.config.schema import nearest

NETWORKS: dict[str, type[DenoisingNetwork]] = {"UNet": UNet, "UNet2": UNet2}
"""The values of the configuration key `model.kwargs.bsn`."""

DETAIL_GAIN = 4.0
"""Factor applied to detail, whose standard deviation is about a quarter of an image's."""


class NL_BSN(DenoisingNetwork):  # noqa: N801  (the name is part of published YAML files)
    """Blind-spot denoiser: a network chosen by name, extended to images of any size.

    Parameters
    ----------
    bsn : str
        Name of the network, a key of `NETWORKS`.
    in_channels : int
        Channels of the image, in and out.
    features : list of int, optional
        Channels at each level of the network; None = the network's default.
    upsample_align_corners : bool
        Whether upsampling keeps the corner pixels in place, as published. With False the network is
        independent of the image size and of the position in the image.
    unshuffle : int
        Edge of the squares of pixels that become channels, px, for networks that have this option.
    local_mean : float, optional
        Sigma of a Gaussian, px. With b the blurred image and n the network, the result is
        b + n(4 (x - b)) / 4: the network sees and predicts only detail, and need not learn colours. None
        gives n(x).
    pd_training, pd_testing : int
        Pixel-shuffle strides of published YAML files, accepted without effect.

    Attributes
    ----------
    bsn : DenoisingNetwork
        The wrapped network, which only takes multiples of its `stride`.

    Raises
    ------
    ValueError
        If no network has that name, or the network does not have one of the given options.
    """

    def __init__(
        self,
        bsn: Annotated[str, Field(description="network: UNet or UNet2")] = "UNet2",
        in_channels: InChannels = 3,
        features: Annotated[
            list[Annotated[int, Field(ge=1)]] | None,
            Field(description="channels at each level, from the top down; null = the network's default"),
        ] = None,
        upsample_align_corners: AlignCorners = True,
        unshuffle: Annotated[
            int,
            Field(
                ge=1,
                le=8,
                description="UNet only: edge of the squares of pixels that become channels, px;"
                " 2 = a quarter of the pixels and two fifths of the time",
            ),
        ] = 1,
        local_mean: Annotated[
            float | None,
            Field(
                gt=0,
                le=64,
                description="sigma, px, of the Gaussian mean to which the network adds detail;"
                " null = it predicts the image itself, as published",
            ),
        ] = None,
        pd_training: Annotated[int, Field(ge=1, description="pixel-shuffle stride; without effect")] = 5,
        pd_testing: Annotated[int, Field(ge=1, description="pixel-shuffle stride; without effect")] = 2,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        if bsn not in NETWORKS:
            raise ValueError(f"bsn: expected the name of a network, got '{bsn}'{nearest(bsn, NETWORKS)}")
        network = NETWORKS[bsn]
        own = {"features": features, "upsample_align_corners": upsample_align_corners, "unshuffle": unshuffle}
        self.bsn = network(in_channels=in_channels, **_taken(network, own))
        self.stride, self.receptive_radius = self.bsn.stride, self.bsn.receptive_radius
        self.local_mean = None if local_mean is None else LocalMean(local_mean)
        if self.local_mean is not None and self.receptive_radius is not None:
            # The network's radius counts from multiples of its stride.
            self.receptive_radius += -(-self.local_mean.radius // self.stride) * self.stride

    def forward(self, x: Tensor) -> Tensor:
        """Denoise images.

        Parameters
        ----------
        x : Tensor
            Images (B, C, H, W), any H and W from 1 on, values in about [0, 1]. Not modified.

        Returns
        -------
        Tensor
            Denoised images of the same shape, not clipped.

        Notes
        -----
        Images are extended to the right and below to multiples of the network's stride, by reflection or, if
        they are too small for that, by repeating the edge. The result is cropped again; nothing is resampled.
        """
        height, width = x.shape[-2:]
        padded = _pad_to_multiple(x, self.bsn.stride)
        return self._over_mean(self.bsn, padded)[..., :height, :width]

    def forward_tile(self, x: Tensor, window: Window) -> Tensor:
        """Denoise tiles; see `DenoisingNetwork`."""
        return self._over_mean(lambda tile: self.bsn.forward_tile(tile, window), x)

    def _over_mean(self, network: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Apply a network to images, or to their detail over the local mean."""
        if self.local_mean is None:
            return network(x)
        mean = self.local_mean(x)
        return mean + network(DETAIL_GAIN * (x - mean)).float() / DETAIL_GAIN


def _taken(network: type[DenoisingNetwork], own: dict[str, Any]) -> dict[str, Any]:
    """Select the options that a network has, without None. The others must have their default values."""
    taken = inspect.signature(network).parameters
    defaults = inspect.signature(NL_BSN).parameters
    for name, value in own.items():
        if name not in taken and value != defaults[name].default:
            raise ValueError(f"{name}: {network.__name__} has no such option; leave it out")
    return {name: value for name, value in own.items() if name in taken and value is not None}


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
