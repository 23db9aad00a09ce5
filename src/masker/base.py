"""What every masker gives and takes; what 1 means in a mask.

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
    """An image with blind spots.

    Attributes
    ----------
    image : Tensor
        (B, C, H, W), the input of the network: the batch with some pixels replaced.
    mask : Tensor
        (B, 1, H, W) of the same dtype. 1 = replaced, and counted by the loss; 0 = not counted.
    """

    image: Tensor
    mask: Tensor


class Masker(Protocol):
    """Hides pixels of noisy images, for a network to predict from what surrounds them.

    A class that inherits from it writes `mask`; what else it leaves out is as it stands here.
    """

    @abstractmethod
    def mask(self, batch: Tensor, generator: torch.Generator | None = None) -> Masked:
        """Hide pixels at blind spots drawn at random.

        Parameters
        ----------
        batch : Tensor
            (B, C, H, W), floating point in [0, 1], or uint8, of which 255 is 1.0. Not modified.
        generator : torch.Generator, optional
            Of the CPU, source of the randomness; None is torch's default one.

        Returns
        -------
        Masked
            Floating point in [0, 1], on the device of the batch.
        """

    def mask_share(self, batch: Tensor, generator: torch.Generator | None, share: Share) -> Masked:
        """Hide pixels of a part of a larger batch, those that would be hidden in the whole of it.

        Blank images stand for the others, unless a masker knows how to pass over what is drawn for them.
        """
        if share.images == share.total:
            return self.mask(batch, generator)
        whole = batch.new_zeros(share.total, *batch.shape[1:])
        whole[share.slice] = batch
        masked = self.mask(whole, generator)
        return Masked(masked.image[share.slice], masked.mask[share.slice])

    @property
    def hidden(self) -> tuple[int, int]:
        """How many px above and below, left and right of a blind spot are hidden with it."""
        return 0, 0

    def check_size(self, height: int, width: int) -> None:
        """Raise ValueError, naming the key to change, if images of this size cannot be masked."""
        return  # not nothing: of a Protocol, a method without a body is one that must be written


def check_spot_count(height: int, width: int, pixel_perc: float, margin: int = 0) -> None:
    """Refuse an image that would get no blind spot, or more than can be placed.

    Parameters
    ----------
    height, width : int
        Size of the image, px.
    pixel_perc : float
        Blind spots per pixel.
    margin : int
        Width of the border that is kept free of spots, px.

    Raises
    ------
    ValueError
        Naming the feasible `pixel_perc`, and the smallest square image where there would be no spot.
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
        largest = max(least, math.floor(1e6 * most / pixels) / 1e6)  # rounded down, one spot would be none
        raise ValueError(
            f"pixel_perc: expected at most {largest} for an image of "
            f"{height}x{width} px ({most} blind spots {MIN_DISTANCE} px apart), got {pixel_perc} ({spots})"
        )


def draw_points(
    batch: Tensor, pixel_perc: float, generator: torch.Generator | None, margin: int = 0,
    share: Share | None = None,
) -> Tensor:  # fmt: skip
    """Draw blind spots (B, N, 2) of a (B, C, H, W) batch, on its device, `margin` px away from the border.

    With a share they are drawn for the whole batch that it is of, and those of the share given.
    """
    images, _, height, width = batch.shape
    share = share or Share(0, images, images)
    spots = count_spots(height, width, pixel_perc)
    points = draw_blind_spots(share.total, spots, height - 2 * margin, width - 2 * margin, generator) + margin
    return to_device(points[share.slice], batch.device)


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Copy what was drawn on the CPU, without making the host wait for a GPU at work."""
    # Only a copy from pinned memory is asynchronous.
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


def checked_points(points: Tensor, batch: Tensor, margin: int = 0) -> Tensor:
    """Blind spots given by a caller, for each image of a batch.

    Parameters
    ----------
    points : Tensor
        (N, 2), the same for all images, or (B, N, 2): integer rows and columns, px.
    batch : Tensor
        (B, C, H, W).
    margin : int
        Width of the border in which no spot may lie, px.

    Returns
    -------
    Tensor
        (B, N, 2) int64 on the batch's device.

    Raises
    ------
    ValueError
        If the shape is another one, or a spot lies in the border or outside.
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
    """Index (...) of pixels (..., 2), row and column, in an image flattened row by row."""
    return points[..., 0] * width + points[..., 1]


def last_writes(targets: Tensor, pixels: int) -> Tensor:
    """Which write has the last word on each pixel, the same on every device.

    Parameters
    ----------
    targets : Tensor
        (B, P) int64, the pixel that each of P successive writes goes to.
    pixels : int
        Pixels of an image.

    Returns
    -------
    Tensor
        (B, pixels) int64, the number of a pixel's last write, -1 where there is none.
    """
    order = torch.arange(targets.shape[1], device=targets.device).expand_as(targets)
    unwritten = torch.full((len(targets), pixels), -1, device=targets.device)
    return unwritten.scatter_reduce(1, targets, order, "amax")
