"""Image files: what is read, refused and written."""

import os
import struct
import warnings
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from src.util.errors import DataError, StorageError
from src.util.images.io import ImageWarning, inspect_image, read_image, write_image
from tests.util.images.formats.conftest import chunk


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def save(array, path, **options):
    Image.fromarray(array).save(path, **options)
    return path


# What is read


@pytest.mark.parametrize("ending", [".png", ".PNG", ".bmp", ".tif", ".ppm"])
def test_a_colour_image_survives_a_round_trip(tmp_path, rgb, ending):
    path = tmp_path / f"a{ending}"
    write_image(path, rgb)
    assert np.array_equal(read_image(path), rgb)
    info = inspect_image(path)
    assert (info.height, info.width, info.channels) == (20, 30, 3)


def test_channels_are_red_green_blue(tmp_path):
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    assert np.array_equal(read_image(save(red, tmp_path / "a.png")), red)
    write_image(tmp_path / "b.png", red)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), red)


@pytest.mark.parametrize("ending", [".png", ".jpg", ".pgm", ".tif", ".bmp"])
def test_d8_a_grey_image_keeps_its_one_channel(tmp_path, ending):
    path = save(np.full((9, 12), 77, np.uint8), tmp_path / f"a{ending}")
    assert read_image(path).shape == (9, 12, 1)
    assert inspect_image(path).channels == 1
    assert np.all(read_image(path) == 77)


def test_a_grey_image_is_written_grey(tmp_path):
    write_image(tmp_path / "a.png", np.full((9, 12, 1), 77, np.uint8))
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "L"


def test_d9_transparency_is_dropped_with_a_warning(tmp_path, rgb):
    path = save(np.dstack([rgb, np.zeros((20, 30), np.uint8)]), tmp_path / "a.png")
    with pytest.warns(ImageWarning, match="transparency is dropped"):
        assert np.array_equal(read_image(path), rgb)
    grey = np.dstack([rgb[..., 0], rgb[..., 1]])
    with pytest.warns(ImageWarning, match="transparency"):
        image = read_image(save(grey, tmp_path / "b.png"))
    assert np.array_equal(image[..., 0], grey[..., 0])


def test_a_palette_is_expanded_with_a_warning(tmp_path, rgb):
    image = Image.fromarray(rgb).convert("P", palette=Image.Palette.ADAPTIVE, colors=16)
    image.save(tmp_path / "a.png")
    with pytest.warns(ImageWarning, match="palette is expanded"):
        assert np.array_equal(read_image(tmp_path / "a.png"), np.asarray(image.convert("RGB")))


def test_names_beyond_ascii_are_read_and_written(tmp_path, rgb):
    path = tmp_path / "übung_тест_写真.png"
    write_image(path, rgb)
    assert np.array_equal(read_image(path), rgb)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_read_upright(tmp_path, orientation):
    stored = np.zeros((32, 48, 3), np.uint8)
    stored[:16, :16] = 200
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(stored, tmp_path / "a.jpg", exif=exif, quality=100)
    with Image.open(path) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    pixels = read_image(path)
    assert pixels.shape == upright.shape
    assert np.abs(pixels.astype(int) - upright).max() < 10
    info = inspect_image(path)
    assert (info.height, info.width) == pixels.shape[:2]


def test_a_video_appended_to_a_jpeg_or_png_is_ignored(tmp_path, rgb):
    for ending in ("png", "jpg"):
        path = save(rgb, tmp_path / f"a.{ending}")
        path.write_bytes(path.read_bytes() + b"film" * 50_000)
        assert read_image(path).shape == rgb.shape


def test_an_image_with_the_ending_of_another_format_is_read(tmp_path, rgb):
    path = save(rgb, tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert np.array_equal(read_image(path), rgb)


# What is refused


def refused(path, reason):
    """Check that `inspect_image` and `read_image` refuse a file, with the reason in one line."""
    for function in (inspect_image, read_image):
        with pytest.raises(DataError, match=reason) as caught:
            function(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_d7_files_that_are_not_images_are_refused(tmp_path):
    empty, text, folder, link = (tmp_path / name for name in ("a.png", "b.png", "c.png", "d.png"))
    empty.touch()
    text.write_text("not an image at all")
    folder.mkdir()
    link.symlink_to(tmp_path / "gone.png")
    refused(empty, "empty")
    refused(text, "not an image")
    refused(folder, "folder")
    refused(link, "gone.png, which does not exist")
    refused(tmp_path / "missing.png", "No such file")


@pytest.mark.parametrize("ending", ["png", "jpg"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.7, 0.99])
def test_d7_an_image_cut_short_is_refused_by_its_header(tmp_path, ending, part):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = save(noise, tmp_path / f"a.{ending}")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    refused(path, "cut short|damaged|not an image")


def test_a_jpeg_cut_short_after_its_thumbnail_is_refused(tmp_path, rgb):
    thumbnail = save(rgb, tmp_path / "thumbnail.jpg").read_bytes()
    path = save(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8), tmp_path / "a.jpg")
    plain = path.read_bytes()
    segment = b"\xff\xe5" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    path.write_bytes((plain[:2] + segment + plain[2:])[: len(segment) + len(plain) // 2])
    refused(path, "cut short")


@pytest.mark.parametrize("ending", ["bmp", "ppm", "tif", "webp"])
def test_d7_other_images_cut_short_are_refused_when_read(tmp_path, rgb, ending):
    path = save(rgb, tmp_path / f"a.{ending}")
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(DataError, match=r"damaged|not an image|cut short"):
        read_image(path)


@pytest.mark.parametrize("place", [-1000, -13], ids=["pixels", "checksum"])
def test_d7_a_flipped_bit_in_a_png_is_noticed(tmp_path, rgb, place):
    path = save(rgb, tmp_path / "a.png")
    stored = bytearray(path.read_bytes())
    stored[place] ^= 1
    path.write_bytes(stored)
    with pytest.raises(DataError, match=r"a\.png: the image is damaged \(a checksum is wrong\)"):
        read_image(path)


def test_damaged_exif_data_are_ignored(tmp_path, rgb):
    path = save(rgb, tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\x00\x12\x01")
    assert read_image(path).shape == rgb.shape


@pytest.mark.parametrize("ending", [".png", ".tif", ".ppm"])
@pytest.mark.parametrize("colours", [1, 3])
def test_d10_16_bit_images_keep_their_16_bits(tmp_path, ending, colours):
    path = tmp_path / f"a{ending if ending != '.ppm' or colours == 3 else '.pgm'}"
    ramp = np.linspace(0, 65535, 64 * colours, dtype=np.uint16).reshape(8, 8, colours)
    cv2.imwrite(str(path), ramp[..., ::-1])
    assert inspect_image(path).dtype == "uint16"
    assert np.array_equal(read_image(path), ramp)


def test_d10_float_images_are_not_changed(tmp_path):
    image = np.linspace(-1, 3, 64, dtype=np.float32).reshape(8, 8)
    path = save(image, tmp_path / "a.tif")
    assert np.array_equal(read_image(path)[..., 0], image)


def test_animated_pngs_are_refused(tmp_path, rgb):
    page = Image.fromarray(rgb)
    page.save(tmp_path / "b.png", save_all=True, append_images=[page.rotate(90)])
    refused(tmp_path / "b.png", "several")


def bomb(path, width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))
    return path


def test_d16_a_decompression_bomb_is_refused_by_its_header(tmp_path):
    refused(bomb(tmp_path / "a.png", 100_000, 100_000), "100000x100000 pixels")
    refused(bomb(tmp_path / "b.png", 20_000, 10_001), "megapixels")


def test_a_photo_of_200_megapixels_is_allowed_and_pillows_limit_is_restored(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000)
    assert inspect_image(bomb(tmp_path / "a.png", 16_320, 12_240)).size == "12240x16320"
    refused(bomb(tmp_path / "b.png", 100_000, 100_000), "pixels")
    assert Image.MAX_IMAGE_PIXELS == 1_000


# What is written


def test_f8_an_image_that_cannot_be_written_is_an_error(tmp_path, rgb):
    with pytest.raises(StorageError, match=r"missing.a\.png"):
        write_image(tmp_path / "missing" / "a.png", rgb)
    with pytest.raises(StorageError, match="must end with one of"):
        write_image(tmp_path / "a.txt", rgb)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_only_the_old_image(tmp_path, rgb, monkeypatch):
    path = tmp_path / "a.png"
    write_image(path, rgb)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StorageError, match="No space left"):
        write_image(path, rgb // 2)
    assert np.array_equal(read_image(path), rgb)
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_only_8_bit_images_are_written(tmp_path, rgb):
    for wrong in (rgb / 255, rgb[..., 0], rgb[..., :2]):
        with pytest.raises(ValueError, match="uint8"):
            write_image(tmp_path / "a.png", wrong)
