"""JPEG: a damaged one is refused, whatever other readers make of it; the rest is what they make of it."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from src.util.errors import DataError
from src.util.pictures.io import read_picture

PICTURE = cv2.resize(np.random.default_rng(5).integers(0, 256, (30, 40, 3), dtype=np.uint8), (320, 240))
HALVED, FULL = 0x221111, 0x111111  # of colours


def encoded(*options, picture=PICTURE):
    return bytearray(cv2.imencode(".jpg", picture, [*options])[1].tobytes())


def zeroed():
    data = encoded()
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    return data


def without_a_part():
    """A restart segment is missing."""
    data = encoded(cv2.IMWRITE_JPEG_RST_INTERVAL, 4)
    start = data.index(b"\xff\xd3", len(data) // 2)
    del data[start : data.index(b"\xff\xd4", start)]
    return data


def cut_off_and_ended():
    data = encoded()
    return data[: len(data) // 2] + b"\xff\xd9"


@pytest.mark.parametrize("damaged", [zeroed, without_a_part, cut_off_and_ended])
def test_what_other_readers_complete_in_grey_is_damaged(tmp_path, damaged):
    path = tmp_path / "a.jpg"
    path.write_bytes(damaged())
    with Image.open(path) as image:
        image.load()  # without a word
    with pytest.raises(DataError, match=r"a\.jpg: the picture is damaged and cannot be decoded \(.+\)"):
        read_picture(path)


def with_bytes_before_the_end():
    data = encoded()
    return data[:-2] + b"\x12" * 8 + data[-2:]


def of_a_phone():
    """Written by some Samsung phones: the scan says that it holds the first coefficient alone."""
    data = encoded()
    scan = data.index(b"\xff\xda")
    assert data[scan + 11 : scan + 14] == bytes([0, 63, 0])
    data[scan + 12] = 0
    return data


def with_a_film_behind():
    return encoded() + b"film" * 100


@pytest.mark.parametrize("odd", [with_bytes_before_the_end, of_a_phone, with_a_film_behind])
def test_what_lacks_nothing_is_no_damage(tmp_path, odd):
    (tmp_path / "a.jpg").write_bytes(odd())
    whole = cv2.imdecode(np.frombuffer(encoded(), np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(read_picture(tmp_path / "a.jpg"), whole[..., ::-1])


@pytest.mark.parametrize(
    "options",
    [
        (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, HALVED, cv2.IMWRITE_JPEG_QUALITY, 60),
        (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, FULL),
        (cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        (cv2.IMWRITE_JPEG_RST_INTERVAL, 3),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_value_is_the_one_that_opencv_reads(tmp_path, channels, options):
    data = encoded(*options, picture=PICTURE[:237, :301, :channels])
    (tmp_path / "a.jpg").write_bytes(data)
    read = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(read_picture(tmp_path / "a.jpg"), read.reshape(237, 301, channels)[..., ::-1])


def test_no_library_speaks_to_the_user(tmp_path):
    """Libjpeg, libpng and OpenCV write to the console themselves, without the file's name."""
    jpeg, png, pnm = (tmp_path / name for name in ("a.jpg", "b.png", "c.ppm"))
    jpeg.write_bytes(zeroed())
    Image.fromarray(PICTURE).save(png, icc_profile=b"none" * 40)
    pnm.write_bytes(cv2.imencode(".ppm", PICTURE)[1].tobytes()[:1000])
    program = (
        "import sys; from src.util.pictures.io import read_picture\n"
        "for path in sys.argv[1:]:\n"
        "  try: read_picture(path)\n"
        "  except Exception: pass"
    )
    ended = subprocess.run([sys.executable, "-c", program, jpeg, png, pnm], capture_output=True, check=True)
    assert (ended.stdout, ended.stderr) == (b"", b"")
