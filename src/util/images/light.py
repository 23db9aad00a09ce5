"""Image values as light: sRGB's curve, or one like it with another power."""

import numpy as np

_OFFSET = np.float32(0.055)


def to_light(values: np.ndarray, gamma: float) -> np.ndarray:
    """Values as light, by sRGB's curve with another power; below black it goes on straight."""
    scaled = (np.maximum(values, 0) + _OFFSET) / (1 + _OFFSET)
    return scaled ** np.float32(gamma) + np.minimum(values, 0)


def from_light(light: np.ndarray, gamma: float) -> np.ndarray:
    """The way back from `to_light`, for light that is not below black."""
    return np.maximum(light, 0) ** np.float32(1 / gamma) * (1 + _OFFSET) - _OFFSET


def slope_of_light(values: np.ndarray, gamma: float) -> np.ndarray:
    """How much light changes with the value, for values that are not below black."""
    scaled = (np.maximum(values, 0) + _OFFSET) / (1 + _OFFSET)
    return np.float32(gamma) / (1 + _OFFSET) * scaled ** np.float32(gamma - 1)
