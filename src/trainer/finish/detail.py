"""Detail given back: where noisy and denoised image differ by more than noise, the image itself stays.

Shape letters: H rows, W columns, C channels.
"""

import math

import cv2
import numpy as np

from src.trainer.finish.flat_places import NoiseCurve

_THRESHOLD = 2.0
"""Times the noise's variance that a difference may have before it counts as detail."""
_OUTLIER = 20.0
"""At which a single pixel's stops to count: texture is many pixels, an impulse is one."""


def reach_of(sigma: float) -> int:
    """How far `share_of_denoised` looks, px."""
    return math.ceil(4 * sigma)


def share_of_denoised(noisy: np.ndarray, denoised: np.ndarray, sigma: float, noise: NoiseCurve) -> np.ndarray:
    """What share of a result the denoised image should have.

    Parameters
    ----------
    noisy, denoised : ndarray of float32, shape (H, W, C)
        1.0 is white.
    sigma : float
        Of the Gaussian that neighbourhoods are weighed by, px.
    noise : NoiseCurve
        How strong the noise is.

    Returns
    -------
    ndarray, shape (H, W, 1)
        1 where the difference looks like noise, towards 0 where it is much more.
    """
    edge = 2 * reach_of(sigma) + 1
    times = np.minimum((noisy - denoised) ** 2 / noise(denoised), np.float32(_OUTLIER))
    times = sum(times[..., channel] for channel in range(times.shape[2])) / np.float32(times.shape[2])
    around = cv2.GaussianBlur(times, (edge, edge), sigma, borderType=cv2.BORDER_REFLECT)
    share: np.ndarray = 1 / (1 + np.maximum(around - np.float32(_THRESHOLD), 0))
    return share[..., np.newaxis]
