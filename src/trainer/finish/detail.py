"""Detail given back: where noisy and denoised image differ by more than noise, the image itself stays.

Shape letters: H rows, W columns, C channels.
"""

import math

import cv2
import numpy as np

from src.trainer.finish.flat_places import NoiseCurve

_THRESHOLD = 2.0
"""Times the noise's variance that a difference may have before it counts as detail."""


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
    difference = cv2.GaussianBlur((noisy - denoised) ** 2, (edge, edge), sigma, borderType=cv2.BORDER_REFLECT)
    excess = (difference.reshape(noisy.shape) / noise(denoised)).mean(axis=2, keepdims=True) - np.float32(
        _THRESHOLD
    )
    return 1 / (1 + np.maximum(excess, 0))
