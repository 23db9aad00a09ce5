"""Restore light from smaller versions of an image, which the same network denoises.

A network sees little of an image at once, so it leaves blotches of coarse noise, and the local mean of the
noisy image has them, too. In an image of half the size, noise is weaker and its blotches are smaller.
Recomposing an image from several sizes is known for other denoisers [1]_; here each size counts the more, the
stronger the noise is.

References
----------
.. [1] G. Facciolo, N. Pierazzo and J.-M. Morel, "Conservative Scale Recomposition for Multiscale Denoising
   (The Devil is in the High Frequency Detail)", SIAM Journal on Imaging Sciences 10(3), 2017.
"""

from collections.abc import Callable

import numpy as np

from src.trainer.finish.field import SmoothField, blur
from src.trainer.finish.light import LocalLight
from src.trainer.finish.strips import Denoise, Pair
from src.util.images.shrink import half_size

SIZES = 2
"""Largest number of smaller versions: a half and a quarter of the size."""
SMALLEST = 32
"""Smallest edge of an image that has a smaller version, px."""

_NEIGHBOURHOOD = 16.0
"""Sigma of the Gaussian that weights neighbourhoods, px of the smaller image."""
_SMOOTHING = 1.0
"""Sigma of the Gaussian that removes what the smaller image does not know, px of it."""


def light_of_half(
    pair: Pair, denoise: Denoise, local: LocalLight, gamma: float, noise: float,
    finish: Callable[[Pair], np.ndarray],
) -> SmoothField:  # fmt: skip
    """Return what to add to a denoised image to give it the light of its finished half-size version.

    Parameters
    ----------
    pair : Pair
        The images.
    denoise : Denoise
        The network that denoised it.
    local : LocalLight
        The correction where noise is weak: there the network would lose detail of the smaller image.
    gamma : float
        Exponent of the light.
    noise : float
        Standard deviation of the smaller image's noise, of data range 1, at which both have equal weight.
    finish : callable
        Finishes the smaller images, and returns (H / 2, W / 2, C).
    """
    strips = [[half_size(values, gamma) for values in pair.strip(*rows)] for rows in pair.strips]
    noisy, denoised = (np.concatenate(parts) for parts in zip(*strips, strict=True))
    noisy -= local.clipping.shrunk(2)
    half = Pair(noisy, denoise(noisy), 1.0, 0.0, denoise)
    variance = blur(((noisy - half.denoised) ** 2).mean(axis=2, keepdims=True), _NEIGHBOURHOOD)
    weight = variance / (variance + np.float32(noise**2))
    by_means = local.correction.shrunk(2)
    grid = by_means + weight * (blur(finish(half) - denoised, _SMOOTHING) - by_means)
    # The network may shift the light of skewed noise. Over wide neighbourhoods, means have no blotches.
    grid += blur(by_means - grid, _NEIGHBOURHOOD)
    return SmoothField(grid, 2, (pair.noisy.shape[0], pair.noisy.shape[1]))
