"""JPEG: damaged files are refused, intact ones are decoded as by other readers."""

import struct
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image, IptcImagePlugin

from src.util.errors import DataError
from src.util.images.io import read_image

IMAGE = cv2.resize(np.random.default_rng(5).integers(0, 256, (30, 40, 3), dtype=np.uint8), (320, 240))
HALVED, FULL = 0x221111, 0x111111  # chroma subsampling


def encoded(*options, image=IMAGE):
    return bytearray(cv2.imencode(".jpg", image, [*options])[1].tobytes())


def zeroed():
    data = encoded()
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    return data


def without_a_part():
    """Return a JPEG that lacks a restart segment."""
    data = encoded(cv2.IMWRITE_JPEG_RST_INTERVAL, 4)
    start = data.index(b"\xff\xd3", len(data) // 2)
    del data[start : data.index(b"\xff\xd4", start)]
    return data


def cut_off_and_ended():
    data = encoded()
    return data[: len(data) // 2] + b"\xff\xd9"


@pytest.mark.parametrize("damaged", [zeroed, without_a_part, cut_off_and_ended])
def test_files_that_other_readers_complete_in_grey_are_refused(tmp_path, damaged):
    path = tmp_path / "a.jpg"
    path.write_bytes(damaged())
    with Image.open(path) as image:
        image.load()  # no error
    with pytest.raises(DataError, match=r"a\.jpg: the image is damaged and cannot be decoded \(.+\)"):
        read_image(path)


def with_bytes_before_the_end():
    data = encoded()
    return data[:-2] + b"\x12" * 8 + data[-2:]


def of_a_phone():
    """Return a JPEG as some Samsung phones write it: its scan claims to hold only the first coefficient."""
    data = encoded()
    scan = data.index(b"\xff\xda")
    assert data[scan + 11 : scan + 14] == bytes([0, 63, 0])
    data[scan + 12] = 0
    return data


def with_a_film_behind():
    return encoded() + b"film" * 100


@pytest.mark.parametrize("odd", [with_bytes_before_the_end, of_a_phone, with_a_film_behind])
def test_odd_but_intact_files_are_read(tmp_path, odd):
    (tmp_path / "a.jpg").write_bytes(odd())
    whole = cv2.imdecode(np.frombuffer(encoded(), np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(read_image(tmp_path / "a.jpg"), whole[..., ::-1])


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
def test_values_are_the_same_as_opencvs(tmp_path, channels, options):
    data = encoded(*options, image=IMAGE[:237, :301, :channels])
    (tmp_path / "a.jpg").write_bytes(data)
    read = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(read_image(tmp_path / "a.jpg"), read.reshape(237, 301, channels)[..., ::-1])


def resource(kind, content, name=b""):
    named = bytes([len(name)]) + name + b"\0" * (1 - len(name) % 2)
    padding = b"\0" * (len(content) % 2)
    return b"8BIM" + kind.to_bytes(2, "big") + named + len(content).to_bytes(4, "big") + content + padding


CAPTION = b"\x1c\x02\x78\x00\x09Cafe 1907"


@pytest.fixture
def captioned(tmp_path):
    """A JPEG with a comment, and IPTC data among other Photoshop resources."""
    block = resource(0x040C, b"thumbnail") + resource(0x0404, CAPTION, b"odd") + resource(0x0425, b"digest")
    segment = b"Photoshop 3.0\0" + block
    extra = b"\xff\xed" + (2 + len(segment)).to_bytes(2, "big") + segment
    Image.fromarray(IMAGE).save(tmp_path / "a.jpg", comment="söme words".encode(), extra=extra, dpi=(72, 72))
    return tmp_path / "a.jpg"


def test_comment_and_iptc_data_are_kept_without_the_thumbnail(captioned, copy):
    assert copy(captioned, captioned.with_name("b.jpg")) == []
    with Image.open(captioned) as one, Image.open(captioned.with_name("b.jpg")) as other:
        assert (other.info["comment"], other.info["dpi"]) == (one.info["comment"], one.info["dpi"])
        assert (
            IptcImagePlugin.getiptcinfo(other) == IptcImagePlugin.getiptcinfo(one) == {(2, 120): CAPTION[5:]}
        )
        assert list(one.info["photoshop"]) == [0x040C, 0x0404, 0x0425]
        assert list(other.info["photoshop"]) == [0x0404]
    assert copy(captioned.with_name("b.jpg"), captioned.with_name("c.jpg")) == []
    assert captioned.with_name("c.jpg").read_bytes().count(CAPTION) == 1


@pytest.mark.parametrize("ending", ["png", "webp", "bmp"])
def test_another_format_reports_the_lost_comment_and_iptc_data(captioned, copy, ending):
    assert copy(captioned, captioned.with_name(f"b.{ending}")) == ["IPTC data", "comment"]


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_the_thumbnail_of_the_noisy_image_is_removed(tmp_path, copy, ending):
    of_image = struct.pack("<HHHI4sI", 1, 0x010F, 2, 4, b"Mak", 26)
    of_thumbnail = struct.pack("<HHHIII", 1, 0x0103, 3, 1, 6, 0)
    exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + of_image + of_thumbnail
    Image.fromarray(IMAGE).save(tmp_path / f"a.{ending}", exif=exif)
    copy(tmp_path / f"a.{ending}", tmp_path / f"b.{ending}")
    with Image.open(tmp_path / f"a.{ending}") as one, Image.open(tmp_path / f"b.{ending}") as other:
        assert one.getexif().get_ifd(ExifTags.IFD.IFD1) and not other.getexif().get_ifd(ExifTags.IFD.IFD1)
        assert other.getexif()[0x010F] == "Mak"


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_a_profile_in_three_segments_is_kept_whole(tmp_path, copy, ending):
    profile = np.random.default_rng(6).integers(0, 256, 150_000, np.uint8).tobytes()
    Image.fromarray(IMAGE).save(tmp_path / "a.jpg", icc_profile=profile)
    assert (tmp_path / "a.jpg").read_bytes().count(b"ICC_PROFILE\0") == 3
    assert copy(tmp_path / "a.jpg", tmp_path / f"b.{ending}") == []
    with Image.open(tmp_path / f"b.{ending}") as result:
        assert result.info["icc_profile"] == profile


def test_damaged_segments_are_ignored(tmp_path, copy):
    for number, end in enumerate([b"8BIM", b"8BIM\x04\x04\xff", b"8BIM\x04\x04\0\0\xff\xff\xff\xffa", b""]):
        segment = b"Photoshop 3.0\0" + end
        extra = b"\xff\xed" + (2 + len(segment)).to_bytes(2, "big") + segment
        Image.fromarray(IMAGE).save(tmp_path / f"{number}.jpg", extra=extra)
        assert copy(tmp_path / f"{number}.jpg", tmp_path / f"{number}_out.jpg") == []
        assert read_image(tmp_path / f"{number}_out.jpg").shape == IMAGE.shape


def test_libraries_print_nothing(tmp_path):
    """By default libjpeg, libpng and OpenCV print messages without the file's name."""
    jpeg, png, pnm = (tmp_path / name for name in ("a.jpg", "b.png", "c.ppm"))
    jpeg.write_bytes(zeroed())
    Image.fromarray(IMAGE).save(png, icc_profile=b"none" * 40)
    pnm.write_bytes(cv2.imencode(".ppm", IMAGE)[1].tobytes()[:1000])
    program = (
        "import sys; from src.util.images.io import read_image\n"
        "for path in sys.argv[1:]:\n"
        "  try: read_image(path)\n"
        "  except Exception: pass"
    )
    ended = subprocess.run([sys.executable, "-c", program, jpeg, png, pnm], capture_output=True, check=True)
    assert (ended.stdout, ended.stderr) == (b"", b"")
