"""NL-N2V's masker: the region around a blind spot is overwritten by those of the most similar patches.

Letters: B images, C channels, H and W rows and columns, N spots, K similar patches.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field, validate_call
from torch import Tensor

from src.masker.base import (
    Masked,
    Masker,
    check_spot_count,
    checked_points,
    draw_points,
    to_device,
)
from src.masker.grid import jittered_grid
from src.masker.paste import paste_regions
from src.masker.patches import fewest_candidates, smallest_with
from src.masker.similarity import find_similar
from src.util.images.conversion import as_float
from src.util.share import Share


class NonLocalMasker(Masker):
    """Hides the region around each blind spot under the region of the most similar patch elsewhere.

    Camera noise is correlated over neighbouring pixels, so a network that sees the neighbours of a hidden
    pixel can predict its noise. Here the neighbours are hidden too, and what stands in their place has the
    same content with other noise.

    By default it masks as published, where the most similar patch is often a neighbour, whose region overlaps
    the one it replaces: correlated noise that a network can learn to copy. Where noise reaches far, hide a
    hole instead: `exclude` the hole's surroundings (s or more), take the mean of several `similar` patches,
    which has little noise of its own, and count only the hole's core (`core_edge`), to whose pixels the noise
    outside of the hole tells nothing. With `spots` on a grid the holes are as many as fit without touching.
    A network that learns so knows images with holes: it is used on masked images, too.

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
    exclude : int
        Candidates whose centre is nearer to the blind spot than this are passed over, px, by the larger of
        the distances in rows and columns. 0: they may overlap the region that they replace, as published.
    similar : int
        K: the region is replaced by the mean of those of the K most similar patches.
    core_edge : int, optional
        Edge of the square around each blind spot that the mask counts, px, odd, at most q. The region is
        replaced all the same. None: the whole region. Not together with `center_only`.
    spots : {"random", "grid"}
        Where blind spots lie: at random, 12 px from each other, other ones in each image; or one in each cell
        of a grid, moved at random but never so that regions touch, the same for a whole batch.
    pitch : int
        Of the grid, from one region to the next, px, more than q. Used with `spots="grid"` alone, where
        `pixel_perc` is not.

    Raises
    ------
    ValueError
        If options do not go together. (pydantic's ValidationError, which is one, for a wrong type or range.)

    Notes
    -----
    Images are reflect-padded by s//2 - q//2, so they must be larger than that; blind spots keep q//2 away
    from the border.
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
        exclude: Annotated[
            int, Field(ge=0, description="candidates nearer to the spot are passed over, px, 0 = none")
        ] = 0,
        similar: Annotated[
            int, Field(ge=1, description="so many nearest candidates, whose mean is filled in")
        ] = 1,
        core_edge: Annotated[
            int | None,
            Field(ge=1, description="edge of the square counted by the loss, px, odd; null = the region"),
        ] = None,
        spots: Annotated[
            Literal["random", "grid"],
            Field(description="random places, or a grid of regions that never touch (pitch)"),
        ] = "random",
        pitch: Annotated[int, Field(ge=1, description="of the grid, px; used with spots: grid alone")] = 18,
    ) -> None:
        self.sim_patch_edge = sim_patch_edge
        self.repl_patch_edge = repl_patch_edge
        self.speedup_factor = speedup_factor
        self.pixel_perc = pixel_perc
        self.center_only = center_only
        self.exclude = exclude
        self.similar = similar
        self.core_edge = core_edge
        self.spots = spots
        self.pitch = pitch
        self._check_options()

    def _check_options(self) -> None:
        sim, edge, core = self.sim_patch_edge, self.repl_patch_edge, self.core_edge
        if sim % 2 == 0:
            raise ValueError(f"sim_patch_edge: expected an odd number, got {sim}")
        if edge % 2 == 0 or edge > sim:
            raise ValueError(
                f"repl_patch_edge: expected an odd number of at most sim_patch_edge ({sim}), got {edge}"
            )
        if core is not None and self.center_only:
            raise ValueError(f"core_edge: expected null with center_only, which counts one pixel, got {core}")
        if core is not None and (core % 2 == 0 or core > edge):
            raise ValueError(
                f"core_edge: expected an odd number of at most repl_patch_edge ({edge}), or null, got {core}"
            )
        if self.spots == "grid" and self.pitch <= edge:
            raise ValueError(
                f"pitch: expected more than repl_patch_edge ({edge}), so that regions do not touch, "
                f"got {self.pitch}"
            )

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
        if self.spots == "random":
            check_spot_count(height, width, self.pixel_perc, margin=self.repl_patch_edge // 2)
        elif min(height, width) < self.pitch - 1:
            raise ValueError(
                f"pitch: {self.pitch} expects images of at least {self.pitch - 1}x{self.pitch - 1} px, "
                f"got {height}x{width} px (no region on the grid)"
            )

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
            The image, and the mask with 1 on all pixels that count: those replaced, or the cores.

        Raises
        ------
        ValueError
            If images of this size cannot be masked, see `check_size`.
        """
        return self.mask_share(batch, generator, Share(0, len(batch), len(batch)))

    def mask_share(self, batch: Tensor, generator: torch.Generator | None, share: Share) -> Masked:
        """Mask a part of a larger batch as in the whole of it; see `Masker`."""
        self.check_size(*batch.shape[2:])
        if self.spots == "random":
            margin = self.repl_patch_edge // 2
            return self._replace(batch, draw_points(batch, self.pixel_perc, generator, margin, share))
        height, width = batch.shape[2:]
        grid = jittered_grid(height, width, self.pitch, self.repl_patch_edge, generator)
        return self._replace(batch, to_device(grid, batch.device).expand(len(batch), -1, 2))

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
            The image, and the mask with 1 on all pixels that count: those replaced, or the cores.

        Raises
        ------
        ValueError
            If a spot lies too near the border, or the image is too small for the patches or for `similar`
            candidates outside `exclude`.
        """
        self._check_patches(*batch.shape[2:])
        return self._replace(batch, checked_points(points, batch, margin=self.repl_patch_edge // 2))

    def _check_patches(self, height: int, width: int) -> None:
        sim, edge = self.sim_patch_edge, self.repl_patch_edge
        smallest = max(edge, sim // 2 - edge // 2 + 1)
        if min(height, width) < smallest:
            raise ValueError(
                f"sim_patch_edge: {sim} with repl_patch_edge {edge} expects "
                f"images of at least {smallest}x{smallest} px, got {height}x{width} px"
            )
        found = fewest_candidates(self.speedup_factor, self.exclude, height - edge, width - edge)
        if found < self.similar:
            last = smallest_with(self.similar, self.speedup_factor, self.exclude)
            smallest = max(smallest, edge + last)
            raise ValueError(
                f"{'exclude' if self.exclude else 'similar'}: exclude {self.exclude}, similar {self.similar} "
                f"and speedup_factor {self.speedup_factor} expect images of at least {smallest}x{smallest} "
                f"px, got {height}x{width} px (some spots have {found} candidates)"
            )

    def _replace(self, batch: Tensor, points: Tensor) -> Masked:
        similar = find_similar(
            batch, points, self.sim_patch_edge, self.repl_patch_edge, self.speedup_factor, self.exclude,
            self.similar,
        )  # fmt: skip
        edge = 1 if self.center_only else self.repl_patch_edge
        return paste_regions(as_float(batch), points, similar, edge, self.core_edge)
