"""The interface of all networks, for images and for tiles of images.

Shape letters: B images, C channels, H rows, W columns.
"""

from typing import Annotated, NamedTuple

from pydantic import Field
from torch import Tensor, nn

InChannels = Annotated[int, Field(ge=1, description="channels of the image, in and out")]
AlignCorners = Annotated[bool, Field(description="upsample with the corner pixels in place, as published")]


class Window(NamedTuple):
    """The position of a tile in its image, and the size of that image, px, all multiples of the stride."""

    top: int
    left: int
    height: int
    width: int

    def reduced(self, stride: int) -> "Window":
        """Return the window on a map that is smaller by a factor of `stride`."""
        return Window(*(edge // stride for edge in self))


class DenoisingNetwork(nn.Module):
    """A network that maps noisy to denoised images.

    Subclasses implement `forward`; the other members have defaults. The constructor takes `in_channels` and
    optionally `features` and `upsample_align_corners`; see `NL_BSN`.

    Attributes
    ----------
    stride : int
        Heights and widths of inputs, and the edges of tiles, are multiples of this, px.
    receptive_radius : int or None
        Radius of the receptive field, px: a tile's result differs from the whole image's up to this distance
        from the tile's inner edges. None = unknown; images are then only tiled with an explicit overlap.
    """

    stride: int = 1
    receptive_radius: int | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Denoise images.

        Parameters
        ----------
        x : Tensor
            Images (B, C, H, W), H and W multiples of `stride`, values in about [0, 1].

        Returns
        -------
        Tensor
            Denoised images of the same shape, not clipped.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement `forward`")

    def forward_tile(self, x: Tensor, window: Window) -> Tensor:
        """Denoise tiles.

        Parameters
        ----------
        x : Tensor
            As for `forward`.
        window : Window
            Position of the tiles in their images, for networks that depend on it.

        Returns
        -------
        Tensor
            Denoised tiles, equal to `forward` of the whole images beyond `receptive_radius` from the tiles'
            inner edges.
        """
        denoised: Tensor = self(x)
        return denoised
