"""Estimate one gamma for all images of a folder, in several of them together."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from src.trainer.finish import Finish, found_gamma
from src.trainer.finish.strips import Pair
from src.trainer.inference.pixels import denoised_pair
from src.trainer.inference.trained import Trained
from src.util.errors import DataError
from src.util.images.formats.holes import without_nan
from src.util.images.formats.stored import open_image
from src.util.images.io import suits
from src.util.images.value_range import checked_data_range
from src.util.logger import LOG

LOOKED_AT = 8
_EDGE = 512


def with_common_light(trained: Trained, paths: Sequence[Path], max_pixels: int) -> Finish:
    """Return one finish for all images of a folder. Several images give a better estimate than each alone.

    Parameters
    ----------
    trained : Trained
        The network and the finish of its configuration.
    paths : sequence of Path
        The folder's images. `LOOKED_AT` of them, evenly spread, are measured.
    max_pixels : int
        Larger images are skipped.

    Returns
    -------
    Finish
        The configuration's finish, with the gamma that was found. Unchanged if it has a gamma already, or
        restores no light.
    """
    finish = trained.config.test.finish
    if finish.light is None or finish.gamma != "auto" or len(paths) < 2:
        return finish
    count = min(LOOKED_AT, len(paths))
    chosen = [paths[number * len(paths) // count] for number in range(count)]
    gamma = found_gamma(pair for path in chosen for pair in _pairs(trained, path, max_pixels))
    LOG.info(
        "light is given back with gamma %g, found in %d images (--set test.finish.gamma=G)", gamma, count
    )
    return finish.model_copy(update={"gamma": gamma})


def _pairs(trained: Trained, path: Path, max_pixels: int) -> Iterator[Pair]:
    """Yield the middle of an image before and after the network. Yield nothing for an unusable image."""
    config = trained.config
    try:
        with open_image(path, max_pixels) as stored:
            stored_pixels, header_range = stored.read(0, alpha=False).pixels, stored.info(0).data_range
        data_range = checked_data_range(stored_pixels, config.data_range, str(path), header_range, config.nan)
        pixels, _ = without_nan(stored_pixels)
        top, left = (max(0, edge - _EDGE) // 2 for edge in pixels.shape[:2])
        part = np.ascontiguousarray(pixels[top : top + _EDGE, left : left + _EDGE])
        apart = config.test.each_channel and not suits(part.shape[2], config.model.kwargs["in_channels"])
        yield denoised_pair(trained.whole, part, data_range, str(path), apart)
    except DataError:  # reported when the image itself is denoised
        return
