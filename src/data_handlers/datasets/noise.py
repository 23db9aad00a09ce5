"""Simulated noise: white or spatially correlated, constant or growing with the signal.

C H W: channels, rows, columns.
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
    """`add_noise`: noise put onto clean images; what is asked for is what is measured in the result."""

    sigma: Annotated[
        float, Field(ge=0, description="standard deviation of the constant part, in grey levels of 255")
    ] = 25.0
    mean: Annotated[float, Field(description="mean of the noise, in grey levels of 255")] = 0.0
    correlate: Annotated[bool, Field(description="whether neighbouring pixels share noise")] = False
    kernel_edge: Annotated[
        int, Field(ge=1, description="edge of the Gaussian kernel that correlates the noise, in px, odd")
    ] = 5
    kernel_sigma: Annotated[
        float,
        Field(gt=0, description="standard deviation of that kernel, in px; at twice that, pixels share 37 %"),
    ] = 1.0
    shot: Annotated[
        float,
        Field(
            ge=0,
            description="signal-dependent part, in grey levels: white gets this standard deviation besides"
            " `sigma`, other values a variance in proportion",
        ),
    ] = 0.0
    quantise: Annotated[bool, Field(description="whether the result is clipped and rounded to 8 bits")] = (
        False
    )
    fixed: Annotated[
        bool,
        Field(description="one draw for each image for the whole run, instead of a new one each epoch"),
    ] = False

    camera: CameraNoise | None = Field(
        None,
        description="noise as cameras make it, of another strength and kind for each image, in place of"
        " what the other keys say",
    )

    @field_validator("kernel_edge")
    @classmethod
    def _is_odd(cls, edge: int) -> int:
        if edge % 2 == 0:
            raise ValueError(f"expected an odd number of pixels, got {edge}")
        return edge

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> "NoiseOptions":
        others = self.model_fields_set - {"camera", "fixed"}
        if self.camera is not None and any(
            getattr(self, key) != type(self).model_fields[key].default for key in others
        ):
            raise ValueError(f"camera: stands for all noise; leave out {', '.join(sorted(others))}")
        return self


def add_noise(clean: torch.Tensor, options: NoiseOptions, generator: torch.Generator) -> torch.Tensor:
    """Put simulated noise onto a clean image.

    Parameters
    ----------
    clean : Tensor of float32, shape (C, H, W)
        About 0 to 1, on the CPU; left as it is.
    options : NoiseOptions
        How much, and of which kind.
    generator : Generator
        Decides the draw.

    Returns
    -------
    Tensor of float32, shape (C, H, W)
        Neither clipped nor rounded unless `options.quantise`; with `options.camera` both.

    Notes
    -----
    Correlated noise is white noise filtered by a Gaussian kernel of unit energy (sum of squares 1), which
    leaves the variance as it was. It is drawn larger than the image, so that pixels at the edge get as much
    as others. The local standard deviation is applied after the filter, so that it is right at every pixel.

    NumPy does the arithmetic: its results do not depend on the number of threads, which differs between a
    loader with workers and one without.
    """
    if options.camera is not None:
        seed = int(torch.randint(2**62, (), generator=generator))
        image = np.ascontiguousarray(clean.permute(1, 2, 0).numpy())
        taken = add_camera_noise(image, options.camera, numpy_generator(seed))
        return torch.from_numpy(taken).permute(2, 0, 1)
    reach = options.kernel_edge - 1 if options.correlate else 0
    channels, height, width = clean.shape
    noise = torch.randn((channels, height + reach, width + reach), generator=generator).numpy()
    if options.correlate:
        kernel = _unit_energy_kernel(options.kernel_edge, options.kernel_sigma)
        noise = _filtered(_filtered(noise, kernel, axis=1), kernel, axis=2)
    signal = clean.numpy()
    light = np.maximum(signal, 0)  # floating-point images may lie a little below black
    deviation = np.sqrt(options.sigma**2 + options.shot**2 * light) / 255
    noisy = torch.from_numpy(signal + options.mean / 255 + deviation * noise)
    return to_float(to_uint8(noisy)) if options.quantise else noisy


def _unit_energy_kernel(edge: int, sigma: float) -> np.ndarray:
    """One axis of the kernel, shape (edge,); the outer product of two has unit energy like each of them."""
    offsets = np.arange(edge) - edge // 2
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    return (kernel / np.linalg.norm(kernel)).astype(np.float32)


def _filtered(noise: np.ndarray, kernel: np.ndarray, axis: int) -> np.ndarray:
    """Correlate along an axis, which gets shorter by the kernel's edge less 1."""
    length = noise.shape[axis] - len(kernel) + 1
    parts = [noise[(slice(None),) * axis + (slice(k, k + length),)] for k in range(len(kernel))]
    result = kernel[0] * parts[0]
    for weight, part in zip(kernel[1:], parts[1:], strict=True):
        result += weight * part
    return result
