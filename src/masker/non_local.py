"""NL-N2V's masker: it replaces the region around a blind spot by that of the most similar patches.

Letters: B images, C channels, H and W rows and columns, N spots, K similar patches.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field, validate_call
from torch import Tensor

from src.masker.base import Masked, Masker, check_spot_count, checked_points, draw_points, to_device
from src.masker.grid import jittered_grid
from src.masker.paste import paste_regions
from src.masker.patches import fewest_candidates, smallest_with
from src.masker.similarity import find_similar
from src.util.images.conversion import as_float
from src.util.share import Share


class NonLocalMasker(Masker):
    """Replaces the region around each blind spot by the region of the most similar patch in the image.

    Camera noise is correlated over neighbouring pixels, so a network that sees the neighbours of a hidden
    pixel can predict its noise. This masker hides the neighbours too: their replacement has the same content
    but different noise.

    The defaults are the published method. There the most similar patch is often a neighbour whose region
    overlaps the replaced one, and a network can learn to copy its correlated noise. For noise with a long
    correlation length, hide a hole instead. `exclude` its surroundings (s or more). Take the mean of several
    `similar` patches, which has little noise of its own. Count only the hole's core (`core_edge`), whose
    noise is independent of the noise outside the hole. With `spots="grid"` an image has as many holes as fit
    without touching. A network trained in this way has only seen images with holes, so it is also used on
    masked images, see `src.trainer.network.masked`.

    Parameters
    ----------
    sim_patch_edge : int
        The paper's s: edge of the square patches compared, px, odd.
    repl_patch_edge : int
        The paper's q: edge of the square region replaced, px, odd, at most s.
    speedup_factor : int
        The paper's f: stride of the grid of candidate patches, px. The search takes 1/f^2 of the time.
    pixel_perc : float
        The paper's p: blind spots per pixel; each image gets H * W * p, rounded down.
    center_only : bool
        Replace and mask only the blind spot instead of its region.
    exclude : int
        Ignore candidates whose centre is nearer to the blind spot than this, px: the larger of the distances
        in rows and columns. With 0 candidates may overlap the region they replace, as published.
    similar : int
        K: the region is replaced by the mean over the K most similar patches.
    core_edge : int, optional
        Edge of the square around each blind spot that the mask counts, px, odd, at most q; the whole region
        is still replaced. None counts the whole region. Not allowed with `center_only`.
    spots : {"random", "grid"}
        `random` draws spots at least 12 px apart, anew for each image. `grid` puts one in each cell of a
        grid, shifted at random but never so that regions touch, the same for all images of a batch.
    pitch : int
        Distance from one region of the grid to the next, px, more than q. Only used with `spots="grid"`,
        which does not use `pixel_perc`.

    Raises
    ------
    ValueError
        If options contradict each other, or as pydantic's ValidationError if a type or range is wrong.

    Notes
    -----
    Images are reflect-padded by s//2 - q//2, so they must be larger than that. Blind spots are at least q//2
    from the border.
    """

    @validate_call
    def __init__(
        self,
        sim_patch_edge: Annotated[int, Field(ge=1, description="edge s of the patches compared, odd")] = 21,
        repl_patch_edge: Annotated[
            int, Field(ge=1, description="edge q of the region replaced, px, odd, q <= s")
        ] = 13,
        speedup_factor: Annotated[int, Field(ge=1, description="stride f of the candidate grid, px")] = 5,
        pixel_perc: Annotated[float, Field(gt=0, le=1, description="blind spots per pixel, p")] = 0.002,
        center_only: Annotated[bool, Field(description="replace and mask only the blind spot")] = False,
        exclude: Annotated[
            int, Field(ge=0, description="ignore candidates nearer to the spot than this, px; 0 = none")
        ] = 0,
        similar: Annotated[
            int, Field(ge=1, description="number of similar patches whose mean is filled in")
        ] = 1,
        core_edge: Annotated[
            int | None,
            Field(ge=1, description="edge of the square counted by the loss, px, odd; null = the region"),
        ] = None,
        spots: Annotated[
            Literal["random", "grid"],
            Field(description="random places, or a grid of regions that never touch (see pitch)"),
        ] = "random",
        pitch: Annotated[int, Field(ge=1, description="pitch of the grid, px; only for spots: grid")] = 18,
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
        """Rows and columns hidden around a blind spot, px; see `Masker`."""
        radius = 0 if self.center_only else self.repl_patch_edge // 2
        return radius, radius

    def check_size(self, height: int, width: int) -> None:
        """Raise a ValueError that names the key to change if images of this size (px) cannot be masked."""
        self._check_patches(height, width)
        if self.spots == "random":
            check_spot_count(height, width, self.pixel_perc, margin=self.repl_patch_edge // 2)
        elif min(height, width) < self.pitch - 1:
            raise ValueError(
                f"pitch: {self.pitch} expects images of at least {self.pitch - 1}x{self.pitch - 1} px, "
                f"got {height}x{width} px (no region on the grid)"
            )

    def mask(self, batch: Tensor, generator: torch.Generator | None = None) -> Masked:
        """Mask a batch, of any data range, at random blind spots; see `Masker`.

        The mask is 1 on the replaced pixels, or with `core_edge` on the cores.
        """
        return self.mask_share(batch, generator, Share(0, len(batch), len(batch)))

    def mask_share(self, batch: Tensor, generator: torch.Generator | None, share: Share) -> Masked:
        """Mask one share of a larger batch as within the whole batch; see `Masker`."""
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
            (B, C, H, W), floating point of any data range, or uint8 with 255 as 1.0. Not modified.
        points : Tensor
            (N, 2), the same for all images, or (B, N, 2): integer rows and columns, at least q//2 from the
            border.

        Returns
        -------
        Masked
            The image, and the mask: 1 on the replaced pixels, or with `core_edge` on the cores.

        Raises
        ------
        ValueError
            If a spot is too near the border, or the image is too small for the patches or for `similar`
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
