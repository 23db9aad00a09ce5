"""Read and write pictures: the only place that knows OpenCV, its BGR order, and how values become 8 bits."""

import os
import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from src.util.atomic_file import write_atomically
from src.util.errors import DataError, NonFiniteError, StorageError
from src.util.picture_header import PictureInfo, inspect_picture, inspect_stream

if TYPE_CHECKING:  # torch takes 200 MB and two seconds, which cutting pictures into pieces can do without
    import torch

__all__ = [
    "ENDINGS",
    "PictureInfo",
    "PictureWarning",
    "as_channels",
    "channels_message",
    "encode_picture",
    "inspect_picture",
    "read_picture",
    "to_float",
    "to_uint8",
    "use_one_thread",
    "write_picture",
]

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pnm")
"""Endings, in any case, that make a file a picture when a folder is listed."""


class PictureWarning(UserWarning):
    """Something of a picture was left out or repeated to suit the network."""


def read_picture(path: str | os.PathLike[str]) -> np.ndarray:
    """Decode a picture, upright, as it is seen.

    Parameters
    ----------
    path : path
        An 8-bit grey or RGB picture. Transparency is dropped and a palette expanded, with a warning.

    Returns
    -------
    ndarray of uint8, shape (H, W, C)
        C is 1 for a grey picture and 3 (R, G, B) otherwise; 0 to 255.

    Raises
    ------
    DataError
        When the file is missing, damaged or of another kind: see `inspect_picture`.
    """
    path = Path(path)
    try:
        stored = np.fromfile(path, np.uint8)  # OpenCV's own reader fails on some names on some systems
    except OSError:
        stored = np.empty(0, np.uint8)
    if not stored.size:
        inspect_picture(path)  # knows why
    info = inspect_stream(BytesIO(stored.data), path)
    if not _checksums_agree(stored.data):
        raise DataError(f"{path}: the picture is damaged (a checksum is wrong); copy the file again")
    if info.change:
        warnings.warn(info.change, PictureWarning, stacklevel=2)
    colour = cv2.IMREAD_COLOR if info.channels == 3 else cv2.IMREAD_GRAYSCALE
    try:
        picture = cv2.imdecode(stored, colour | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        picture = None
    if picture is None:
        raise DataError(f"{path}: the picture is damaged and cannot be decoded")
    picture = _upright(picture.reshape(*picture.shape[:2], info.channels), info.orientation)
    if picture.shape != (info.height, info.width, info.channels):
        raise DataError(f"{path}: header and content disagree about the size")
    return np.ascontiguousarray(picture[..., ::-1])


def _checksums_agree(stored: memoryview) -> bool:
    """Check each chunk of a PNG; OpenCV 4 returns what it could decode of a damaged one."""
    if bytes(stored[:4]) != b"\x89PNG":
        return True
    start = 8
    while start + 12 <= len(stored):
        length = int.from_bytes(stored[start : start + 4], "big")
        body, end = stored[start + 4 : start + 8 + length], start + 12 + length
        if zlib.crc32(body) != int.from_bytes(stored[end - 4 : end], "big"):
            return False
        if bytes(body[:4]) == b"IEND":
            return True
        start = end
    return False


def _upright(picture: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation: 2 to 4 mirror and turn by 180 degrees, 5 to 8 swap rows and columns."""
    if orientation >= 5:
        picture = picture.transpose(1, 0, 2)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return picture[::rows, ::columns]


def write_picture(path: str | os.PathLike[str], picture: np.ndarray) -> None:
    """Write a picture; under its name stands the old file or the whole new one, never a part.

    Parameters
    ----------
    path, picture
        See `encode_picture`; the path's folder exists.

    Raises
    ------
    StorageError
        When the ending is no picture's, or the disk refuses.
    """
    encoded = encode_picture(path, picture)
    write_atomically(Path(path), lambda file: file.write(encoded))


def encode_picture(path: str | os.PathLike[str], picture: np.ndarray) -> memoryview:
    """The content of a picture's file.

    Parameters
    ----------
    path : path
        Its ending chooses the format; nothing is written.
    picture : ndarray of uint8, shape (H, W, C)
        C is 1 (grey) or 3 (R, G, B); left as it is. `to_uint8` makes one from a network's output.

    Returns
    -------
    memoryview
        Bytes; the same picture always gives the same.

    Raises
    ------
    StorageError
        When the ending is no picture's, or the format cannot hold the picture.
    """
    path = Path(path)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (1, 3):
        raise ValueError(f"picture: expected uint8 (H, W, 1 or 3), got {picture.dtype} {picture.shape}")
    if path.suffix.lower() not in ENDINGS:
        raise StorageError(f"{path}: cannot be written: the name must end with one of {', '.join(ENDINGS)}")
    done, encoded = cv2.imencode(path.suffix.lower(), np.ascontiguousarray(picture[..., ::-1]))
    if not done:
        raise StorageError(f"{path}: cannot be written: a {picture.shape} picture does not fit this format")
    return encoded.data


def to_uint8(values: "torch.Tensor | np.ndarray") -> np.ndarray:
    """The one rule by which values become 8 bits: clip to [0, 1], times 255, round to nearest.

    Parameters
    ----------
    values : Tensor or ndarray of floating point, shape (C, H, W)
        1.0 is white; left as it is.

    Returns
    -------
    ndarray of uint8, shape (H, W, C)

    Raises
    ------
    NonFiniteError
        When a value is NaN or infinite: it would become some grey and hide that something is broken.
    """
    if not isinstance(values, np.ndarray):
        values = _as_array(values)
    if values.ndim != 3 or not np.issubdtype(values.dtype, np.floating):
        raise ValueError(f"values: expected floating point (C, H, W), got {values.dtype} {values.shape}")
    if not np.isfinite(values).all():
        count = np.count_nonzero(~np.isfinite(values))
        raise NonFiniteError(f"{count} of a picture's {values.size} values are NaN or infinite")
    rounded = np.rint(np.clip(values, 0, 1) * 255)
    return np.ascontiguousarray(rounded.transpose(1, 2, 0).astype(np.uint8))


def _as_array(values: "torch.Tensor") -> np.ndarray:
    import torch

    return values.detach().to("cpu", torch.promote_types(values.dtype, torch.float32)).numpy()


def to_float(picture: np.ndarray) -> "torch.Tensor":
    """A picture as the network sees it.

    Parameters
    ----------
    picture : ndarray of uint8 or float32, shape (H, W, C)
        0 to 255 if uint8; float32 is on the scale where 1.0 is white already. Left as it is.

    Returns
    -------
    Tensor of float32, shape (C, H, W)
        A copy; white is 1.0.
    """
    import torch

    values = torch.from_numpy(np.array(picture.transpose(2, 0, 1), dtype=np.float32, order="C"))
    return values.div_(255) if picture.dtype == np.uint8 else values


def as_channels(picture: np.ndarray, channels: int) -> np.ndarray:
    """A picture with the network's number of channels.

    Parameters
    ----------
    picture : ndarray, shape (H, W, C)
        A grey picture (C = 1) becomes equal channels.
    channels : int
        The network's `in_channels`.

    Returns
    -------
    ndarray, shape (H, W, channels)

    Raises
    ------
    DataError
        When the picture has colours that the network cannot take.
    """
    found = picture.shape[2]
    if found == channels:
        return picture
    if found != 1:
        raise DataError(channels_message(found, channels))
    return np.repeat(picture, channels, axis=2)


def channels_message(found: int, channels: int) -> str:
    """Why a picture of `found` channels does not suit a network of `channels`."""
    return f"the picture has {found} channels, the network takes {channels} (in_channels: {channels})"


def use_one_thread() -> None:
    """Keep OpenCV from starting threads of its own; for loader workers, which are many already."""
    cv2.setNumThreads(0)
