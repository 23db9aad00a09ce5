"""SIDD's block files (MAT version 5): one large uint8 array, inflated once, in the order in which it is used.

MATLAB stores the first index fastest, so that the bytes of one block lie scattered over the whole file, and
it deflates the file besides. Here the array is read as a stream, a slab at a time, and written block by block
to a temporary file without a name, which is mapped: the blocks take no memory of a process, only disk cache,
and forked worker processes share them.

Format: MATLAB, "MAT-File Format", chapter 1 (level 5 MAT-files).
"""

import math
import struct
import tempfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from src.util.errors import DataError, StorageError

PAGE = "https://abdokamel.github.io/sidd/"
"""Where the files come from."""

Shape = tuple[int, int, int, int, int]

_HEADER_BYTES = 128
_UINT8, _MATRIX, _COMPRESSED = 2, 14, 15  # types of elements
_PIECE_BYTES, _SLAB_BYTES = 2**20, 16 * 2**20  # read at once, and turned over at once
_STRIP = 256
_MOST_DEFLATED = 1_100  # zlib makes at most 1,032 bytes of one


def declared_shape(file: Path) -> Shape:
    """The shape (images, blocks, H, W, 3) of the array that has the file's name, from the headers alone.

    Raises
    ------
    DataError
        When the file is missing, no MAT file of version 5, or the array is another.
    """
    from scipy import io  # loaded where it is needed: every command knows all datasets

    if not file.is_file():
        raise DataError(f"{file}: no such file; download it from {PAGE}, or set `data_dir` to where it is")
    try:
        arrays = {name: (shape, kind) for name, shape, kind in io.whosmat(file)}
    except NotImplementedError:
        raise DataError(f"{file}: expected a MAT file of version 5, as published, got version 7.3") from None
    except Exception as error:  # SciPy raises anything on a damaged file
        raise DataError(f"{file}: not a MAT file of version 5, or damaged ({error})") from None
    shape, kind = arrays.get(file.stem, ((), ""))
    if not shape:
        raise DataError(f"{file}: expected an array {file.stem}, found {', '.join(arrays) or 'none'}")
    if kind != "uint8" or len(shape) != 5 or shape[4] != 3 or 0 in shape:
        raise DataError(f"{file}: expected uint8 of shape (images, blocks, H, W, 3), got {kind} {shape}")
    if math.prod(shape) > _MOST_DEFLATED * file.stat().st_size:
        reason = f"it claims {shape}, far more than it can hold"
        raise DataError(f"{file}: damaged ({reason}); download it again from {PAGE}")
    return shape


def read_blocks(file: Path) -> np.ndarray:
    """The array that has the file's name.

    Parameters
    ----------
    file : Path
        A MAT file of version 5, deflated or not.

    Returns
    -------
    ndarray of uint8, shape (images * blocks, H, W, 3)
        Block j of image i is at i * blocks + j. Mapped, read-only; the disk space is free again when it goes.

    Raises
    ------
    DataError
        See `declared_shape`; also when the file is cut short or damaged.
    StorageError
        When there is no room for the temporary file.
    """
    shape = declared_shape(file)
    with tempfile.TemporaryFile(buffering=0) as blocks:
        try:
            with open(file, "rb") as stored:
                _transpose(stored, file.stem, shape, blocks)
        except (EOFError, zlib.error, struct.error) as error:
            raise DataError(f"{file}: damaged ({error}); download it again from {PAGE}") from None
        except OSError as error:
            raise StorageError(
                f"{file}: cannot be unpacked to {tempfile.gettempdir()}: {error.strerror or error};"
                f" {np.prod(shape) / 1e6:.0f} MB are needed there (TMPDIR names another place)"
            ) from None
        images, count, height, width, channels = shape
        # The mapping holds the file by itself. Rows, columns and channels are still in the file's own order.
        mapped = np.memmap(blocks, np.uint8, "r", shape=(images * count, channels, width, height))
    return np.asarray(mapped).transpose(0, 3, 2, 1)


class _Inflated:
    """Reads a deflated element of an open file, as much as is asked for."""

    def __init__(self, stored: BinaryIO, size: int) -> None:
        self._stored, self._left = stored, size
        self._inflate = zlib.decompressobj()

    def read(self, count: int) -> bytes:
        """The next `count` bytes; fewer only where the element ends."""
        parts = []
        while count > 0 and not self._inflate.eof:
            given = self._inflate.unconsumed_tail
            if not given:
                given = self._stored.read(min(self._left, _PIECE_BYTES))
                self._left -= len(given)
            part = self._inflate.decompress(given, count)
            if not given and not part:
                break
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def verify(self) -> None:
        """Read to the end, where zlib compares its checksum."""
        self.read(8)  # padding
        if not self._inflate.eof:
            raise EOFError("its end is missing")


def _transpose(stored: BinaryIO, name: str, shape: Shape, blocks: BinaryIO) -> None:
    """Write the array, which is stored with its first index fastest, block by block."""
    images, count, height, width, channels = shape
    pixels = height * width * channels
    content = _find_data(stored, name, images * count * pixels)
    at_once = max(1, _SLAB_BYTES // (images * count))
    for start in range(0, pixels, at_once):
        part = min(at_once, pixels - start)
        slab = np.frombuffer(_exactly(content, images * count * part), np.uint8)
        for column, row in enumerate(_transposed(slab.reshape(part, images * count))):
            block, image = divmod(column, images)
            blocks.seek((image * count + block) * pixels + start)
            blocks.write(row.data)
    if isinstance(content, _Inflated):
        content.verify()


def _transposed(slab: np.ndarray) -> np.ndarray:
    """A transposed copy, made in strips that fit into a processor's cache: eight times as fast as at once."""
    turned = np.empty(slab.shape[::-1], slab.dtype)
    for start in range(0, len(slab), _STRIP):
        turned[:, start : start + _STRIP] = slab[start : start + _STRIP].T
    return turned


def _find_data(stored: BinaryIO, name: str, size: int) -> "BinaryIO | _Inflated":
    """Go through the file's elements to the numbers of the array `name`, `size` bytes."""
    stored.seek(_HEADER_BYTES - 2)
    order = "<" if stored.read(2) == b"IM" else ">"
    while tag := stored.read(8):
        kind, length = struct.unpack(order + "II", tag)
        end = stored.tell() + length
        content = _Inflated(stored, length) if kind == _COMPRESSED else stored
        if kind == _COMPRESSED:
            kind, _ = struct.unpack(order + "II", content.read(8))
        if kind == _MATRIX and length and _name_of_matrix(content, order) == name:
            kind, length = struct.unpack(order + "II", _exactly(content, 8))
            if (kind, length) != (_UINT8, size):
                raise EOFError(f"{length} bytes of type {kind} where {size} of type {_UINT8} belong")
            return content
        stored.seek(end)
    raise EOFError(f"no array {name}")


def _name_of_matrix(content: "BinaryIO | _Inflated", order: str) -> str:
    for _ in ("flags", "dimensions"):
        _element(content, order)
    return _element(content, order).decode("ascii", "replace")


def _element(content: "BinaryIO | _Inflated", order: str) -> bytes:
    tag = _exactly(content, 8)
    kind, size = struct.unpack(order + "II", tag)
    if kind >> 16:  # a small element: its up to four bytes stand in the tag
        return tag[4 : 4 + (kind >> 16)]
    return _exactly(content, size + -size % 8)[:size]


def _exactly(content: "BinaryIO | _Inflated", count: int) -> bytes:
    found = content.read(count)
    if len(found) < count:
        raise EOFError("it is cut short")
    return found
