"""Post-process denoised images. Nothing here is trained, so it suits any network."""

from collections.abc import Callable, Iterator
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from src.trainer.finish.detail import detail_radius, with_detail
from src.trainer.finish.field import SmoothField
from src.trainer.finish.flat_places import MIN_PLACES, FlatPlaces, NoiseCurve, flat_places
from src.trainer.finish.light import gamma_of, local_light, skewness
from src.trainer.finish.smaller import SIZES, SMALLEST, light_of_half
from src.trainer.finish.strips import Pair
from src.util.config.schema import Block
from src.util.errors import ConfigError

Parts = Literal["none", "light", "detail", "all"]

LIGHT, DETAIL = 16.0, 3.0
"""Default sigma of both parts, px."""
COARSE = 8.0
"""Default of `Finish.coarse`, grey levels."""


class Finish(Block):
    """`finish`: restores light and detail of the noisy image that are not noise."""

    light: Annotated[float, Field(gt=0, le=256)] | None = None
    """Sigma, px, of the neighbourhoods whose mean light is restored from the noisy image. None = off."""
    gamma: Literal["auto"] | Annotated[float, Field(ge=1, le=3)] = "auto"
    """Exponent of the light in which the noise is symmetric: 1 for noise added to finished images, 2.2 for
    sensor noise. `auto` estimates it from the image's flat places."""
    coarse: Annotated[float, Field(gt=0, le=255)] | None = None
    """Standard deviation of noise, grey levels of 255 in an image of half the size, at which light is
    restored in equal parts from denoised smaller versions of the image and from its neighbourhoods. None =
    from the neighbourhoods alone."""
    detail: Annotated[float, Field(gt=0, le=32)] | None = None
    """Sigma, px, of the neighbourhoods in which differences beyond noise are restored. None = off."""
    strength: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Weight of the denoised image in the result; the rest is the noisy image."""

    def chosen(self, parts: Parts | None, strength: float | None) -> "Finish":
        """Return a copy with other parts or strength; None keeps the current ones.

        Parts that were off get their defaults.

        Raises
        ------
        ConfigError
            If `strength` is not in [0, 1].
        """
        own: dict[str, float | None] = {}
        if strength is not None:
            if not 0 <= strength <= 1:
                raise ConfigError(f"strength: expected a number from 0 to 1, got {strength:g}")
            own["strength"] = strength
        if parts is not None:
            light, detail = parts in ("light", "all"), parts in ("detail", "all")
            own |= {"light": (self.light or LIGHT) if light else None}
            own |= {"coarse": (self.coarse if self.light else COARSE) if light else None}
            own |= {"detail": (self.detail or DETAIL) if detail else None}
        return self.model_copy(update=own)

    @property
    def changes(self) -> bool:
        """Whether this changes images at all."""
        return self.light is not None or self.detail is not None or self.strength < 1

    @property
    def denoises(self) -> bool:
        """Whether this denoises smaller versions of the image, too."""
        return self.light is not None and self.coarse is not None

    def __call__(
        self, pair: Pair, report_gamma: Callable[[float], object] | None = None
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Finish an image of any size.

        Parameters
        ----------
        pair : Pair
            Noisy and denoised image. Not modified.
        report_gamma : callable, optional
            Called with the estimated gamma.

        Yields
        ------
        top : int
            First row of a band of the result.
        band : ndarray of float32, shape (rows, W, C)
            Data range 1, not clipped. The values do not depend on the strips.
        """
        places = flat_places(pair)
        gamma = self.gamma
        if gamma == "auto" and self.light is not None:
            gamma = gamma_of([skewness(pair, places)])
            if report_gamma is not None:
                report_gamma(gamma)
        yield from self.model_copy(update={"gamma": gamma})._bands(pair, places, SIZES)

    def _bands(self, pair: Pair, places: FlatPlaces, sizes: int) -> Iterator[tuple[int, np.ndarray]]:
        light = self._light(pair, sizes)
        noise, margin = None, 0
        if self.detail is not None and len(places.corners) >= MIN_PLACES:
            rounding = pair.step**2 / 12  # variance of the rounding error of integers
            noise = NoiseCurve(places, rounding + 1e-10)
            margin = -(-detail_radius(self.detail) // 4) * 4
        for top, bottom, first, last in pair.strips_with(margin):
            noisy, result = pair.strip(first, last)
            if light is not None:
                result = result + light.rows(first, last)
            if self.detail is not None and noise is not None:
                result = with_detail(noisy, result, self.detail, noise)
            if self.strength < 1:
                result = noisy + np.float32(self.strength) * (result - noisy)
            yield top, result[top - first : bottom - first]

    def _light(self, pair: Pair, sizes: int) -> SmoothField | None:
        """Return what to add to the denoised image, from at most `sizes` smaller versions."""
        if self.light is None or self.gamma == "auto":
            return None
        local = local_light(pair, self.light, self.gamma)
        small = min(pair.noisy.shape[:2]) < SMALLEST
        if self.coarse is None or pair.denoise is None or not sizes or small:
            return local.correction
        whole = self.model_copy(update={"strength": 1.0})

        def finished(half: Pair) -> np.ndarray:
            result = np.empty_like(half.denoised)
            for top, band in whole._bands(half, flat_places(half), sizes - 1):
                result[top : top + len(band)] = band
            return result

        return light_of_half(pair, pair.denoise, local, self.gamma, self.coarse / 255, finished)

    def tensor(
        self, noisy: Tensor, denoised: Tensor, step: float, denoise: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """Finish an image (C, H, W) float32 of data range 1; see `Pair` for `step` and `denoise`."""

        def of_array(image: np.ndarray) -> np.ndarray:
            assert denoise is not None
            return _as_array(denoise(_as_tensor(image)))

        again = None if denoise is None else of_array
        bands = [band for _, band in self(Pair(_as_array(noisy), _as_array(denoised), 1.0, step, again))]
        return _as_tensor(np.concatenate(bands))


def _as_array(image: Tensor) -> np.ndarray:
    return image.permute(1, 2, 0).contiguous().numpy()


def _as_tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1).contiguous()


NOTHING = Finish()
"""Leaves the network's result unchanged."""


def found_gamma(pairs: Iterator[Pair]) -> float:
    """Estimate one gamma from several images; see `Finish.gamma`."""
    return gamma_of(skewness(pair, flat_places(pair)) for pair in pairs)
