"""Test data, external programs that read and write images, and a copy through this program."""

import itertools
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile

from src.util.images.formats.stored import open_image

RANDOM = np.random.default_rng(4)


def noise(shape, dtype):
    if np.dtype(dtype).kind == "f":
        return RANDOM.normal(0.5, 0.3, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return RANDOM.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def chunk(kind, data):
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def same_layout(one, other):
    """Assert that two files have the same tags, except for the offsets of the data."""
    moving = {"StripOffsets", "StripByteCounts", "TileOffsets", "TileByteCounts"}
    with tifffile.TiffFile(one) as first, tifffile.TiffFile(other) as second:
        assert len(first.pages) == len(second.pages)
        assert (first.is_bigtiff, first.byteorder) == (second.is_bigtiff, second.byteorder)
        for before, after in zip(first.pages, second.pages, strict=True):
            tags = [{tag.name: str(tag.value) for tag in page.tags.values()} for page in (before, after)]
            for moved in moving:
                assert (moved in tags[0]) == (moved in tags[1])
                tags[0].pop(moved, None), tags[1].pop(moved, None)
            assert tags[0] == tags[1]


def _imagemagick(name):
    """Return ImageMagick's command of that name; other programs are also called `convert`."""
    beside = Path(shutil.which("identify") or "/usr/bin/identify").with_name(name)
    for program in ([shutil.which("magick"), name], [shutil.which(name)], [str(beside)]):
        if program[0] is None or not Path(program[0]).exists():
            continue
        version = subprocess.run([*program, "-version"], capture_output=True, text=True, check=False)
        if "ImageMagick" in version.stdout:
            return lambda *arguments: _run(program, *arguments)
    pytest.skip("ImageMagick is not installed (apt-get install imagemagick)")


def _run(program, *arguments):
    ended = subprocess.run([*program, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture
def magick():
    """Calls ImageMagick's `convert`."""
    return _imagemagick("convert")


@pytest.fixture
def identify():
    """Calls ImageMagick's `identify`."""
    return _imagemagick("identify")


@pytest.fixture
def libtiff():
    """Calls one of libtiff's tools by its name."""
    if shutil.which("tiffinfo") is None:
        pytest.skip("libtiff's tools are not installed (apt-get install libtiff-tools)")
    return lambda name, *arguments: _run([shutil.which(name)], *arguments)


@pytest.fixture
def copy():
    """Reads a file, writes its pages unchanged into another one and returns what is lost."""

    def copied(source, target):
        with open_image(source) as stored, open(target, "wb") as file:
            pages = (stored.read(number) for number in range(stored.pages))
            return stored.write(file, pages, target.suffix)

    return copied


def cmyk_profile():
    """Return the profile of a printer on bluish paper: a table of the 16 full combinations of inks."""
    corners = [
        (90 * (1 - 0.4 * c) * (1 - 0.5 * m) * (1 - 0.1 * y) * (1 - 0.9 * k),
         (70 * m - 35 * c) * (1 - k), (90 * y - 50 * c - 8) * (1 - k))
        for c, m, y, k in itertools.product((0, 1), repeat=4)
    ]  # fmt: skip
    table = bytes(v for L, a, b in corners for v in (round(L * 2.55), round(a + 128), round(b + 128)))
    ramp, matrix = bytes(range(256)), (65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + struct.pack(">9i", *matrix) + 4 * ramp + table + 3 * ramp
    data_range = struct.pack(">3i", 63190, 65536, 54061)  # D50
    tags = {b"A2B0": lut, b"wtpt": b"XYZ " + bytes(4) + data_range}
    start, entries = 128 + 4 + 12 * len(tags), b""
    for name, content in tags.items():
        entries += name + struct.pack(">II", start, len(content))
        start += len(content)
    head = struct.pack(">I4sI4s4s4s12x4s", start, b"", 0x02400000, b"prtr", b"CMYK", b"Lab ", b"acsp")
    head = head.ljust(68, b"\0") + data_range
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + entries + b"".join(tags.values())
