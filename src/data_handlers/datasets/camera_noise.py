"""Simulated camera noise, from weak to strong, with new settings for each image.

Most images get raw noise: sensor noise in linear light, processed as a camera processes raw data (white
balance, demosaicking, colour matrix, tone curve and, for some, noise reduction). The other images get
spatially correlated noise in sRGB.

Shape letters: H rows, W columns. Images are float32 (H, W, 3) with data range 1.

References
----------
.. [1] A. Foi, M. Trimeche, V. Katkovnik and K. Egiazarian, "Practical Poissonian-Gaussian Noise Modeling and
   Fitting for Single-Image Raw-Data", IEEE Transactions on Image Processing 17(10), 2008.
   :DOI:`10.1109/TIP.2008.2001399`
.. [2] T. Brooks, B. Mildenhall, T. Xue, J. Chen, D. Sharlet and J. T. Barron, "Unprocessing Images for
   Learned Raw Denoising", CVPR 2019. :DOI:`10.1109/CVPR.2019.01129`
.. [3] S. Guo, Z. Yan, K. Zhang, W. Zuo and L. Zhang, "Toward Convolutional Blind Denoising of Real
   Photographs", CVPR 2019. :DOI:`10.1109/CVPR.2019.00181`
"""

from typing import Annotated

import cv2
import numpy as np
from pydantic import Field, field_validator

from src.util.config.schema import Block

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]

# Brooks et al. [2] fit ln(read variance) = slope * ln(shot) + offset to cameras in this range of shot noise.
_READ_SLOPE, _READ_OFFSET = 2.18, 1.20
_FITTED = (5e-4, 0.02)
# Bilinear demosaicking filters; the input has the pixels of one colour, and zeros elsewhere.
_GREEN = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]], np.float32) / 4
_RED_BLUE = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32) / 4
_BRIGHTNESS = np.array([0.299, 0.587, 0.114], np.float32)


class CameraNoise(Block):
    """`camera`: simulated camera noise. Strength and kind are drawn from these ranges for each image."""

    raw: Share = Field(0.6, description="share of images with raw noise; the others get noise in sRGB")
    shot: tuple[Positive, Positive] = Field(
        (1e-4, 0.06),
        description="raw noise: variance of the shot noise at a value of 1; log-uniform",
    )
    mosaic: Share = Field(0.8, description="raw noise: share that is demosaicked")
    reduced: Share = Field(0.3, description="raw noise: share with the camera's noise reduction")
    sigma: tuple[Positive, Positive] = Field(
        (1.5, 45.0), description="noise in sRGB: standard deviation, grey levels; log-uniform"
    )
    blur: tuple[Positive, Positive] = Field(
        (0.35, 1.8),
        description="noise in sRGB: sigma of the Gaussian that correlates it, px; log-uniform",
    )
    jpeg: Share = Field(0.3, description="share of noisy images that are then compressed as JPEG")
    quality: tuple[Annotated[int, Field(ge=1, le=100)], Annotated[int, Field(ge=1, le=100)]] = Field(
        (75, 99), description="JPEG quality"
    )

    @field_validator("shot", "sigma", "blur", "quality")
    @classmethod
    def _is_a_range(cls, ends: tuple[float, float]) -> tuple[float, float]:
        if ends[0] > ends[1]:
            raise ValueError(f"expected the smaller end first, got [{ends[0]:g}, {ends[1]:g}]")
        return ends


def add_camera_noise(clean: np.ndarray, options: CameraNoise, rng: np.random.Generator) -> np.ndarray:
    """Return a clean image with simulated camera noise.

    Parameters
    ----------
    clean : ndarray of float32, shape (H, W, C)
        Values in [0, 1]; C is 1 or 3.
    options : CameraNoise
        Ranges of the noise.
    rng : Generator
        Random numbers.

    Returns
    -------
    ndarray of float32, shape (H, W, C)
        Clipped and rounded to 8 bits, as cameras store images.
    """
    image = clean if clean.shape[2] == 3 else np.repeat(clean, 3, axis=2)
    grey = clean.shape[2] == 1 or bool((image == image[..., :1]).all())
    if rng.random() < options.raw:
        noisy = _add_raw_noise(image, options, grey, rng)
        if rng.random() < options.reduced:
            noisy = image + _reduce_noise(image, noisy - image, rng)
    else:
        noisy = _add_srgb_noise(image, options, grey, rng)
    stored = np.rint(noisy.clip(0, 1) * 255).astype(np.uint8)
    if rng.random() < options.jpeg:
        quality = int(rng.integers(options.quality[0], options.quality[1] + 1))
        _, encoded = cv2.imencode(".jpg", stored[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        stored = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))[..., ::-1]
    return stored[..., : clean.shape[2]].astype(np.float32) / np.float32(255)


def _add_raw_noise(
    image: np.ndarray, options: CameraNoise, grey: bool, rng: np.random.Generator
) -> np.ndarray:
    gamma, curved = rng.uniform(1.8, 2.6), rng.random() < 0.4
    light = _to_light(image, gamma, curved)
    to_raw = np.eye(3) if grey else np.linalg.inv(_colour_matrix(rng))
    gains = np.ones(3) if grey else np.array([rng.uniform(1.2, 2.6), 1.0, rng.uniform(1.2, 2.6)])
    exposure = rng.uniform(0.6, 1.0)  # part of the sensor's range that the image uses
    to_raw = (to_raw * (exposure / gains)[:, None]).astype(np.float32)
    raw = np.maximum(light @ to_raw.T, 0)
    noise = _sensor_noise(raw, options, grey, rng)
    if grey:
        noise = np.repeat(noise[..., :1], 3, axis=2)
    elif rng.random() < options.mosaic:
        noise = _demosaicked(noise, rng)
    if rng.random() < 0.3:
        noise = cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.3, 1.0))
    back = np.linalg.inv(to_raw.astype(np.float64)).astype(np.float32)
    # Very saturated colours are outside the camera's gamut; add back the part that clipping removed.
    clipped = light - raw @ back.T
    return _from_light((np.maximum(raw + noise, 0) @ back.T + clipped).clip(0, 1), gamma, curved)


def _sensor_noise(raw: np.ndarray, options: CameraNoise, grey: bool, rng: np.random.Generator) -> np.ndarray:
    """Draw shot and read noise: Gaussian, with a variance that grows linearly with the signal [1]_."""
    shot = np.exp(rng.uniform(*np.log(options.shot)))
    read = np.exp(_READ_SLOPE * np.log(np.clip(shot, *_FITTED)) + _READ_OFFSET + rng.normal(0, 0.7))
    deviation = np.sqrt(np.float32(shot) * raw + np.float32(read))
    return deviation * rng.standard_normal(raw.shape, np.float32)


def _demosaicked(noise: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sample the noise with a Bayer pattern, and interpolate the missing values."""
    sites = np.zeros_like(noise)
    top, left = rng.integers(2, size=2)
    sites[top::2, left::2, 0] = noise[top::2, left::2, 0]
    sites[1 - top :: 2, 1 - left :: 2, 2] = noise[1 - top :: 2, 1 - left :: 2, 2]
    for row, column in ((top, 1 - left), (1 - top, left)):
        sites[row::2, column::2, 1] = noise[row::2, column::2, 1]
    kernels = (_RED_BLUE, _GREEN, _RED_BLUE)
    filled = [cv2.filter2D(sites[..., c], -1, kernel) for c, kernel in enumerate(kernels)]
    return np.stack(filled, axis=2)


def _reduce_noise(image: np.ndarray, noise: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the noise that a camera's noise reduction leaves: weak and coarse in flat areas, more at edges.

    Brightness is filtered with a bilateral filter, once with the noise added and once with it subtracted.
    Half the difference of the two is filtered noise without image content. Colour is blurred. A random part
    of the original noise is kept.
    """
    sigma = np.exp(rng.uniform(np.log(0.5), np.log(2.5)))
    tolerance = float(noise.std() * rng.uniform(1.5, 4.0))
    bright, noise_bright = image @ _BRIGHTNESS, noise @ _BRIGHTNESS
    plus, minus = (
        cv2.bilateralFilter(bright + sign * noise_bright, 2 * int(np.ceil(2 * sigma)) + 1, tolerance, sigma)
        for sign in (1, -1)
    )
    colour = cv2.GaussianBlur(noise - noise_bright[..., None], (0, 0), sigma * rng.uniform(1.0, 2.0))
    kept = np.float32(rng.uniform(0, 0.5))
    return kept * noise + (1 - kept) * ((plus - minus)[..., None] / 2 + colour)


def _add_srgb_noise(
    image: np.ndarray, options: CameraNoise, grey: bool, rng: np.random.Generator
) -> np.ndarray:
    noise = rng.standard_normal(image.shape, np.float32)
    common = 1.0 if grey else rng.beta(0.5, 1.5)  # share of the variance that all channels have in common
    noise = np.float32(np.sqrt(common)) * noise[..., :1] + np.float32(np.sqrt(1 - common)) * noise
    if rng.random() < 0.75:
        sigma = np.exp(rng.uniform(*np.log(options.blur)))
        noise = cv2.GaussianBlur(noise, (0, 0), sigma)
    noise /= noise.std() + np.float32(1e-6)
    sigma = np.exp(rng.uniform(*np.log(options.sigma))) / 255
    signal = rng.uniform(0, 1) if rng.random() < 0.5 else 0.0  # share of variance that grows with brightness
    deviation = np.sqrt(1 - signal + signal * 2 * image)
    return image + np.float32(sigma) * deviation.astype(np.float32) * noise


def _colour_matrix(rng: np.random.Generator) -> np.ndarray:
    """Draw a matrix from camera colours to sRGB: it subtracts the other channels and preserves grey."""
    others = -rng.uniform(0.05, 0.55, (3, 3))
    np.fill_diagonal(others, 0)
    return others + np.diag(1 - others.sum(axis=1))


def _to_light(image: np.ndarray, gamma: float, curved: bool) -> np.ndarray:
    if curved:  # the inverse of 3 v^2 - 2 v^3, a tone curve that adds contrast [2]_
        image = 0.5 - np.sin(np.arcsin(1 - 2 * image.clip(0, 1)) / 3)
    return ((image + np.float32(0.055)) / np.float32(1.055)) ** np.float32(gamma)


def _from_light(light: np.ndarray, gamma: float, curved: bool) -> np.ndarray:
    image = light ** np.float32(1 / gamma) * np.float32(1.055) - np.float32(0.055)
    image = image.clip(0, 1)
    return image * image * (3 - 2 * image) if curved else image
