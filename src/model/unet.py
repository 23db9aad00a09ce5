"""The plain U-Net, any number of levels."""

from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from src.model.base import AlignCorners, InChannels, Window
from src.model.blocks import UShape


class UNet(UShape):
    """U-Net with batch norm, 2x2 max pooling and a skip connection at every level.

    Parameters
    ----------
    in_channels : int
        Channels of the image, in and out.
    features : sequence of int
        Channels at each level from the top down; one level per entry.
    upsample_align_corners : bool
        Whether upsampling keeps the corner pixels in place, as published, or the borders.
    unshuffle : int
        Edge of the squares of pixels that become channels before the first level, and pixels again after the
        last, px. With 2 the network works on a quarter of the pixels, in two fifths of the time [2]_.

    References
    ----------
    .. [1] O. Ronneberger, P. Fischer and T. Brox, "U-Net: Convolutional Networks for Biomedical Image
       Segmentation", MICCAI 2015. :DOI:`10.1007/978-3-319-24574-4_28`
    .. [2] K. Zhang, W. Zuo and L. Zhang, "FFDNet: Toward a Fast and Flexible Solution for CNN-Based Image
       Denoising", IEEE Transactions on Image Processing 27(9), 2018. :DOI:`10.1109/TIP.2018.2839891`

    Examples
    --------
    >>> UNet(features=(8, 16, 32)).stride
    8
    """

    def __init__(
        self,
        in_channels: InChannels = 3,
        features: Annotated[
            Sequence[Annotated[int, Field(ge=1)]],
            Field(min_length=1, description="channels at each level, from the top (full size) down"),
        ] = (64, 128, 256, 512),
        upsample_align_corners: AlignCorners = True,
        unshuffle: Annotated[
            int, Field(ge=1, le=8, description="edge of the squares of pixels that become channels, px")
        ] = 1,
    ) -> None:
        super().__init__(
            in_channels * unshuffle**2, features, pool=nn.MaxPool2d(2), top_skip=True,
            align_corners=upsample_align_corners,
        )  # fmt: skip
        self._unshuffle = unshuffle
        self.stride *= unshuffle
        self.receptive_radius = (self.receptive_radius + 1) * unshuffle - 1

    def _denoise(self, x: Tensor, window: Window | None) -> Tensor:
        if self._unshuffle == 1:
            return super()._denoise(x, window)
        layout = torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else None
        x = F.pixel_unshuffle(x, self._unshuffle)
        x = x.contiguous(memory_format=layout) if layout else x
        x = super()._denoise(x, window and window.reduced(self._unshuffle))
        return F.pixel_shuffle(x, self._unshuffle)
