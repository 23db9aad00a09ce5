"""Post-process denoised images. Nothing here is trained, so it suits any network."""

from collections.abc import Callable, Iterator
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from src.trainer.finish.detail import detail_radius, with_detail
from src.trainer.finish.flat_places import MIN_PLACES, NoiseCurve, flat_places
from src.trainer.finish.light import LightCorrection, gamma_of, skewness
from src.trainer.finish.strips import Pair
from src.util.config.schema import Block
from src.util.errors import ConfigError

Parts = Literal["none", "light", "detail", "all"]

LIGHT, DETAIL = 16.0, 3.0
"""Default sigma of both parts, px."""


class Finish(Block):
    """`finish`: restores light and detail of the noisy image that are not noise."""

    light: Annotated[float, Field(gt=0, le=256)] | None = None
    """Sigma, px, of the neighbourhoods whose mean light is restored from the noisy image. None = off."""
    gamma: Literal["auto"] | Annotated[float, Field(ge=1, le=3)] = "auto"
    """Exponent of the light in which the noise is symmetric: 1 for noise added to finished images, 2.2 for
    sensor noise. `auto` estimates it from the image's flat places."""
    detail: Annotated[float, Field(gt=0, le=32)] | None = None
    """Sigma, px, of the neighbourhoods in which differences beyond noise are restored. None = off."""
    strength: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Weight of the denoised image in the result; the rest is the noisy image."""

    def chosen(self, parts: Parts | None, strength: float | None) -> "Finish":
        """Return a copy with other parts or strength; None keeps the current ones.

        Parts that were off get their default sigma.

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
            own |= {"detail": (self.detail or DETAIL) if detail else None}
        return self.model_copy(update=own)

    @property
    def changes(self) -> bool:
        """Whether this changes images at all."""
        return self.light is not None or self.detail is not None or self.strength < 1

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
        light = None
        if self.light is not None:
            gamma = self.gamma
            if gamma == "auto":
                gamma = gamma_of([skewness(pair, places)])
                if report_gamma is not None:
                    report_gamma(gamma)
            light = LightCorrection(pair, self.light, gamma)
        rounding = pair.step**2 / 12  # variance of the rounding error of integers
        noise = NoiseCurve(places, rounding + 1e-10) if len(places.corners) >= MIN_PLACES else None
        margin = 0 if self.detail is None else -(-detail_radius(self.detail) // 4) * 4
        for top, bottom, first, last in pair.strips_with(margin):
            noisy, result = pair.strip(first, last)
            if light is not None:
                result = result + light.rows(first, last)
            if self.detail is not None and noise is not None:
                result = with_detail(noisy, result, self.detail, noise)
            if self.strength < 1:
                result = noisy + np.float32(self.strength) * (result - noisy)
            yield top, result[top - first : bottom - first]

    def tensor(self, noisy: Tensor, denoised: Tensor, step: float) -> Tensor:
        """Finish an image (C, H, W) float32 of data range 1; see `Pair` for `step`."""
        before, after = (values.permute(1, 2, 0).contiguous().numpy() for values in (noisy, denoised))
        bands = [band for _, band in self(Pair(before, after, 1.0, step))]
        return torch.from_numpy(np.concatenate(bands)).permute(2, 0, 1).contiguous()


NOTHING = Finish()
"""Leaves the network's result unchanged."""


def found_gamma(pairs: Iterator[Pair]) -> float:
    """Estimate one gamma from several images; see `Finish.gamma`."""
    return gamma_of(skewness(pair, flat_places(pair)) for pair in pairs)
