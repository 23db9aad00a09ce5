"""The two-level U-Net of N2V2, which avoids checkerboard artefacts."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from src.model.base import AlignCorners, InChannels
from src.model.blocks import MaxBlurPool, UShape


class UNet2(UShape):
    """U-Net of two levels with blurred pooling and no skip connection at the top.

    Parameters
    ----------
    in_channels, features, upsample_align_corners
        See `UNet`; `features` has two entries.

    Raises
    ------
    ValueError
        If `features` does not have two entries.

    References
    ----------
    .. [1] E. Höck, T.-O. Buchholz, A. Brachmann, F. Jug, A. Freytag, "N2V2 - Fixing Noise2Void Checkerboard
       Artifacts with Modified Sampling Strategies and a Tweaked Network Architecture", ECCV Workshops 2022.
       :DOI:`10.1007/978-3-031-25069-9_33`

    Examples
    --------
    >>> UNet2(features=(8, 16)).stride
    4
    """

    def __init__(
        self,
        in_channels: InChannels = 3,
        features: Annotated[
            Sequence[Annotated[int, Field(ge=1)]],
            Field(min_length=2, max_length=2, description="channels at full and at half size"),
        ] = (96, 192),
        upsample_align_corners: AlignCorners = True,
    ) -> None:
        if len(features) != 2:
            raise ValueError(f"features: expected two widths for UNet2, got {list(features)}")
        super().__init__(
            in_channels, features, pool=MaxBlurPool(), top_skip=False, align_corners=upsample_align_corners
        )
