"""Scenes with noise, and their finished versions."""

from dataclasses import replace

import numpy as np

from src.trainer.finish import Finish
from src.trainer.finish.strips import Pair

EDGE = 64  # edge of the flat squares of a scene, px


def scene(size, channels=3, seed=0, low=0.15, high=0.7):
    """Return flat squares, float64 (size, size, channels)."""
    squares = np.random.default_rng(seed).uniform(low, high, (size // EDGE, size // EDGE, channels))
    return squares.repeat(EDGE, axis=0).repeat(EDGE, axis=1)


def square_means(values):
    squares = values.reshape(len(values) // EDGE, EDGE, -1, EDGE, values.shape[2]).mean(axis=(1, 3))
    return squares.repeat(EDGE, axis=0).repeat(EDGE, axis=1)


def taken_by_a_sensor(clean, shot=2e-3, seed=1):
    """Add noise in linear light, before the tone curve; not clipped, not rounded."""
    light = ((clean + 0.055) / 1.055) ** 2.2
    noise = np.random.default_rng(seed).standard_normal(clean.shape)
    return np.maximum(light + np.sqrt(shot * light) * noise, 0) ** (1 / 2.2) * 1.055 - 0.055


def stored(values):
    return np.rint(values.clip(0, 1) * 255).astype(np.uint8)


def pair(noisy, denoised):
    data_range = {"u": np.iinfo(noisy.dtype).max if noisy.dtype.kind == "u" else 1}.get(noisy.dtype.kind, 1)
    step = 1 / data_range if noisy.dtype.kind == "u" else 0.0
    return Pair(noisy, denoised.astype(np.float32), data_range, step)


def finished(given, **keys):
    bands = list(Finish(**keys)(given))
    assert [top for top, _ in bands] == np.cumsum([0, *(len(band) for _, band in bands[:-1])]).tolist()
    return np.concatenate([band for _, band in bands])


def anything(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    smooth = np.full(shape, 0.4) + 0.1 * rng.random((1, 1, shape[2]))
    noisy = smooth + 0.05 * rng.standard_normal(shape)
    noisy[20:30, 10:20] += 0.3  # detail that the network removed
    noisy[:, : shape[1] // 4] -= smooth[0, 0] - 0.04  # a fifth of the values is clipped
    levels = noisy if dtype == np.float32 else np.rint(noisy.clip(0) * np.iinfo(dtype).max)
    given = pair(levels.astype(dtype), smooth + 0.02 * rng.standard_normal(shape))
    return replace(given, denoise=lambda image: 0.9 * image)
