"""The layout of a denoised TIFF page: that of its source, where possible."""

from typing import Any

import numpy as np

from src.util.images.formats.base import Page
from src.util.images.formats.tiff_tags import BLACK_IS_0, RGB, WHITE_IS_0, bits_of, resolution

_WITHOUT_LOSS = {1: None, 5: "lzw", 8: "adobe_deflate", 32946: "deflate", 32773: "packbits",
                 34925: "lzma", 50000: "zstd"}  # fmt: skip
_EXTRA = (0, 1, 2)  # values of ExtraSamples: unspecified, premultiplied alpha, alpha


def stored_layout(page: Page, tags: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """Return a page as an array and arguments for tifffile.

    Parameters
    ----------
    page : Page
        The denoised page, inverted if white is 0 in the source.
    tags : tifffile.TiffPage
        The source's page.

    Returns
    -------
    (ndarray, dict)
        The array (H, W), (H, W, C) or, for channels in planes, (C, H, W), and the arguments of
        `TiffWriter.write`.
    """
    array = page.stacked
    in_planes = tags.planarconfig == 2 and array.shape[2] > 1
    in_tiles = tags.is_tiled and tags.tilewidth % 16 == tags.tilelength % 16 == 0
    bits = bits_of(tags)
    # A lossy compression is replaced by a lossless one. tifffile cannot compress packed values.
    compression = None if bits else _WITHOUT_LOSS.get(int(tags.compression), "adobe_deflate")
    predictor = int(tags.predictor) if compression and tags.predictor in (2, 3) else None
    if predictor and (predictor == 3) != (array.dtype.kind == "f"):
        predictor = None
    photometric = int(tags.photometric) if tags.photometric in (WHITE_IS_0, BLACK_IS_0) else RGB
    photometric = BLACK_IS_0 if array.shape[2] < 3 and photometric == RGB else photometric
    layout: dict[str, Any] = {
        "photometric": photometric,
        "planarconfig": None if array.shape[2] == 1 else 2 if in_planes else 1,
        "extrasamples": _extra_samples(tags, array.shape[2] - (3 if photometric == RGB else 1)),
        "bitspersample": bits,
        "compression": compression,
        "predictor": predictor,
        "subfiletype": int(tags.subfiletype) or None,
        "tile": (tags.tilelength, tags.tilewidth) if in_tiles else None,
        "rowsperstrip": None if in_tiles else min(tags.rowsperstrip or array.shape[0], array.shape[0]),
        "metadata": None,
        "software": False,
        "maxworkers": 1,
    }
    if found := resolution(tags):
        layout |= {"resolution": found[:2], "resolutionunit": found[2]}
    if array.shape[2] == 1:
        return array[..., 0], layout
    return (np.ascontiguousarray(np.moveaxis(array, 2, 0)) if in_planes else array), layout


def _extra_samples(tags: Any, count: int) -> list[int] | None:
    """Return the meaning of the `count` last channels, unspecified if the source has none.

    By default tifffile would declare a fourth channel as transparency.
    """
    known = [int(value) if value in _EXTRA else 0 for value in tags.extrasamples]
    return ([0] * count + known)[-count:] if count > 0 else None
