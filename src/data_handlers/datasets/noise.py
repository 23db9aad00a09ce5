"""Simulated noise: white or spatially correlated, of constant or signal-dependent strength.

Shape letters: C channels, H rows, W columns.
"""

from typing import Annotated

import numpy as np
import torch
from pydantic import Field, field_validator, model_validator

from src.data_handlers.datasets.camera_noise import CameraNoise, add_camera_noise
from src.util.config.schema import Block
from src.util.images.io import to_float, to_uint8
from src.util.seed import numpy_generator


class NoiseOptions(Block):
    """`add_noise`: noise added to clean images. The result has exactly the given statistics."""

    sigma: Annotated[
        float, Field(ge=0, description="standard deviation of the constant part, in grey levels of 255")
    ] = 25.0
    mean: Annotated[float, Field(description="mean of the noise, in grey levels of 255")] = 0.0
    correlate: Annotated[bool, Field(description="whether the noise is spatially correlated")] = False
    kernel_edge: Annotated[
        int, Field(ge=1, description="edge of the Gaussian kernel that correlates the noise, in px, odd")
    ] = 5
    kernel_sigma: Annotated[
        float,
        Field(
            gt=0, description="standard deviation of that kernel, in px; at twice that, correlation is 0.37"
        ),
    ] = 1.0
    shot: Annotated[
        float,
        Field(
            ge=0,
            description="signal-dependent part, in grey levels: its standard deviation at white, in addition"
            " to `sigma`; its variance is proportional to the value",
        ),
    ] = 0.0
    quantise: Annotated[bool, Field(description="clip and round the result to 8 bits")] = False
    fixed: Annotated[
        bool,
        Field(description="draw the noise of each image once for the whole run, not in each epoch"),
    ] = False

    camera: CameraNoise | None = Field(
        None, description="simulated camera noise, different for each image; replaces the other keys"
    )

    @field_validator("kernel_edge")
    @classmethod
    def _is_odd(cls, edge: int) -> int:
        if edge % 2 == 0:
            raise ValueError(f"expected an odd number of pixels, got {edge}")
        return edge

    @model_validator(mode="after")
    def _camera_excludes_other_keys(self) -> "NoiseOptions":
        others = self.model_fields_set - {"camera", "fixed"}
        if self.camera is not None and any(
            getattr(self, key) != type(self).model_fields[key].default for key in others
        ):
            raise ValueError(f"camera: replaces all other noise; remove {', '.join(sorted(others))}")
        return self


def add_noise(clean: torch.Tensor, options: NoiseOptions, generator: torch.Generator) -> torch.Tensor:
    """Return a clean image with simulated noise.

    Parameters
    ----------
    clean : Tensor of float32, shape (C, H, W)
        Values about 0 to 1, on the CPU.
    options : NoiseOptions
        Statistics of the noise.
    generator : Generator
        Random numbers.

    Returns
    -------
    Tensor of float32, shape (C, H, W)
        Clipped and rounded to 8 bits with `options.quantise` or `options.camera`, otherwise neither.

    Notes
    -----
    Correlated noise is white noise filtered with a Gaussian kernel of unit energy (sum of squares 1), which
    preserves the variance. The white noise is larger than the image, so that border pixels have the same
    variance. The local standard deviation is applied after the filter, so that it is exact at every pixel.

    The arithmetic uses NumPy, whose results do not depend on the number of threads. That number differs
    between a loader with workers and one without.
    """
    if options.camera is not None:
        seed = int(torch.randint(2**62, (), generator=generator))
        image = np.ascontiguousarray(clean.permute(1, 2, 0).numpy())
        noisy_image = add_camera_noise(image, options.camera, numpy_generator(seed))
        return torch.from_numpy(noisy_image).permute(2, 0, 1)
    margin = options.kernel_edge - 1 if options.correlate else 0
    channels, height, width = clean.shape
    noise = torch.randn((channels, height + margin, width + margin), generator=generator).numpy()
    if options.correlate:
        kernel = _unit_energy_kernel(options.kernel_edge, options.kernel_sigma)
        noise = _filtered(_filtered(noise, kernel, axis=1), kernel, axis=2)
    signal = clean.numpy()
    light = np.maximum(signal, 0)  # floating-point images may have values slightly below 0
    deviation = np.sqrt(options.sigma**2 + options.shot**2 * light) / 255
    noisy = torch.from_numpy(signal + options.mean / 255 + deviation * noise)
    return to_float(to_uint8(noisy)) if options.quantise else noisy


def _unit_energy_kernel(edge: int, sigma: float) -> np.ndarray:
    """Return the separable kernel of one axis, shape (edge,), with a sum of squares of 1."""
    offsets = np.arange(edge) - edge // 2
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    return (kernel / np.linalg.norm(kernel)).astype(np.float32)


def _filtered(noise: np.ndarray, kernel: np.ndarray, axis: int) -> np.ndarray:
    """Filter along an axis, which becomes shorter by `len(kernel) - 1`."""
    length = noise.shape[axis] - len(kernel) + 1
    parts = [noise[(slice(None),) * axis + (slice(k, k + length),)] for k in range(len(kernel))]
    result = kernel[0] * parts[0]
    for weight, part in zip(kernel[1:], parts[1:], strict=True):
        result += weight * part
    return result
