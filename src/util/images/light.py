"""Convert image values to linear light and back, by the sRGB curve or one with another exponent."""

import numpy as np

_OFFSET = np.float32(0.055)


def to_light(values: np.ndarray, gamma: float) -> np.ndarray:
    """Return values as light, by the power part of the sRGB curve with exponent `gamma`; linear below 0."""
    scaled = (np.maximum(values, 0) + _OFFSET) / (1 + _OFFSET)
    return scaled ** np.float32(gamma) + np.minimum(values, 0)


def from_light(light: np.ndarray, gamma: float) -> np.ndarray:
    """Invert `to_light`, for light of at least 0."""
    return np.maximum(light, 0) ** np.float32(1 / gamma) * (1 + _OFFSET) - _OFFSET


def slope_of_light(values: np.ndarray, gamma: float) -> np.ndarray:
    """Return the derivative of `to_light`, for values of at least 0."""
    scaled = (np.maximum(values, 0) + _OFFSET) / (1 + _OFFSET)
    return np.float32(gamma) / (1 + _OFFSET) * scaled ** np.float32(gamma - 1)
