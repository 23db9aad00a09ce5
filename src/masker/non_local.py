"""NL-N2V's masker: the region around a blind spot is overwritten by that of the most similar patch.

Letters: B images, C channels, H and W rows and columns, N spots, P = N*q*q pixels written.
"""

from typing import Annotated

import torch
from pydantic import Field, validate_call
from torch import Tensor

from src.masker.base import (
    Masked,
    Masker,
    check_spot_count,
    checked_points,
    draw_points,
    flat_index,
    last_writes,
)
from src.masker.similarity import find_similar
from src.util.pictures.conversion import as_float
from src.util.share import Share


class NonLocalMasker(Masker):
    """Hides the region around each blind spot under the region of the most similar patch elsewhere.

    Camera noise is correlated over neighbouring pixels, so a network that sees the neighbours of a hidden
    pixel can predict its noise. Here the neighbours are hidden too, and what stands in their place has the
    same content with other noise.

    Parameters
    ----------
    sim_patch_edge : int
        Paper's s: edge of the square patches compared, px, odd.
    repl_patch_edge : int
        Paper's q: edge of the square region replaced, px, odd, at most s.
    speedup_factor : int
        Paper's f: step of the grid of candidate patches, px. The search takes 1/f^2 of the time.
    pixel_perc : float
        Paper's p: blind spots per pixel; each image gets the whole part of H * W * p.
    center_only : bool
        Replace and mask the blind spot alone instead of its region.

    Raises
    ------
    ValueError
        If an edge is even or q > s. (pydantic's ValidationError, which is one, for a wrong type or range.)

    Notes
    -----
    Images are reflect-padded by s//2 - q//2, so they must be larger than that; blind spots keep q//2 away
    from the border and 12 px from each other. Candidates may overlap the region that they replace, as
    published.
    """

    @validate_call
    def __init__(
        self,
        sim_patch_edge: Annotated[
            int, Field(ge=1, description="edge s of the patches compared, px, odd")
        ] = 21,
        repl_patch_edge: Annotated[
            int, Field(ge=1, description="edge q of the region replaced, px, odd, q <= s")
        ] = 13,
        speedup_factor: Annotated[int, Field(ge=1, description="step f of the grid of candidates, px")] = 5,
        pixel_perc: Annotated[float, Field(gt=0, le=1, description="blind spots per pixel, p")] = 0.002,
        center_only: Annotated[
            bool, Field(description="replace and mask only the centre of each region")
        ] = False,
    ) -> None:
        if sim_patch_edge % 2 == 0:
            raise ValueError(f"sim_patch_edge: expected an odd number, got {sim_patch_edge}")
        if repl_patch_edge % 2 == 0 or repl_patch_edge > sim_patch_edge:
            raise ValueError(
                f"repl_patch_edge: expected an odd number of at most sim_patch_edge ({sim_patch_edge}), "
                f"got {repl_patch_edge}"
            )
        self.sim_patch_edge = sim_patch_edge
        self.repl_patch_edge = repl_patch_edge
        self.speedup_factor = speedup_factor
        self.pixel_perc = pixel_perc
        self.center_only = center_only

    @property
    def hidden(self) -> tuple[int, int]:
        """How many px above and below, left and right of a blind spot are hidden with it."""
        reach = 0 if self.center_only else self.repl_patch_edge // 2
        return reach, reach

    def check_size(self, height: int, width: int) -> None:
        """Refuse a size of image that cannot be masked.

        Parameters
        ----------
        height, width : int
            Size of the images, px.

        Raises
        ------
        ValueError
            Naming the key to change and the largest feasible `pixel_perc` or the smallest image.
        """
        self._check_patches(height, width)
        check_spot_count(height, width, self.pixel_perc, margin=self.repl_patch_edge // 2)

    def mask(self, batch: Tensor, generator: torch.Generator | None = None) -> Masked:
        """Mask a batch at blind spots drawn at random.

        Parameters
        ----------
        batch : Tensor
            (B, C, H, W), floating point of any range, or uint8, of which 255 is 1.0. Not modified.
        generator : torch.Generator, optional
            Source of the randomness; None is torch's default one.

        Returns
        -------
        Masked
            The image, and the mask with 1 on all replaced pixels.

        Raises
        ------
        ValueError
            If images of this size cannot be masked, see `check_size`.
        """
        return self.mask_share(batch, generator, Share(0, len(batch), len(batch)))

    def mask_share(self, batch: Tensor, generator: torch.Generator | None, share: Share) -> Masked:
        """Mask a part of a larger batch as in the whole of it; see `Masker`."""
        self.check_size(*batch.shape[2:])
        margin = self.repl_patch_edge // 2
        return self._replace(batch, draw_points(batch, self.pixel_perc, generator, margin, share))

    def mask_at(self, batch: Tensor, points: Tensor) -> Masked:
        """Mask a batch at given blind spots.

        Parameters
        ----------
        batch : Tensor
            (B, C, H, W), floating point of any range, or uint8, of which 255 is 1.0. Not modified.
        points : Tensor
            (N, 2), the same for all images, or (B, N, 2): integer rows and columns, so far from the border
            that each region fits inside.

        Returns
        -------
        Masked
            The image, and the mask with 1 on all replaced pixels.

        Raises
        ------
        ValueError
            If a spot lies too near the border, or the image is too small for the patches.
        """
        self._check_patches(*batch.shape[2:])
        return self._replace(batch, checked_points(points, batch, margin=self.repl_patch_edge // 2))

    def _check_patches(self, height: int, width: int) -> None:
        smallest = max(self.repl_patch_edge, self.sim_patch_edge // 2 - self.repl_patch_edge // 2 + 1)
        if min(height, width) < smallest:
            raise ValueError(
                f"sim_patch_edge: {self.sim_patch_edge} with repl_patch_edge {self.repl_patch_edge} expects "
                f"images of at least {smallest}x{smallest} px, got {height}x{width} px"
            )

    def _replace(self, batch: Tensor, points: Tensor) -> Masked:
        similar = find_similar(batch, points, self.sim_patch_edge, self.repl_patch_edge, self.speedup_factor)
        edge = 1 if self.center_only else self.repl_patch_edge
        return paste_regions(as_float(batch), points, similar, edge)


def paste_regions(batch: Tensor, points: Tensor, similar: Tensor, edge: int) -> Masked:
    """Copy square regions of an image over others of the same image.

    Parameters
    ----------
    batch : Tensor
        (B, C, H, W).
    points, similar : Tensor
        (B, N, 2) int64, centres of the regions to overwrite and of those to copy, rows and columns.
    edge : int
        Edge of the regions, px, odd; all lie inside the image.

    Returns
    -------
    Masked
        All values come from the unmasked image. Where regions overlap, the spot for which the pixel lies at
        the larger (row offset, column offset) wins.
    """
    images, channels, height, width = batch.shape
    side = torch.arange(edge, device=batch.device) - edge // 2
    offsets = flat_index(torch.cartesian_prod(side, side), width)[:, None]
    # Writes in the order of their offsets, and of the spots for each: the last one to reach a pixel wins.
    targets = (offsets + flat_index(points, width)[:, None]).flatten(1)
    sources = (offsets + flat_index(similar, width)[:, None]).flatten(1)
    last = last_writes(targets, height * width)
    written = last >= 0
    own = torch.arange(height * width, device=batch.device)
    source = torch.where(written, sources.gather(1, last.clamp(min=0)), own)
    image = batch.flatten(2).gather(2, source[:, None].expand(-1, channels, -1)).view_as(batch)
    return Masked(image, written.view(images, 1, height, width).to(batch.dtype))
