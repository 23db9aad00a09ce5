"""The building blocks of the networks.

Shape letters: B images, C channels, H rows, W columns.

Attribute names and the order in which sub-modules are created are part of the checkpoint format: weights are
looked up by name, and the optimiser's state by the position of each parameter.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.model.base import DenoisingNetwork, Window


class DoubleConv(nn.Module):
    """Two times convolution with bias, batch norm and ReLU. Keeps the image size.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels before and after.
    kernel_size : int
        Edge of both convolution kernels, px, odd.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3) -> None:
        super().__init__()
        padding = kernel_size // 2
        self.conv = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, kernel_size, padding=padding),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H, W), values >= 0."""
        return self.conv(x)


class UpConv(nn.Module):
    """Bilinear upsampling by two, 3x3 convolution, ReLU.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels before and after.
    align_corners : bool
        Whether the centres of the corner pixels stay in place, as published. The factor is then
        (2n - 1) / (n - 1) for n px, so the result at a position depends on the image size.
    """

    def __init__(self, in_channels: int, out_channels: int, align_corners: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.align_corners = align_corners

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, 2H, 2W), values >= 0.

        With a window, `x` is a tile and is upsampled like this part of the whole image.
        """
        if self.align_corners and window is not None:
            upsampled = _upsample_tile(x, window)
        else:
            upsampled = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=self.align_corners)
        return F.relu(self.conv(upsampled), inplace=True)


def _upsample_tile(x: Tensor, window: Window) -> Tensor:
    """Upsample a tile by two, aligning the corners of its whole image instead of its own."""
    rows, columns = (
        _tile_coordinates(edge, start, whole, x.device)
        for edge, start, whole in zip(x.shape[-2:], window[:2], window[2:], strict=True)
    )
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
    grid = grid.expand(len(x), *grid.shape)
    return F.grid_sample(x.float(), grid, mode="bilinear", align_corners=True)


def _tile_coordinates(edge: int, start: int, whole: int, device: torch.device) -> Tensor:
    """Return the positions of the 2 * `edge` upsampled pixels along one axis of a tile from -1 to 1."""
    # Rounds to 32 bits as F.interpolate does: the difference is visible over thousands of pixels.
    scale = torch.tensor(whole - 1, dtype=torch.float32) / (2 * whole - 1)
    on_whole = torch.arange(2 * start, 2 * (start + edge), dtype=torch.float32) * scale
    on_tile = (on_whole.double() - start) * (2 / max(edge - 1, 1)) - 1
    return on_tile.clamp(-1, 1).to(device, torch.float32)


class MaxBlurPool(nn.Module):
    """2x2 max pooling, then a fixed 3x3 binomial blur against aliasing.

    Notes
    -----
    The blur pads with zeros, which darkens the outermost rows and columns of pooled maps by a quarter. This
    is deliberate: published checkpoints were trained with it and lose accuracy without it.

    References
    ----------
    .. [1] R. Zhang, "Making Convolutional Networks Shift-Invariant Again", ICML 2019.
    """

    blur_kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Python numbers: arithmetic on the meta device would load PyTorch's compiler, which takes seconds.
        kernel = [[column * row / 16 for column in (1, 2, 1)] for row in (1, 2, 1)]
        self.register_buffer("blur_kernel", torch.tensor(kernel)[None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H // 2, W // 2), in the memory layout of `x`."""
        channels = x.shape[1]
        # A depthwise convolution keeps the memory layout. Folding the channels into the batch gives the same
        # values but copies channels_last maps, which takes several times as long.
        kernel = self.blur_kernel.expand(channels, 1, 3, 3)
        return F.conv2d(F.max_pool2d(x, 2), kernel, padding=1, groups=channels)


class UShape(DenoisingNetwork):
    """The architecture that `UNet` and `UNet2` share: down, bottom, up with skip connections, 1x1 tail.

    Parameters
    ----------
    in_channels : int
        Channels of the image, in and out.
    features : sequence of int
        Channels at each level from the top (full size) down, at least one; the bottom has twice the last.
    pool : Module
        Halves height and width between levels.
    top_skip : bool
        Whether the top level has a skip connection like the other levels.
    align_corners : bool
        See `UpConv`.

    Raises
    ------
    ValueError
        If `features` is empty.
    """

    receptive_radius: int

    def __init__(
        self, in_channels: int, features: Sequence[int], pool: nn.Module, top_skip: bool, align_corners: bool
    ) -> None:
        super().__init__()
        if not features:
            raise ValueError("features: expected at least one width, got none")
        self.stride = 2 ** len(features)
        self.down_branch = nn.ModuleList(
            DoubleConv(before, after)
            for before, after in zip((in_channels, *features), features, strict=False)
        )
        self.up_branch = nn.ModuleList()
        widths = (*features, 2 * features[-1])
        for level in reversed(range(len(features))):
            has_skip = level > 0 or top_skip
            self.up_branch.append(UpConv(widths[level + 1], widths[level], align_corners))
            self.up_branch.append(DoubleConv(widths[level] * (2 if has_skip else 1), widths[level]))
        self.pool = pool
        self.bottom_layer = DoubleConv(widths[-2], widths[-1])
        self.tail = nn.Sequential(
            DoubleConv(features[0], features[0], kernel_size=1), nn.Conv2d(features[0], in_channels, 1)
        )
        self._top_skip = top_skip
        self.receptive_radius = _receptive_radius(len(features), blurred=isinstance(pool, MaxBlurPool))

    def forward(self, x: Tensor) -> Tensor:
        """Denoise images; see `DenoisingNetwork`. ValueError if `stride` does not divide H and W."""
        self._check_size(x)
        return self._denoise(x, None)

    def forward_tile(self, x: Tensor, window: Window) -> Tensor:
        """Denoise tiles; see `DenoisingNetwork`."""
        self._check_size(x)
        return self._denoise(x, window)

    def _check_size(self, x: Tensor) -> None:
        height, width = x.shape[-2:]
        if height % self.stride or width % self.stride:
            raise ValueError(
                f"expected height and width to be multiples of {self.stride}, got {height}x{width};"
                " NL_BSN takes any size"
            )

    def _denoise(self, x: Tensor, window: Window | None) -> Tensor:
        skips: list[Tensor | None] = []
        for down in self.down_branch:
            x = down(x)
            skips.append(x)
            x = self.pool(x)
        if not self._top_skip:
            skips[0] = None
        x = self.bottom_layer(x)
        stride = 2 ** len(self.down_branch)
        for up, merge in zip(self.up_branch[::2], self.up_branch[1::2], strict=True):
            x, skip = up(x, window and window.reduced(stride)), skips.pop()
            stride //= 2
            x = merge(x if skip is None else torch.cat([skip, x], dim=1))
        merge, last = self.tail
        return _in_full(last, merge(x))


def _receptive_radius(levels: int, blurred: bool) -> int:
    """Return the receptive radius, px, of a U-shape of 3x3 convolutions; see `DenoisingNetwork`."""
    radius = 0
    for _ in range(levels):
        radius = -(-(radius + 2) // 2) + blurred
    radius += 2
    for _ in range(levels):
        radius = 2 * radius + 1 + 1 + 2  # upsampled, convolved, merged
    return radius


def _in_full(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a layer without autocast: bfloat16 has 8 significant bits, fewer than most images."""
    kind = x.device.type
    if not (torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)):
        return layer(x)
    with torch.autocast(kind, enabled=False):
        return layer(x.float())
