"""Randomly generated images: the dead leaves model.

A dead leaves image [1]_ is a pile of occluding shapes whose sizes follow a power law. Like a photograph, it
has edges and flat areas and is scale invariant. Networks that restore photographs can be trained on such
images alone [2]_.

References
----------
.. [1] A. B. Lee, D. Mumford and J. Huang, "Occlusion Models for Natural Images: A Statistical Study of a
   Scale-Invariant Dead Leaves Model", International Journal of Computer Vision 41, 2001.
   :DOI:`10.1023/A:1011109015675`
.. [2] R. Achddou, Y. Gousseau and S. Ladjal, "Synthetic Images as a Regularity Prior for Image Restoration
   Neural Networks", Scale Space and Variational Methods in Computer Vision, 2021.
   :DOI:`10.1007/978-3-030-75549-2_27`
"""

from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from src.data_handlers.datasets.base import DrawnSource, Image
from src.data_handlers.datasets.photographs import Photographs
from src.util.images.io import ImageInfo

# Images are drawn larger and then reduced, so that edges have subpixel positions.
_OVERSAMPLING = 2
_TEXTURES = 3
_PHOTOGRAPH_COLOURS = 0.7


class Generated(DrawnSource):
    """Dead leaves images with gradients, stripes and textures, optionally mixed with parts of photographs."""

    def __init__(
        self,
        count: Annotated[int, Field(ge=1, description="images in an epoch; each epoch has new ones")] = 2_880,
        size: Annotated[int, Field(ge=16, le=4096, description="height and width, px")] = 128,
        textured: Annotated[float, Field(ge=0, le=1, description="share of textured shapes")] = 0.35,
        grey: Annotated[
            float, Field(ge=0, le=1, description="share of grey images; 1: of one channel")
        ] = 0.08,
        dark: Annotated[float, Field(ge=0, le=1, description="share of dark images")] = 0.3,
        photographs: Annotated[
            str | None,
            Field(description="folder of clean photographs, for colours and parts; None = none"),
        ] = None,
        photographed: Annotated[
            float, Field(ge=0, le=1, description="share of images that are parts of photographs")
        ] = 0.25,
    ) -> None:
        self.where = "generated images"
        self._count = count
        self._size = size
        self._textured = textured
        self._grey, self._channels = grey, 1 if grey == 1 else 3
        self._dark = dark
        self._photographs = Photographs(photographs, size) if photographs else None
        self._photographed = photographed

    def __len__(self) -> int:
        return self._count

    def name(self, number: int) -> str:
        """Return a name with the number, such as `leaves 12`."""
        return f"leaves {number}"

    def inspect(self, number: int) -> ImageInfo:
        """Return size and channels without drawing the image."""
        return ImageInfo(self._size, self._size, self._channels)

    def draw(self, number: int, rng: np.random.Generator) -> Image:
        """Draw an 8-bit image."""
        photographs = self._photographs
        if photographs is not None and rng.random() < self._photographed:
            image = photographs.part(rng)
        else:
            image = self._dead_leaves(rng)
        if rng.random() < self._dark:
            image = np.clip(image, 0, 1) * rng.uniform(0.15, 0.7)
        if rng.random() < self._grey:
            image = np.repeat(image.mean(axis=2, keepdims=True), self._channels, axis=2)
        return Image(self.name(number), np.rint(image.clip(0, 1) * 255).astype(np.uint8))

    def _dead_leaves(self, rng: np.random.Generator) -> np.ndarray:
        edge = _OVERSAMPLING * self._size
        labels, count = _draw_shapes(edge, rng)
        if self._photographs is not None and rng.random() < _PHOTOGRAPH_COLOURS:
            colours = self._photographs.colours(count, rng)
        else:
            colours = _colours(count, rng)
        image = _colour_shapes(labels, colours, self._textured, rng)
        sigma = _OVERSAMPLING * (rng.uniform(0.4, 1.1) if rng.random() < 0.85 else rng.uniform(1.1, 4))
        image = cv2.GaussianBlur(image, (0, 0), sigma)
        return cv2.resize(image, (self._size, self._size), interpolation=cv2.INTER_AREA)


def _draw_shapes(edge: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Return the label of the shape at each pixel (edge, edge), and the number of labels; 0 is background."""
    count = int(np.exp(rng.uniform(np.log(10), np.log(800))))
    smallest = _OVERSAMPLING * np.exp(rng.uniform(0, np.log(12)))
    largest = min(smallest * np.exp(rng.uniform(np.log(4), np.log(80))), edge / 2)
    # Inverse transform sampling of a density of r^-3 between the smallest and the largest radius.
    share = rng.random(count)
    radii = 1 / np.sqrt(share / smallest**2 + (1 - share) / max(largest, smallest) ** 2)
    centres = rng.uniform(-0.1, 1.1, (count, 2)) * edge
    angles, kinds = rng.uniform(0, 360, count), rng.random(count)
    flat = np.exp(rng.uniform(np.log(0.2), 0, count))
    labels = np.zeros((edge, edge), np.int32)
    for label in range(1, count):
        _draw_shape(labels, label, centres[label], radii[label], flat[label], angles[label], kinds[label])
    return labels, count


def _draw_shape(
    labels: np.ndarray, label: int, centre: np.ndarray, radius: float, flat: float, angle: float, kind: float
) -> None:
    x, y = int(centre[0]), int(centre[1])
    if kind < 0.4:
        cv2.ellipse(labels, (x, y), (int(radius), max(1, int(radius * flat))), angle, 0, 360, label, -1)
        return
    if kind < 0.5:  # a line
        dx, dy = np.cos(np.radians(angle)) * radius * 3, np.sin(np.radians(angle)) * radius * 3
        thickness = max(1, int(radius * flat * 0.3))
        cv2.line(labels, (int(x - dx), int(y - dy)), (int(x + dx), int(y + dy)), label, thickness)
        return
    corners = 4 if kind < 0.85 else 3
    if corners == 4:
        box = cv2.boxPoints(((x, y), (2 * radius, max(2.0, 2 * radius * flat)), angle))
    else:
        turns = np.radians(angle + np.array([0, 100 + 40 * flat, 240 * flat + 100]))
        box = np.stack([x + radius * np.cos(turns), y + radius * np.sin(turns)], axis=1)
    cv2.fillConvexPoly(labels, np.rint(box).astype(np.int32), label)


def _colour_shapes(
    labels: np.ndarray, colours: np.ndarray, textured: float, rng: np.random.Generator
) -> np.ndarray:
    """Fill shapes (H, W) with colours (count, 3), shade and texture; float32 (H, W, 3), about 0 to 1."""
    edge, count = len(labels), len(colours)
    image = colours[labels]
    ramp = np.linspace(-0.5, 0.5, edge, dtype=np.float32)
    slopes = (rng.laplace(0, 0.12, (count, 2)) * (rng.random((count, 1)) < 0.6)).astype(np.float32)
    shade = slopes[labels, 0] * ramp + slopes[labels, 1] * ramp[:, None]
    strength = rng.exponential(0.08, (count, _TEXTURES)) * (rng.random((count, _TEXTURES)) < textured / 2)
    for number in range(_TEXTURES):
        field = _grating(edge, rng) if rng.random() < 0.4 else _texture(edge, rng)
        shade += strength[:, number].astype(np.float32)[labels] * field
    if rng.random() < 0.5:  # uneven lighting
        light = rng.uniform(0.6, 1.3, (3, 3)).astype(np.float32)
        image *= cv2.resize(light, (edge, edge), interpolation=cv2.INTER_CUBIC)[..., None]
    # Texture changes mostly brightness, and is weaker in dark areas.
    tint = rng.uniform(0.7, 1.3, 3).astype(np.float32)
    image += (shade * np.minimum(image.mean(axis=2) * 2, 1))[..., None] * tint
    return image


def _colours(count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a colour for each shape, float32 (count, 3), from a few hues with mostly low saturation."""
    brightness = rng.beta(rng.uniform(0.6, 2.5), rng.uniform(0.6, 2.5), count)
    hues = rng.uniform(0, 1, rng.integers(1, 5))
    hue = hues[rng.integers(len(hues), size=count)] + rng.normal(0, 0.04, count)
    saturation = np.minimum(rng.exponential(rng.uniform(0.05, 0.4), count), 1)
    angles = 2 * np.pi * (hue[:, None] + np.array([0, 1 / 3, 2 / 3]))
    colours = brightness[:, None] * (1 + saturation[:, None] * np.cos(angles))
    return colours.clip(0, 1).astype(np.float32)


def _grating(edge: int, rng: np.random.Generator) -> np.ndarray:
    """Draw parallel stripes (edge, edge), about -1 to 1."""
    period = _OVERSAMPLING * np.exp(rng.uniform(np.log(2.5), np.log(40)))
    angle = rng.uniform(0, np.pi)
    place = np.arange(edge, dtype=np.float32) * (2 * np.pi / period)
    wave = np.sin(place * np.float32(np.cos(angle)) + place[:, None] * np.float32(np.sin(angle)))
    return np.tanh(3 * wave) if rng.random() < 0.5 else wave


def _texture(edge: int, rng: np.random.Generator) -> np.ndarray:
    """Draw noise (edge, edge) at several scales, each twice as coarse; standard deviation about 1."""
    falloff = rng.uniform(0.5, 1.4)  # from fine to coarse
    stretch = rng.integers(1, 5) if rng.random() < 0.5 else 1  # along one axis, like fibres
    field = np.zeros((edge, edge), np.float32)
    energy, cell = 0.0, 2
    while cell < edge // 2:
        shape = max(2, edge // cell), max(2, edge // (cell * stretch))
        weight = cell ** (falloff - 1)
        grid = rng.standard_normal(shape, np.float32)
        field += weight * cv2.resize(grid, (edge, edge), interpolation=cv2.INTER_LINEAR)
        energy += weight**2
        cell *= 2
    field = field / np.float32(np.sqrt(energy) * 0.7)
    return field.T if rng.random() < 0.5 else field
