"""Noise to write, programs that write and read it, and our own reader and writer in a row."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tifffile

from src.util.pictures.formats.stored import open_picture

RANDOM = np.random.default_rng(4)


def noise(shape, dtype):
    if np.dtype(dtype).kind == "f":
        return RANDOM.normal(0.5, 0.3, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return RANDOM.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def same_layout(one, other):
    """Whether two files have the same tags, but for those that say where the data lie."""
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
    """ImageMagick's command of that name; other programs are called `convert`, too."""
    beside = Path(shutil.which("identify") or "/usr/bin/identify").with_name(name)
    for program in ([shutil.which("magick"), name], [shutil.which(name)], [str(beside)]):
        if program[0] is None or not Path(program[0]).exists():
            continue
        said = subprocess.run([*program, "-version"], capture_output=True, text=True, check=False)
        if "ImageMagick" in said.stdout:
            return program
    return None


def _run(program, *arguments):
    ended = subprocess.run([*program, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture
def magick():
    """Calls ImageMagick's `convert`."""
    program = _imagemagick("convert")
    if program is None:
        pytest.skip("ImageMagick is not here (apt-get install imagemagick)")
    return lambda *arguments: _run(program, *arguments)


@pytest.fixture
def identify():
    """Calls ImageMagick's `identify`."""
    program = _imagemagick("identify")
    if program is None:
        pytest.skip("ImageMagick is not here (apt-get install imagemagick)")
    return lambda *arguments: _run(program, *arguments)


@pytest.fixture
def libtiff():
    """Calls one of libtiff's tools by its name."""
    if shutil.which("tiffinfo") is None:
        pytest.skip("libtiff's tools are not here (apt-get install libtiff-tools)")
    return lambda name, *arguments: _run([shutil.which(name)], *arguments)


def _copy(source, target):
    with open_picture(source) as stored, open(target, "wb") as file:
        pages = (stored.read(number) for number in range(stored.pages))
        return stored.write(file, pages, target.suffix)


@pytest.fixture
def copy():
    """Writes what was read, undenoised, into another file; gives what is lost."""
    return _copy
