"""The last touch to a denoised image, for any network: nothing in it is trained."""

from collections.abc import Callable, Iterator
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from src.trainer.finish.detail import reach_of, with_detail
from src.trainer.finish.flat_places import FEWEST, NoiseCurve, flat_places
from src.trainer.finish.light import LightGivenBack, gamma_of, skewness
from src.trainer.finish.strips import Pair
from src.util.config.schema import Block
from src.util.errors import ConfigError

Parts = Literal["none", "light", "detail", "all"]

LIGHT, DETAIL = 16.0, 3.0
"""Sigma of both, px, where nothing else is said."""


class Finish(Block):
    """`finish`: what is given back of the noisy image, in places and light where that is not noise."""

    light: Annotated[float, Field(gt=0, le=256)] | None = None
    """Sigma, px, of the neighbourhoods whose mean light becomes the noisy image's again. None = not done."""
    gamma: Literal["auto"] | Annotated[float, Field(ge=1, le=3)] = "auto"
    """The power of the light in which noise is fair: 1 for noise that was added to finished images, 2.2 for a
    sensor's. `auto` finds it in the image's flat places."""
    detail: Annotated[float, Field(gt=0, le=32)] | None = None
    """Sigma, px, of the neighbourhoods in which differences beyond noise are given back. None = not done."""
    strength: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the result in what is given; the rest is the noisy image."""

    def chosen(self, parts: Parts | None, strength: float | None) -> "Finish":
        """The same with other parts, those that were not used at their defaults; None leaves all as it is.

        Raises
        ------
        ConfigError
            When `strength` is not from 0 to 1.
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
        """Whether anything is done at all."""
        return self.light is not None or self.detail is not None or self.strength < 1

    def __call__(
        self, pair: Pair, told: Callable[[float], object] | None = None
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Finish an image of any size.

        Parameters
        ----------
        pair : Pair
            Noisy and denoised; left as they are.
        told : callable, optional
            Told the power of the light that was found.

        Yields
        ------
        top : int
            First row of a band of the result.
        band : ndarray of float32, shape (rows, W, C)
            data range 1; not clipped. The same values however the image is cut into strips.
        """
        places = flat_places(pair)
        known = len(places.corners) >= FEWEST
        light = None
        if self.light is not None:
            gamma = self.gamma
            if gamma == "auto":
                gamma = gamma_of([skewness(pair, places)])
                if told is not None:
                    told(gamma)
            light = LightGivenBack(pair, self.light, gamma)
        noise = NoiseCurve(places, pair.rounding + 1e-10) if known else None
        margin = 0 if self.detail is None else -(-reach_of(self.detail) // 4) * 4
        for top, bottom, first, last in pair.around(margin):
            noisy, result = pair.strip(first, last)
            if light is not None:
                result = result + light.rows(first, last)
            if self.detail is not None and noise is not None:
                result = with_detail(noisy, result, self.detail, noise)
            if self.strength < 1:
                result = noisy + np.float32(self.strength) * (result - noisy)
            yield top, result[top - first : bottom - first]

    def tensor(self, noisy: Tensor, denoised: Tensor, step: float) -> Tensor:
        """Finish an image (C, H, W), float32 of data range 1; see `Pair` for `step`."""
        before, after = (values.permute(1, 2, 0).contiguous().numpy() for values in (noisy, denoised))
        bands = [band for _, band in self(Pair(before, after, 1.0, step))]
        return torch.from_numpy(np.concatenate(bands)).permute(2, 0, 1).contiguous()


NOTHING = Finish()
"""The network's result as it is."""


def found_gamma(pairs: Iterator[Pair]) -> float:
    """The power of the light in which the noise of several images is fair; see `Finish.gamma`."""
    return gamma_of(skewness(pair, flat_places(pair)) for pair in pairs)
