"""Measure the noise of each image with its relatives: the images whose noise is correlated most similarly.

Images of several cameras do not have the same noise. One image alone has few flat places, and a texture
that covers it counts as noise; its relatives rarely have the same texture.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.spatial.distance import cdist

from src.data_handlers.datasets.measured_noise import MeasuredNoise
from src.trainer.adapt.measure import NoisePlaces, correlation, is_flat, measure_noise

RELATIVES = 8
"""Images in which the noise of an image is measured, with itself."""


def noise_of_each(found: Sequence[NoisePlaces], gamma: float, step: float) -> list[MeasuredNoise]:
    """Measure the noise of each image.

    Parameters
    ----------
    found, gamma, step
        As for `measure_noise`.

    Returns
    -------
    list of MeasuredNoise
        As many as images. Empty if the noise cannot be measured.

    Notes
    -----
    An image has the mean correlation of its relatives, each measured in the flattest places of its own.
    Pooled places would mostly be those of the image with the strongest noise. Strength by brightness is
    measured in all images together, with a factor for each, because it suffers more from texture. An image
    that is flat nowhere has the correlation of all images, too.
    """
    pooled = measure_noise(found, gamma, step)
    if pooled is None:
        return []
    noises = [pooled.of_image(number) for number in range(len(found))]
    channels = max(each.channels for each in found)
    flat = [number for number, each in enumerate(found) if is_flat(each)]
    if len(flat) <= RELATIVES:
        return noises
    known = [replace(pooled.noise, shared=correlation(found[n].with_channels(channels))) for n in flat]
    compared = np.stack([noise.tapered.ravel() for noise in known])
    for number, distances in zip(flat, cdist(compared, compared), strict=True):
        nearest = np.argsort(distances, kind="stable")[:RELATIVES]
        shared = np.mean([known[relative].shared for relative in nearest], axis=0)
        noises[number] = replace(noises[number], shared=shared)
    return noises
