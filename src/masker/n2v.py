"""Noise2Void's masker: it hides single pixels, with structN2V also their correlated neighbours.

Letters: B images, C channels, H and W rows and columns, N spots, F pixels of a footprint.
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
    flat_index,
    last_writes,
    to_device,
)
from src.masker.blind_spots import cpu_generator
from src.masker.replacement import STRATEGIES
from src.util.config.schema import Block
from src.util.images.conversion import as_float


class StructN2V(Block):
    """The neighbours of a blind spot to overwrite, so that the network cannot copy their noise.

    References
    ----------
    .. [1] C. Broaddus et al., "Removing structured noise with self-supervised blind-spot networks", ISBI
       2020. https://doi.org/10.1109/ISBI45749.2020.9098336
    """

    direction: Annotated[
        Literal["H", "V", "Q"], Field(description="along the row (H), the column (V), or both (Q)")
    ]
    edge: Annotated[int, Field(ge=1, description="largest distance from the spot, px")]

    def offsets(self) -> Tensor:
        """Return the offsets (F, 2), rows and columns, from the spot to the overwritten pixels."""
        side, none = torch.arange(-self.edge, self.edge + 1), torch.zeros(1, dtype=torch.int64)
        rows, columns = {"H": (none, side), "V": (side, none), "Q": (side, side)}[self.direction]
        return torch.cartesian_prod(rows, columns)


class N2VMasker(Masker):
    """Replaces single pixels by a value from their neighbourhood.

    Parameters
    ----------
    pixel_perc : float
        Blind spots per pixel; each image gets H * W * pixel_perc, rounded down.
    prox_radius : int
        Radius R of the neighbourhood, px. For `normal_withoutCP` the standard deviation of the offset, px;
        for `normal_additive` that of the noise, 8-bit grey levels.
    strat_name : str
        One of `STRATEGIES`.
    structN2V : StructN2V or dict, optional
        `direction` and `edge` of the neighbours to overwrite with uniform noise in [0, 1]. The mask covers
        only the spots.

    Raises
    ------
    ValueError
        If the strategy is unknown, or as pydantic's ValidationError if a type or range is wrong.

    Notes
    -----
    Blind spots lie anywhere in the image, at least 12 px apart.

    References
    ----------
    .. [1] A. Krull, T.-O. Buchholz, F. Jug, "Noise2Void - learning denoising from single noisy images", CVPR
       2019. https://doi.org/10.1109/CVPR.2019.00223
    """

    @validate_call
    def __init__(
        self,
        pixel_perc: Annotated[float, Field(gt=0, le=1, description="blind spots per pixel")] = 0.002,
        prox_radius: Annotated[int, Field(ge=1, description="radius R of the neighbourhood, px")] = 3,
        strat_name: Annotated[str, Field(description="what replaces a spot: " + ", ".join(STRATEGIES))] = (
            "uniform_withoutCP"
        ),
        # The name is the YAML key's.
        structN2V: Annotated[  # noqa: N803
            StructN2V | None,
            Field(description="neighbours overwritten with noise: direction H|V|Q, edge in px"),
        ] = None,
    ) -> None:
        if strat_name not in STRATEGIES:
            raise ValueError(f"strat_name: expected one of {', '.join(STRATEGIES)}, got {strat_name!r}")
        self.pixel_perc = pixel_perc
        self.prox_radius = prox_radius
        self.strat_name = strat_name
        self.structN2V = structN2V

    @property
    def hidden(self) -> tuple[int, int]:
        """Rows and columns hidden around a blind spot, px; see `Masker`."""
        if self.structN2V is None:
            return 0, 0
        rows, columns = self.structN2V.offsets().amax(0).tolist()
        return rows, columns

    def check_size(self, height: int, width: int) -> None:
        """Raise a ValueError if images of this size cannot be masked; see `check_spot_count`."""
        check_spot_count(height, width, self.pixel_perc)

    def mask(self, batch: Tensor, generator: torch.Generator | None = None) -> Masked:
        """Mask a batch at random blind spots; see `Masker`."""
        self.check_size(*batch.shape[2:])
        return self._replace(batch, draw_points(batch, self.pixel_perc, generator), generator)

    def mask_at(self, batch: Tensor, points: Tensor, generator: torch.Generator | None = None) -> Masked:
        """Mask a batch at given blind spots.

        Parameters
        ----------
        batch : Tensor
            (B, C, H, W), floating point in [0, 1], or uint8 with 255 as 1.0. Not modified.
        points : Tensor
            (N, 2), the same for all images, or (B, N, 2): integer rows and columns, all different.
        generator : torch.Generator, optional
            Used if strategy or structN2V is random; None is torch's default one.

        Returns
        -------
        Masked
            The image, and the mask with 1 on the spots.

        Raises
        ------
        ValueError
            If a spot lies outside the image.
        """
        return self._replace(batch, checked_points(points, batch), generator)

    def _replace(self, batch: Tensor, points: Tensor, generator: torch.Generator | None) -> Masked:
        batch = as_float(batch)
        images, channels, height, width = batch.shape
        generator = cpu_generator(generator)
        values = STRATEGIES[self.strat_name](batch, points, self.prox_radius, generator)
        around = _overwrite(batch, points, self.structN2V, generator) if self.structN2V else batch
        spots = flat_index(points, width)[:, None]
        # The spots are written last, so that no footprint overwrites a neighbouring spot.
        image = around.flatten(2).scatter(2, spots.expand(-1, channels, -1), values).view_as(batch)
        mask = batch.new_zeros(images, 1, height * width).scatter(2, spots, 1.0)
        return Masked(image, mask.view(images, 1, height, width))


def _overwrite(
    batch: Tensor, points: Tensor, structure: StructN2V, generator: torch.Generator | None
) -> Tensor:
    """Overwrite the footprints of (B, N, 2) spots with uniform noise in [0, 1]."""
    channels, height, width = batch.shape[1:]
    offsets = to_device(structure.offsets(), batch.device)
    rows, columns = (points[:, :, None] + offsets).unbind(-1)
    # Pixels outside are moved to the nearest border pixel, which the footprint contains anyway.
    inside = torch.stack((rows.clamp(0, height - 1), columns.clamp(0, width - 1)), dim=-1)
    last = last_writes(flat_index(inside, width).flatten(1), height * width)[:, None]
    noise = torch.rand(len(batch), channels, points.shape[1] * len(offsets), generator=generator)
    noise = to_device(noise, batch.device).to(batch.dtype)
    written = noise.gather(2, last.clamp(min=0).expand(-1, channels, -1))
    return torch.where(last >= 0, written, batch.flatten(2)).view_as(batch)
