"""Make the views of an image: its centre, at full resolution, in a bounded number of bytes.

H, W: height and width in pixels; C: channels.
"""

import math
from base64 import b64encode
from collections.abc import Mapping
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from src.util.images.io import to_uint8

LOSSLESS: dict[str, Any] = {"format": "PNG", "compress_level": 3}
# No chroma subsampling: camera noise is coloured.
COMPRESSED: dict[str, Any] = {"format": "JPEG", "quality": 85, "subsampling": 0}
THUMBNAIL = 72
# First guess: bytes per pixel of all views together, for photographs with camera noise.
_LOSSLESS_DENSITY, _COMPRESSED_DENSITY = 7.0, 2.1
# If lossless crops would be smaller than this, larger compressed ones are made instead.
_LOSSLESS_AREA = 192**2


class Views(NamedTuple):
    """Views of one crop of an image.

    Attributes
    ----------
    files : dict of str to str
        Name of the view to its image file, as a `data:` URI.
    width, height : int
        Size of the crop, in pixels.
    lossless : bool
        Whether the views are PNG; otherwise they are JPEG.
    bytes : int
        Size of the files before base64.
    """

    files: dict[str, str]
    width: int
    height: int
    lossless: bool
    bytes: int


def centre(values: Tensor | np.ndarray, edge: int, data_range: float) -> np.ndarray:
    """Return the middle of an image, without copying the rest.

    Parameters
    ----------
    values : Tensor of shape (C, H, W), or ndarray of shape (H, W, C) or (H, W)
        Values of any type.
    edge : int
        Largest height and width of the result, in pixels.
    data_range : float
        The value that becomes 1.

    Returns
    -------
    ndarray of float32, shape (h, w, 1 or 3)
        The first three channels, or the first where there are fewer.
    """
    seen = _shown(values)
    top, left = ((length - min(length, edge)) // 2 for length in seen.shape[:2])
    return _array(seen[top : top + edge, left : left + edge]) / np.float32(data_range)


def size(values: Tensor | np.ndarray) -> tuple[int, int, int]:
    """Return height, width and channels of an image in a format of `centre`."""
    if isinstance(values, Tensor):
        channels, height, width = values.shape
        return height, width, channels
    return values.shape[0], values.shape[1], values.shape[2] if values.ndim == 3 else 1


def brightness(shown: np.ndarray) -> int:
    """Return the gain for display, a power of two: 8 or more for a nearly black image, else 1.

    Counts of a 12-bit sensor in a 16-bit file are nearly black, for example.
    """
    known = shown[~np.isnan(shown)]
    bright = float(np.quantile(known, 0.995)) if known.size else 0.0
    factor = 2 ** int(math.log2(1 / bright)) if 0 < bright < 1 else 1
    return min(factor, 2**16) if factor >= 8 else 1


def to_levels(shown: np.ndarray) -> np.ndarray:
    """Convert values (H, W, C) in [0, 1] to uint8, with NaN as black; see `to_uint8`."""
    return to_uint8(np.where(np.isnan(shown), np.float32(0), shown).transpose(2, 0, 1))


def thumbnail(values: Tensor | np.ndarray, gain: float) -> str:
    """Return a thumbnail of the whole image, times `gain`, as a `data:` URI."""
    seen = _shown(values)
    step = max(1, min(seen.shape[:2]) // (4 * THUMBNAIL))  # avoids a copy of a large image
    image = _image(to_levels(gain * _array(seen[::step, ::step])))
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR)
    return _uri(_encoded(image, {"format": "JPEG", "quality": 70}), "JPEG")


def encode(views: Mapping[str, np.ndarray], budget: int) -> Views | None:
    """Encode the common centre of all views, as large as the budget allows.

    Parameters
    ----------
    views : mapping of str to ndarray of uint8, shape (H, W, 1 or 3)
        Views of one height and width.
    budget : int
        Most bytes of all files together.

    Returns
    -------
    Views or None
        None if the budget is too small.
    """
    height, width = next(iter(views.values())).shape[:2]
    lossless = budget / _LOSSLESS_DENSITY >= min(_LOSSLESS_AREA, height * width)
    rule = LOSSLESS if lossless else COMPRESSED
    area = budget / (_LOSSLESS_DENSITY if lossless else _COMPRESSED_DENSITY)
    for _ in range(8):
        edge = _edge(height, width, area)
        top, left = ((length - min(length, edge)) // 2 for length in (height, width))
        cut = {name: view[top : top + edge, left : left + edge] for name, view in views.items()}
        files = {name: _encoded(_image(view), rule) for name, view in cut.items()}
        used = sum(len(file) for file in files.values())
        if used <= budget:
            uris = {name: _uri(file, rule["format"]) for name, file in files.items()}
            return Views(uris, min(width, edge), min(height, edge), lossless, used)
        area *= 0.9 * budget / used
    return None


def _edge(height: int, width: int, area: float) -> int:
    """Return the edge of the centred square that contains this area of an image."""
    edge = math.isqrt(int(area))
    narrow = min(height, width)
    return max(1, edge if edge <= narrow else int(area / narrow))


def _shown(values: Tensor | np.ndarray) -> Tensor | np.ndarray:
    seen = values.detach().permute(1, 2, 0) if isinstance(values, Tensor) else values
    if seen.ndim == 2:
        seen = seen[..., None]
    return seen[..., :3] if seen.shape[2] >= 3 else seen[..., :1]


def _array(seen: Tensor | np.ndarray) -> np.ndarray:
    if isinstance(seen, Tensor):
        seen = seen.to("cpu", torch.float32).numpy()
    return np.ascontiguousarray(seen, dtype=np.float32)


def _image(levels: np.ndarray) -> Image.Image:
    return Image.fromarray(levels[..., 0] if levels.shape[2] == 1 else levels)


def _encoded(image: Image.Image, rule: Mapping[str, Any]) -> bytes:
    file = BytesIO()
    image.save(file, **rule)
    return file.getvalue()


def _uri(file: bytes, kind: str) -> str:
    return f"data:image/{kind.lower()};base64,{b64encode(file).decode('ascii')}"
