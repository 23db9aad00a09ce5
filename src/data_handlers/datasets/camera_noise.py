"""Simulated noise of cameras: drawn anew for each image, from light to strong.

Most of it arises in raw light, as a sensor's does, and goes through what a camera makes of raw light: white
balance, demosaicking, colour matrix, tone curve and, in some, the camera's own noise reduction. The rest is
added to the finished image, correlated.

H W: rows, columns; images are float32 (H, W, 3), data range 1.

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

# Brooks et al. fit ln(read variance) = slope * ln(shot) + offset to cameras between these two.
_READ_SLOPE, _READ_OFFSET = 2.18, 1.20
_FITTED = (5e-4, 0.02)
# Bilinear demosaicking as filters of one colour's sites, zero elsewhere.
_GREEN = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]], np.float32) / 4
_RED_BLUE = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32) / 4
_BRIGHTNESS = np.array([0.299, 0.587, 0.114], np.float32)


class CameraNoise(Block):
    """`camera`: noise as cameras make it, its strength and kind drawn for each image from these ranges."""

    raw: Share = Field(0.6, description="share of images whose noise arises in raw light")
    shot: tuple[Positive, Positive] = Field(
        (1e-4, 0.06), description="in raw light: variance of shot noise at white, of 1; log-uniform"
    )
    mosaic: Share = Field(0.8, description="of those in raw light, share that is demosaicked")
    reduced: Share = Field(
        0.3, description="of those in raw light, share that the camera's own noise reduction has been at"
    )
    sigma: tuple[Positive, Positive] = Field(
        (1.5, 45.0), description="in the image: standard deviation, grey levels; log-uniform"
    )
    blur: tuple[Positive, Positive] = Field(
        (0.35, 1.8),
        description="in the image: sigma of the Gaussian that correlates the noise, px; log-uniform",
    )
    jpeg: Share = Field(0.3, description="share of images that are compressed after that")
    quality: tuple[Annotated[int, Field(ge=1, le=100)], Annotated[int, Field(ge=1, le=100)]] = Field(
        (75, 99), description="of that compression"
    )

    @field_validator("shot", "sigma", "blur", "quality")
    @classmethod
    def _is_a_range(cls, ends: tuple[float, float]) -> tuple[float, float]:
        if ends[0] > ends[1]:
            raise ValueError(f"expected the smaller end first, got [{ends[0]:g}, {ends[1]:g}]")
        return ends


def add_camera_noise(clean: np.ndarray, options: CameraNoise, rng: np.random.Generator) -> np.ndarray:
    """Put simulated camera noise onto a clean image.

    Parameters
    ----------
    clean : ndarray of float32, shape (H, W, C)
        0 to 1; C is 1 or 3. Left as it is.
    options : CameraNoise
        How much, and of which kind.
    rng : Generator
        Decides the draw.

    Returns
    -------
    ndarray of float32, shape (H, W, C)
        Clipped and rounded to 8 bits, as cameras store images.
    """
    image = clean if clean.shape[2] == 3 else np.repeat(clean, 3, axis=2)
    grey = clean.shape[2] == 1 or bool((image == image[..., :1]).all())
    if rng.random() < options.raw:
        noisy = _in_raw_light(image, options, grey, rng)
        if rng.random() < options.reduced:
            noisy = image + _left_by_reduction(image, noisy - image, rng)
    else:
        noisy = _in_image(image, options, grey, rng)
    stored = np.rint(noisy.clip(0, 1) * 255).astype(np.uint8)
    if rng.random() < options.jpeg:
        quality = int(rng.integers(options.quality[0], options.quality[1] + 1))
        _, encoded = cv2.imencode(".jpg", stored[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        stored = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))[..., ::-1]
    return stored[..., : clean.shape[2]].astype(np.float32) / np.float32(255)


def _in_raw_light(
    image: np.ndarray, options: CameraNoise, grey: bool, rng: np.random.Generator
) -> np.ndarray:
    gamma, curved = rng.uniform(1.8, 2.6), rng.random() < 0.4
    light = _to_light(image, gamma, curved)
    to_raw = np.eye(3) if grey else np.linalg.inv(_colour_matrix(rng))
    gains = np.ones(3) if grey else np.array([rng.uniform(1.2, 2.6), 1.0, rng.uniform(1.2, 2.6)])
    exposure = rng.uniform(0.6, 1.0)  # how much of the sensor's range the image takes
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
    # What the matrix cannot show of very pure colours stays as it was.
    lost = light - raw @ back.T
    return _from_light((np.maximum(raw + noise, 0) @ back.T + lost).clip(0, 1), gamma, curved)


def _sensor_noise(raw: np.ndarray, options: CameraNoise, grey: bool, rng: np.random.Generator) -> np.ndarray:
    """Shot and read noise of each value: Gaussian, of a variance that grows with the signal [1]_."""
    shot = np.exp(rng.uniform(*np.log(options.shot)))
    read = np.exp(_READ_SLOPE * np.log(np.clip(shot, *_FITTED)) + _READ_OFFSET + rng.normal(0, 0.7))
    deviation = np.sqrt(np.float32(shot) * raw + np.float32(read))
    return deviation * rng.standard_normal(raw.shape, np.float32)


def _demosaicked(noise: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Keep each colour at its sites of a Bayer pattern, and fill in the others from those."""
    sites = np.zeros_like(noise)
    top, left = rng.integers(2, size=2)
    sites[top::2, left::2, 0] = noise[top::2, left::2, 0]
    sites[1 - top :: 2, 1 - left :: 2, 2] = noise[1 - top :: 2, 1 - left :: 2, 2]
    for row, column in ((top, 1 - left), (1 - top, left)):
        sites[row::2, column::2, 1] = noise[row::2, column::2, 1]
    kernels = (_RED_BLUE, _GREEN, _RED_BLUE)
    filled = [cv2.filter2D(sites[..., c], -1, kernel) for c, kernel in enumerate(kernels)]
    return np.stack(filled, axis=2)


def _left_by_reduction(image: np.ndarray, noise: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise after a camera's own noise reduction: light and coarse where it is flat, as it was at edges.

    Brightness goes through a bilateral filter: half the difference of what it makes of the noise and of
    its opposite, for that leaves the image out. Colour is blurred. A part of the noise stays.
    """
    reach = np.exp(rng.uniform(np.log(0.5), np.log(2.5)))
    tolerance = float(noise.std() * rng.uniform(1.5, 4.0))
    bright, noise_bright = image @ _BRIGHTNESS, noise @ _BRIGHTNESS
    more, less = (
        cv2.bilateralFilter(bright + sign * noise_bright, 2 * int(np.ceil(2 * reach)) + 1, tolerance, reach)
        for sign in (1, -1)
    )
    colour = cv2.GaussianBlur(noise - noise_bright[..., None], (0, 0), reach * rng.uniform(1.0, 2.0))
    kept = np.float32(rng.uniform(0, 0.5))
    return kept * noise + (1 - kept) * ((more - less)[..., None] / 2 + colour)


def _in_image(image: np.ndarray, options: CameraNoise, grey: bool, rng: np.random.Generator) -> np.ndarray:
    noise = rng.standard_normal(image.shape, np.float32)
    common = 1.0 if grey else rng.beta(0.5, 1.5)  # of brightness, more than of colour
    noise = np.float32(np.sqrt(common)) * noise[..., :1] + np.float32(np.sqrt(1 - common)) * noise
    if rng.random() < 0.75:
        sigma = np.exp(rng.uniform(*np.log(options.blur)))
        noise = cv2.GaussianBlur(noise, (0, 0), sigma)
    noise /= noise.std() + np.float32(1e-6)
    sigma = np.exp(rng.uniform(*np.log(options.sigma))) / 255
    signal = rng.uniform(0, 1) if rng.random() < 0.5 else 0.0  # share that grows with brightness
    deviation = np.sqrt(1 - signal + signal * 2 * image)
    return image + np.float32(sigma) * deviation.astype(np.float32) * noise


def _colour_matrix(rng: np.random.Generator) -> np.ndarray:
    """From a camera's colours to sRGB's: takes what the others see off each, and leaves grey as it is."""
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
