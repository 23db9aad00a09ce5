"""The plain U-Net, any number of levels."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from torch import nn

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
        Whether enlargements keep the corner pixels in place, as published; otherwise the borders.

    References
    ----------
    .. [1] O. Ronneberger, P. Fischer and T. Brox, "U-Net: Convolutional Networks for Biomedical Image
       Segmentation", MICCAI 2015. :DOI:`10.1007/978-3-319-24574-4_28`

    Examples
    --------
    >>> UNet(features=(8, 16, 32)).stride
    8
    """

    def __init__(
        self,
        in_channels: Annotated[int, Field(ge=1, description="channels of the image, in and out")] = 3,
        features: Annotated[
            Sequence[Annotated[int, Field(ge=1)]],
            Field(min_length=1, description="channels at each level, from the top (full size) down"),
        ] = (64, 128, 256, 512),
        upsample_align_corners: Annotated[
            bool, Field(description="enlarge with the corner pixels in place, as published")
        ] = True,
    ) -> None:
        super().__init__(
            in_channels, features, pool=nn.MaxPool2d(2), top_skip=True, align_corners=upsample_align_corners
        )
