"""A file of decoded images: written once, verified, and memory-mapped by all its readers.

The file holds a magic number, the arrays of all images, an index of them, and a footer with the checksum of
the index. The footer is written last, so a file without it is incomplete.
"""

import mmap
import os
import struct
import weakref
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

MAGIC = b"NLN2Vpk2"
"""First and last bytes of the file; the digit is the version of the format."""
KEY_BYTES = 16
"""Size of the digest that identifies the source of the images."""

# Place of an image in the file. `dtype` is empty if the image is not in it; `data_range` is 0 if unknown.
_ENTRY = np.dtype([
    ("start", "<u8"), ("shape", "<u4", 3), ("dtype", "S8"), ("checksum", "<u4"), ("data_range", "<f8"),
])  # fmt: skip
_FOOTER = struct.Struct(f"<Q{KEY_BYTES}sI8s")  # images, key, checksum of index and key, magic number
_ALIGNMENT = 64


class PackError(Exception):
    """The file cannot be used; the text says why."""


class ForeignFileError(PackError):
    """The file was not written by `PackWriter`."""


class PackWriter:
    """Writes a file of images.

    Parameters
    ----------
    file : binary file
        An empty file.
    images : int
        Number of images in the index; any of them may be missing in the file.
    """

    def __init__(self, file: BinaryIO, images: int) -> None:
        self._file = file
        self._index = np.zeros((images, 2), _ENTRY)
        self._end = file.write(MAGIC)

    def add(
        self, number: int, noisy: np.ndarray, clean: np.ndarray | None = None,
        data_ranges: tuple[float | None, float | None] = (None, None),
    ) -> None:  # fmt: skip
        """Write an image of shape (H, W, C) and its clean image, if any, with their data ranges, if known."""
        for entry, values, data_range in zip(self._index[number], (noisy, clean), data_ranges, strict=True):
            if values is None:
                continue
            entry["data_range"] = data_range or 0
            padding = -self._end % _ALIGNMENT
            content = np.ascontiguousarray(values)
            entry["start"], entry["shape"] = self._end + padding, content.shape
            entry["dtype"], entry["checksum"] = content.dtype.str.encode(), zlib.crc32(content.data)
            self._file.write(bytes(padding))
            self._file.write(content.data)
            self._end += padding + content.nbytes

    def finish(self, key: bytes) -> None:
        """Write the index and the footer; `key` has `KEY_BYTES`."""
        index = self._index.tobytes()
        self._file.write(index)
        self._file.write(_FOOTER.pack(len(self._index), key, zlib.crc32(key, zlib.crc32(index)), MAGIC))
        self._file.flush()


class Pack:
    """A memory-mapped file of images.

    It can be pickled for another process of the same machine. That process maps the same file, even if its
    path has been replaced since, while this process lives.

    Parameters
    ----------
    path : Path
        The file.

    Attributes
    ----------
    key : bytes
        The key of `PackWriter.finish`.
    nbytes : int
        Size of the file.

    Raises
    ------
    PackError
        When the file was not written by `PackWriter`, or is incomplete.
    OSError
        When the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open(path, "rb")
        weakref.finalize(self, self._file.close)
        self.nbytes = os.fstat(self._file.fileno()).st_size
        if (head := self._file.read(len(MAGIC))) != MAGIC:
            if head[:-1] == MAGIC[:-1]:
                raise PackError("was written by another version of this program")
            # After a power cut, a file may keep its size and lose its content.
            foreign = head.strip(b"\0")
            raise ForeignFileError("was not written by this program") if foreign else PackError("is empty")
        # The array keeps the mapping alive.
        self._bytes = np.frombuffer(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
        self._index, self.key = self._read_index()

    def _read_index(self) -> tuple[np.ndarray, bytes]:
        end = self.nbytes - _FOOTER.size
        count, key, checksum, magic = _FOOTER.unpack(self._bytes[end:].data) if end > 0 else (0, b"", 0, b"")
        start = end - count * 2 * _ENTRY.itemsize
        if magic != MAGIC or start < len(MAGIC):
            raise PackError("is cut short")
        index = self._bytes[start:end]
        if zlib.crc32(key, zlib.crc32(index.data)) != checksum:
            raise PackError("is damaged: its index")
        return index.copy().view(_ENTRY).reshape(count, 2), key

    def __contains__(self, number: int) -> bool:
        return bool(self._index[number, 0]["dtype"])

    def __len__(self) -> int:
        return len(self._index)

    def read(self, number: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Return an image, shape (H, W, C), and its clean image, if any, as views of the file."""
        noisy, clean = self._index[number]
        return self._values(noisy), self._values(clean) if clean["dtype"] else None

    def data_ranges(self, number: int) -> tuple[float | None, float | None]:
        """Return the data ranges of an image and of its clean image, if known from their headers."""
        noisy, clean = (float(data_range) or None for data_range in self._index[number]["data_range"])
        return noisy, clean

    def is_intact(self, number: int) -> bool:
        """Return whether the checksums of an image are right."""
        entries = (entry for entry in self._index[number] if entry["dtype"])
        return all(zlib.crc32(self._values(entry).data) == entry["checksum"] for entry in entries)

    def _values(self, entry: np.void) -> np.ndarray:
        start, shape, dtype = entry["start"].item(), entry["shape"].tolist(), entry["dtype"].decode()
        end = start + shape[0] * shape[1] * shape[2] * np.dtype(dtype).itemsize
        return self._bytes[start:end].view(dtype).reshape(shape)

    def __reduce__(self) -> tuple[type["Pack"], tuple[Path]]:
        link = Path(f"/proc/{os.getpid()}/fd/{self._file.fileno()}")
        return Pack, (link if link.exists() else self._path,)
