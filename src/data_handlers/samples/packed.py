"""Decoded images in one file, which is mapped: written once, checked, shared by all who read them.

The file holds a mark, the arrays of all images, an index of them, and a foot with the index's checksum. The
foot comes last: a file without it is not whole.
"""

import mmap
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

MARK = b"NLN2Vpk2"
"""The first bytes of such a file, and its last; the digit is the format's version."""
KEY_BYTES = 16
"""Of the digest that says what the images were made from."""

# An image's place in the file; `kind` is NumPy's type, empty where the image is not in the file; `data_range`
# as its header said, 0 where it did not.
_ENTRY = np.dtype([
    ("start", "<u8"), ("shape", "<u4", 3), ("kind", "S8"), ("checksum", "<u4"), ("white", "<f8"),
])  # fmt: skip
_FOOT = struct.Struct(f"<Q{KEY_BYTES}sI8s")  # images, key, checksum of index and key, mark
_ALIGNMENT = 64


class PackError(Exception):
    """A file that cannot be used; its text says why."""


class ForeignFileError(PackError):
    """A file that no `PackWriter` made."""


class PackWriter:
    """Writes a file of images.

    Parameters
    ----------
    file : binary file
        Empty.
    images : int
        How many there are; any of them may be left out.
    """

    def __init__(self, file: BinaryIO, images: int) -> None:
        self._file = file
        self._index = np.zeros((images, 2), _ENTRY)
        self._end = file.write(MARK)

    def add(
        self, number: int, noisy: np.ndarray, clean: np.ndarray | None = None,
        data_ranges: tuple[float | None, float | None] = (None, None),
    ) -> None:  # fmt: skip
        """Write an image of shape (H, W, C) and, if there is one, its clean partner.

        `data_ranges` are theirs, as far as their headers say.
        """
        for entry, values, data_range in zip(self._index[number], (noisy, clean), data_ranges, strict=True):
            if values is None:
                continue
            entry["white"] = data_range or 0
            padding = -self._end % _ALIGNMENT
            content = np.ascontiguousarray(values)
            entry["start"], entry["shape"] = self._end + padding, content.shape
            entry["kind"], entry["checksum"] = content.dtype.str.encode(), zlib.crc32(content.data)
            self._file.write(bytes(padding))
            self._file.write(content.data)
            self._end += padding + content.nbytes

    def finish(self, key: bytes) -> None:
        """Make the file whole; `key` are `KEY_BYTES`."""
        index = self._index.tobytes()
        self._file.write(index)
        self._file.write(_FOOT.pack(len(self._index), key, zlib.crc32(key, zlib.crc32(index)), MARK))
        self._file.flush()


class Pack:
    """A file of images, mapped.

    It can be sent to another process of the machine, which maps the same file, whatever stands under its name
    by then, as long as this process lives.

    Parameters
    ----------
    path : Path
        The file.

    Attributes
    ----------
    key : bytes
        As it was given to `PackWriter.finish`.
    nbytes : int
        Size of the file.

    Raises
    ------
    PackError
        When it is none of `PackWriter`, or not whole.
    OSError
        When it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._open(path)

    def _open(self, path: Path) -> None:
        self._path = path
        self._file = open(path, "rb")
        self.nbytes = os.fstat(self._file.fileno()).st_size
        if (head := self._file.read(len(MARK))) != MARK:
            if head[:-1] == MARK[:-1]:
                raise PackError("is of another version of this program")
            # After a power cut a disk may keep the size of a file and lose its content.
            raise ForeignFileError("is none of this program") if head.strip(b"\0") else PackError("is empty")
        # The array keeps the mapping.
        self._bytes = np.frombuffer(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
        self._index, self.key = self._read_index()

    def _read_index(self) -> tuple[np.ndarray, bytes]:
        end = self.nbytes - _FOOT.size
        count, key, checksum, mark = _FOOT.unpack(self._bytes[end:].data) if end > 0 else (0, b"", 0, b"")
        start = end - count * 2 * _ENTRY.itemsize
        if mark != MARK or start < len(MARK):
            raise PackError("is cut short")
        index = self._bytes[start:end]
        if zlib.crc32(key, zlib.crc32(index.data)) != checksum:
            raise PackError("is damaged: its index")
        return index.copy().view(_ENTRY).reshape(count, 2), key

    def __contains__(self, number: int) -> bool:
        return bool(self._index[number, 0]["kind"])

    def __len__(self) -> int:
        return len(self._index)

    def read(self, number: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Give an image, shape (H, W, C), and its clean partner if there is one; nothing is copied."""
        noisy, clean = self._index[number]
        return self._values(noisy), self._values(clean) if clean["kind"] else None

    def data_ranges(self, number: int) -> tuple[float | None, float | None]:
        """What was white in an image, and in its clean partner, as far as their headers said."""
        noisy, clean = (float(data_range) or None for data_range in self._index[number]["white"])
        return noisy, clean

    def is_sound(self, number: int) -> bool:
        """Whether an image has the bytes that were written."""
        entries = (entry for entry in self._index[number] if entry["kind"])
        return all(zlib.crc32(self._values(entry).data) == entry["checksum"] for entry in entries)

    def _values(self, entry: np.void) -> np.ndarray:
        start, shape, kind = entry["start"].item(), entry["shape"].tolist(), np.dtype(entry["kind"].decode())
        end = start + shape[0] * shape[1] * shape[2] * kind.itemsize
        return self._bytes[start:end].view(kind).reshape(shape)

    def __getstate__(self) -> Path:
        link = Path(f"/proc/{os.getpid()}/fd/{self._file.fileno()}")
        return link if link.exists() else self._path

    def __setstate__(self, path: Path) -> None:
        self._open(path)
