"""Restore detail: where noisy and denoised image differ by more than noise, keep the noisy image.

Shape letters: H rows, W columns, C channels.
"""

import math

import cv2
import numpy as np

from src.trainer.finish.flat_places import NoiseCurve

_EVENNESS = 0.7, 0.85
_THRESHOLDS = 3.0, 2.0
"""A squared difference above this multiple of the noise variance counts as detail. The first is for uneven
noise, the second for even noise, see `NoiseCurve`."""
_MEDIANS = 3.0
"""A pixel's difference is limited to this multiple of the median difference in 5x5 px: texture covers many
pixels, an impulse only one."""


def detail_radius(sigma: float) -> int:
    """Return the radius of the neighbourhood that `with_detail` uses, px."""
    return math.ceil(4 * sigma) + 2


def with_detail(noisy: np.ndarray, denoised: np.ndarray, sigma: float, noise: NoiseCurve) -> np.ndarray:
    """Restore the detail of a denoised image.

    Parameters
    ----------
    noisy, denoised : ndarray of float32, shape (H, W, C)
        Images of data range 1.
    sigma : float
        Standard deviation of the Gaussian that weights neighbourhoods, px.
    noise : NoiseCurve
        The variance of the noise, and how evenly it is spread.

    Returns
    -------
    ndarray, shape (H, W, C)
        The denoised image where the difference looks like noise, close to the noisy image elsewhere.
    """
    variance = noise(denoised)
    difference = noisy - denoised
    planes = np.moveaxis(np.abs(difference), 2, 0)
    around = np.stack([cv2.medianBlur(np.ascontiguousarray(plane), 5) for plane in planes], axis=2)
    limit = np.float32(_MEDIANS) * around
    difference = np.clip(difference, -limit, limit)
    ratio = difference**2 / variance
    mean = sum(ratio[..., channel] for channel in range(ratio.shape[2])) / np.float32(ratio.shape[2])
    edge = 2 * math.ceil(4 * sigma) + 1
    mean = cv2.GaussianBlur(np.asarray(mean), (edge, edge), sigma, borderType=cv2.BORDER_REFLECT)
    threshold = np.float32(np.interp(noise.evenness, _EVENNESS, _THRESHOLDS))
    weight = 1 - 1 / (1 + np.maximum(mean - threshold, 0))
    result: np.ndarray = denoised + weight[..., np.newaxis] * difference
    return result
