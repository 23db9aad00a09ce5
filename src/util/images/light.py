"""Convert image values to linear light and back, by the sRGB curve or one with another exponent."""

import numpy as np

_OFFSET = np.float32(0.055)
_BLACK = _OFFSET / (1 + _OFFSET)


def to_light(values: np.ndarray, gamma: float) -> np.ndarray:
    """Return values as light, by the power part of the sRGB curve with exponent `gamma`; linear below 0."""
    scaled = (np.maximum(values, 0) + _OFFSET) / (1 + _OFFSET)
    return scaled ** np.float32(gamma) + _slope_at_black(gamma) * np.minimum(values, 0)


def from_light(light: np.ndarray, gamma: float) -> np.ndarray:
    """Invert `to_light`."""
    above = light - _BLACK ** np.float32(gamma)
    scaled = np.maximum(light, _BLACK ** np.float32(gamma)) ** np.float32(1 / gamma)
    return scaled * (1 + _OFFSET) - _OFFSET + np.minimum(above, 0) / _slope_at_black(gamma)


def _slope_at_black(gamma: float) -> np.float32:
    return np.float32(gamma / (1 + _OFFSET)) * _BLACK ** np.float32(gamma - 1)


def slope_of_light(values: np.ndarray, gamma: float) -> np.ndarray:
    """Return the derivative of `to_light`, for values of at least 0."""
    scaled = (np.maximum(values, 0) + _OFFSET) / (1 + _OFFSET)
    return np.float32(gamma) / (1 + _OFFSET) * scaled ** np.float32(gamma - 1)
