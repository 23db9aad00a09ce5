"""Programs that write and read pictures, and copying a picture through our own reader and writer."""

import shutil
import subprocess
from pathlib import Path

import pytest

from src.util.pictures.stored import open_picture


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
