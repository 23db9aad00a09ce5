"""The interface of all maskers, and the functions they share.

Letters: B images, C channels, H and W rows and columns, N spots, P writes.
"""

import math
from abc import abstractmethod
from itertools import count
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from src.masker.blind_spots import MIN_DISTANCE, count_spots, draw_blind_spots, max_spots
from src.util.share import Share


class Masked(NamedTuple):
    """A batch of images with blind spots."""

    image: Tensor
    """(B, C, H, W), the input of the network: the batch with some pixels replaced."""
    mask: Tensor
    """(B, 1, H, W) of the same dtype. 1 = replaced and counted by the loss, 0 = not counted."""


class Masker(Protocol):
    """Hides pixels of noisy images, which a network then predicts from their surroundings.

    Subclasses implement `mask`; the other methods have defaults.
    """

    @abstractmethod
    def mask(self, batch: Tensor, generator: torch.Generator | None = None) -> Masked:
        """Hide pixels at random blind spots.

        Parameters
        ----------
        batch : Tensor
            (B, C, H, W), floating point in [0, 1], or uint8 with 255 as 1.0. Not modified.
        generator : torch.Generator, optional
            CPU generator; None is torch's default one.

        Returns
        -------
        Masked
            Floating point in [0, 1], on the device of the batch.

        Raises
        ------
        ValueError
            If images of this size cannot be masked, see `check_size`.
        """

    def mask_share(self, batch: Tensor, generator: torch.Generator | None, share: Share) -> Masked:
        """Mask one share of a larger batch exactly as `mask` would within the whole batch.

        The default masks a full batch with blank images in the other places. A masker that can skip their
        random numbers overrides it.
        """
        if share.images == share.total:
            return self.mask(batch, generator)
        whole = batch.new_zeros(share.total, *batch.shape[1:])
        whole[share.slice] = batch
        masked = self.mask(whole, generator)
        return Masked(masked.image[share.slice], masked.mask[share.slice])

    @property
    def hidden(self) -> tuple[int, int]:
        """Rows above and below, and columns left and right of a blind spot that are hidden with it, px."""
        return 0, 0

    def check_size(self, height: int, width: int) -> None:
        """Raise a ValueError that names the key to change if images of this size (px) cannot be masked."""
        return  # with a docstring alone, a protocol's method counts as abstract


def check_spot_count(height: int, width: int, pixel_perc: float, margin: int = 0) -> None:
    """Check that an image gets at least one blind spot, and no more than can be placed.

    Parameters
    ----------
    height, width : int
        Size of the image, px.
    pixel_perc : float
        Blind spots per pixel.
    margin : int
        Width of the border without spots, px.

    Raises
    ------
    ValueError
        If not. It names a feasible `pixel_perc`, and for too few spots the smallest square image.
    """
    pixels, spots = height * width, count_spots(height, width, pixel_perc)
    least = (math.floor(1e6 / pixels) + 1) / 1e6
    if spots == 0:
        edge = next(e for e in count(math.isqrt(int(1 / pixel_perc))) if count_spots(e, e, pixel_perc))
        raise ValueError(
            f"pixel_perc: expected at least {least} for an image of {height}x{width} px, or an image of at "
            f"least {edge}x{edge} px, got {pixel_perc} (no blind spot)"
        )
    most = max_spots(height - 2 * margin, width - 2 * margin)
    if spots > most:
        largest = max(least, math.floor(1e6 * most / pixels) / 1e6)  # rounding down must leave one spot
        raise ValueError(
            f"pixel_perc: expected at most {largest} for an image of "
            f"{height}x{width} px ({most} blind spots {MIN_DISTANCE} px apart), got {pixel_perc} ({spots})"
        )


def draw_points(
    batch: Tensor, pixel_perc: float, generator: torch.Generator | None, margin: int = 0,
    share: Share | None = None,
) -> Tensor:  # fmt: skip
    """Draw blind spots (B, N, 2) for a (B, C, H, W) batch, on its device, `margin` px from the border.

    With a share, draw for the whole batch and return the share's spots.
    """
    images, _, height, width = batch.shape
    share = share or Share(0, images, images)
    spots = count_spots(height, width, pixel_perc)
    points = draw_blind_spots(share.total, spots, height - 2 * margin, width - 2 * margin, generator) + margin
    return to_device(points[share.slice], batch.device)


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Copy a CPU tensor to a device without waiting for the GPU."""
    # Only copies from pinned memory are asynchronous.
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


def checked_points(points: Tensor, batch: Tensor, margin: int = 0) -> Tensor:
    """Check the blind spots that a caller gives, and return them for each image of a batch.

    Parameters
    ----------
    points : Tensor
        (N, 2), the same for all images, or (B, N, 2): integer rows and columns, px.
    batch : Tensor
        (B, C, H, W).
    margin : int
        Width of the border without spots, px.

    Returns
    -------
    Tensor
        (B, N, 2) int64 on the batch's device.

    Raises
    ------
    ValueError
        If shape or type are wrong, or a spot lies in the border or outside the image.
    """
    images, _, height, width = batch.shape
    if points.ndim not in (2, 3) or points.shape[-1] != 2 or points.is_floating_point() or not points.numel():
        raise ValueError(
            f"points: expected integers (N, 2) or (B, N, 2), got {points.dtype} {tuple(points.shape)}"
        )
    low, high = torch.tensor([margin, margin]), torch.tensor([height - margin, width - margin])
    outside = ((points.cpu() < low) | (points.cpu() >= high)).any(-1)
    if outside.any():
        raise ValueError(
            f"points: expected rows in [{margin}, {height - margin}) and columns in "
            f"[{margin}, {width - margin}), got {points.cpu()[outside][0].tolist()}"
        )
    return points.to(batch.device, torch.int64).expand(images, -1, 2)


def flat_index(points: Tensor, width: int) -> Tensor:
    """Return the index (...) of pixels (..., 2), row and column, in a row-major flattened image."""
    return points[..., 0] * width + points[..., 1]


def last_writes(targets: Tensor, pixels: int) -> Tensor:
    """Find the last write to each pixel, the same on every device.

    Parameters
    ----------
    targets : Tensor
        (B, P) int64, the flat index of the pixel that each of P successive writes goes to.
    pixels : int
        Number of pixels in an image.

    Returns
    -------
    Tensor
        (B, pixels) int64, the number of each pixel's last write; -1 for no write.
    """
    order = torch.arange(targets.shape[1], device=targets.device).expand_as(targets)
    unwritten = torch.full((len(targets), pixels), -1, device=targets.device)
    return unwritten.scatter_reduce(1, targets, order, "amax")
