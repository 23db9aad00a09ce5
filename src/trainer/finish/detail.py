"""Detail given back: where noisy and denoised image differ by more than noise, the image itself stays.

Shape letters: H rows, W columns, C channels.
"""

import math

import cv2
import numpy as np

from src.trainer.finish.flat_places import NoiseCurve

_THRESHOLD = 2.0
"""Times the noise's variance that a difference may have before it counts as detail."""
_LIKE_AROUND = 3.0
"""Times the differences around it (their median in 5x5 px) that a pixel's may be, and the noise's standard
deviation more: texture is many pixels, an impulse is one."""


def reach_of(sigma: float) -> int:
    """How far `with_detail` looks, px."""
    return math.ceil(4 * sigma) + 2


def with_detail(noisy: np.ndarray, denoised: np.ndarray, sigma: float, noise: NoiseCurve) -> np.ndarray:
    """A denoised image with what was taken off beyond noise.

    Parameters
    ----------
    noisy, denoised : ndarray of float32, shape (H, W, C)
        data range 1.
    sigma : float
        Of the Gaussian that neighbourhoods are weighed by, px.
    noise : NoiseCurve
        How strong the noise is.

    Returns
    -------
    ndarray, shape (H, W, C)
        The denoised image where the difference looks like noise, towards the noisy one where it is much more.
    """
    variance = noise(denoised)
    difference = noisy - denoised
    planes = np.moveaxis(np.abs(difference), 2, 0)
    around = np.stack([cv2.medianBlur(np.ascontiguousarray(plane), 5) for plane in planes], axis=2)
    most = np.float32(_LIKE_AROUND) * around + np.sqrt(variance)
    difference = np.clip(difference, -most, most)
    times = difference**2 / variance
    mean = sum(times[..., channel] for channel in range(times.shape[2])) / np.float32(times.shape[2])
    edge = 2 * math.ceil(4 * sigma) + 1
    mean = cv2.GaussianBlur(np.asarray(mean), (edge, edge), sigma, borderType=cv2.BORDER_REFLECT)
    given = 1 - 1 / (1 + np.maximum(mean - np.float32(_THRESHOLD), 0))
    result: np.ndarray = denoised + given[..., np.newaxis] * difference
    return result
