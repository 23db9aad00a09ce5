"""What every network offers, for images and for tiles of them.

Shape letters: B images, C channels, H rows, W columns.
"""

from typing import NamedTuple

from torch import Tensor, nn


class Window(NamedTuple):
    """Where a tile lies in its image, in pixels of the map it is about, all multiples of the stride."""

    top: int
    left: int
    height: int
    """Of the whole image, as `width`."""
    width: int

    def reduced(self, stride: int) -> "Window":
        """The same window on a map that is smaller by `stride`."""
        return Window(*(edge // stride for edge in self))


class DenoisingNetwork(nn.Module):
    """A network from noisy to denoised images.

    A class that inherits from it writes `forward`; what else it leaves out is as it stands here. Its
    constructor takes `in_channels`, and if it can `features` and `upsample_align_corners`; see `NL_BSN`.

    Attributes
    ----------
    stride : int
        Height and width of what it is given are multiples of this, in px, and so are the edges of tiles.
    receptive_radius : int or None
        How far it looks: so far from its inner edges, in px, a tile differs from the whole image. None =
        not known; images are then cut into tiles only where the user says how far these must overlap.
    """

    stride: int = 1
    receptive_radius: int | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Denoise images.

        Parameters
        ----------
        x : Tensor
            Images, (B, C, H, W), H and W multiples of `stride`, values about [0, 1].

        Returns
        -------
        Tensor
            Denoised images of the same shape, not clipped.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `forward`")

    def forward_tile(self, x: Tensor, window: Window) -> Tensor:
        """Denoise tiles.

        Parameters
        ----------
        x : Tensor
            As for `forward`.
        window : Window
            Where in their images the tiles lie, for networks to which that makes a difference.

        Returns
        -------
        Tensor
            What `forward` gives for the whole images, farther than `receptive_radius` from the tiles' inner
            edges.
        """
        denoised: Tensor = self(x)
        return denoised
