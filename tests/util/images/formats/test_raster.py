"""PNG, JPEG, BMP, WebP and PNM: files of other programs are read, and results are read by them."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from src.util.errors import DataError
from src.util.images.formats import png
from src.util.images.formats.stored import open_image
from src.util.images.io import inspect_image, read_image, write_image
from tests.util.images.formats.conftest import chunk

RANDOM = np.random.default_rng(3)
RGB = RANDOM.integers(0, 256, (23, 31, 3), dtype=np.uint8)
RGBA = RANDOM.integers(0, 256, (23, 31, 4), dtype=np.uint8)
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
EXIF = Image.Exif()
EXIF[0x0112], EXIF[0x010F] = 6, "Maker"


def page(path):
    with open_image(path) as stored:
        return stored.read()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_a_png_keeps_its_mode(tmp_path, copy, mode):
    image = Image.fromarray(RGB).convert("L").convert("I;16") if mode == "I;16" else Image.fromarray(RGBA)
    image = Image.fromarray(RGB) if mode == "P" else image
    image = image if mode == "I;16" else image.convert(mode)
    image.save(tmp_path / "a.png")
    assert copy(tmp_path / "a.png", tmp_path / "b.png") == []
    with Image.open(tmp_path / "b.png") as back:
        assert back.mode == {"1": "L", "P": "RGB"}.get(mode, mode)
        assert back.size == image.size
        assert np.array_equal(np.asarray(back.convert("RGBA")), np.asarray(image.convert("RGBA")))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_pngs_of_opencv_keep_every_level_and_their_transparency(tmp_path, copy, channels):
    ramp = np.arange(256 * 256, dtype=np.uint16).reshape(256, 256)
    image = np.dstack([ramp, ramp[::-1], ramp.T, 65535 - ramp][:channels])
    cv2.imwrite(str(tmp_path / "a.png"), image)
    assert copy(tmp_path / "a.png", tmp_path / "b.png") == []
    assert np.array_equal(cv2.imread(str(tmp_path / "b.png"), cv2.IMREAD_UNCHANGED), image.squeeze())


@pytest.mark.parametrize("mode", ["GrayscaleAlpha", "TrueColorAlpha"])
def test_16_bit_transparency_of_imagemagick_is_kept(tmp_path, copy, magick, identify, mode):
    depth, alpha = ["-depth", 16, "-define", "png:bit-depth=16"], ["-channel", "A", "-evaluate", "set", "37%"]
    magick("-size", "40x30", "gradient:red-blue", *depth, "-alpha", "set", *alpha, "-type", mode,
           tmp_path / "a.png")  # fmt: skip
    assert page(tmp_path / "a.png").alpha.dtype == np.uint16
    assert copy(tmp_path / "a.png", tmp_path / "b.png") == []
    signature = [identify("-format", "%# %z %A %[channels]", tmp_path / name) for name in ("a.png", "b.png")]
    assert signature[0] == signature[1]


@pytest.mark.parametrize("key", [7, (1, 2, 3)])
def test_a_transparent_colour_stays_transparent_where_it_was(tmp_path, copy, key):
    image = RGB.copy() if isinstance(key, tuple) else RGB[..., 0].copy()
    image[3:5, 4:9] = key
    Image.fromarray(image).save(tmp_path / "a.png", transparency=key)
    copy(tmp_path / "a.png", tmp_path / "b.png")
    with Image.open(tmp_path / "a.png") as one, Image.open(tmp_path / "b.png") as other:
        assert np.array_equal(np.asarray(one.convert("RGBA")), np.asarray(other.convert("RGBA")))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_transparent_level_of_few_bits_is_read(tmp_path, depth):
    levels = np.arange(8) % 2**depth
    packed = np.packbits((levels[:, None] >> np.arange(depth)[::-1]) & 1).tobytes()
    header = struct.pack(">IIBBBBB", 8, 1, depth, 0, 0, 0, 0)
    chunks = {b"IHDR": header, b"tRNS": b"\0\1", b"IDAT": zlib.compress(b"\0" + packed), b"IEND": b""}
    (tmp_path / "a.png").write_bytes(png.SIGNATURE + b"".join(chunk(*each) for each in chunks.items()))
    assert page(tmp_path / "a.png").alpha.ravel().tolist() == np.where(levels == 1, 0, 255).tolist()


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_profile_exif_and_resolution_are_kept(tmp_path, copy, ending):
    image = Image.fromarray(RGB)
    image.save(tmp_path / f"a.{ending}", icc_profile=ICC, exif=EXIF, dpi=(300, 150))
    assert copy(tmp_path / f"a.{ending}", tmp_path / f"b.{ending}") == []
    with Image.open(tmp_path / f"a.{ending}") as one, Image.open(tmp_path / f"b.{ending}") as other:
        assert other.format == one.format
        assert other.size == one.size[::-1]  # upright
        assert other.info["icc_profile"] == ICC
        assert dict(other.getexif()) == dict(one.getexif()) | {0x0112: 1}
        if ending != "webp":
            assert other.info["dpi"] == pytest.approx((150, 300), abs=0.02)


def test_texts_and_gamma_of_a_png_are_kept(tmp_path, copy, magick, identify):
    magick("-size", "9x9", "xc:red", "-set", "Title", "söme text", "-gamma", 1.7, "-depth", 8,
           "-define", "png:include-chunk=all", tmp_path / "a.png")  # fmt: skip
    copy(tmp_path / "a.png", tmp_path / "b.png")
    assert "söme text" in identify("-verbose", tmp_path / "b.png")
    kept = [identify("-format", "%[gamma] %[type]", tmp_path / name) for name in ("a.png", "b.png")]
    assert kept[0] == kept[1]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_looks_the_same_as_png_and_as_jpeg(tmp_path, copy, orientation):
    stored = np.zeros((32, 48, 3), np.uint8)
    stored[:16, :16] = 200
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Maker", orientation
    Image.fromarray(stored).save(tmp_path / "a.jpg", exif=exif, quality=100, icc_profile=ICC, dpi=(72, 72))
    for name in ("b.png", "b.jpg"):
        assert copy(tmp_path / "a.jpg", tmp_path / name) == []
        with Image.open(tmp_path / "a.jpg") as one, Image.open(tmp_path / name) as other:
            seen, now = (np.asarray(ImageOps.exif_transpose(image)).astype(int) for image in (one, other))
            assert np.abs(seen - now).max() < 12
            assert other.getexif()[0x010F] == "Maker"
            assert other.getexif()[0x0112] == 1
            assert other.info["icc_profile"] == ICC
            assert other.info["dpi"] == pytest.approx((72, 72), abs=0.02)


def test_bmp_and_pnm_of_imagemagick_are_kept(tmp_path, copy, magick, identify):
    Image.fromarray(RGB).save(tmp_path / "rgb.png")
    for number, options in enumerate(
        ([], ["-colorspace", "gray"], ["-type", "palette"], ["-alpha", "set", "-channel", "A", "-evaluate",
                                                           "set", "40%"])
    ):  # fmt: skip
        source = tmp_path / f"{number}.bmp"
        magick(tmp_path / "rgb.png", *options, "-density", 200, "-units", "PixelsPerInch", source)
        assert copy(source, tmp_path / "out.bmp") == []
        assert identify("-format", "%#", source) == identify("-format", "%#", tmp_path / "out.bmp")
        with Image.open(tmp_path / "out.bmp") as image:
            assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)
    for ending, depth in (("ppm", 8), ("pgm", 8), ("ppm", 16), ("pgm", 16)):
        source = tmp_path / f"{depth}.{ending}"
        magick(tmp_path / "rgb.png", "-evaluate", "multiply", 0.7, "-depth", depth, source)
        assert inspect_image(source).dtype == f"uint{depth}"
        assert copy(source, tmp_path / f"out.{ending}") == []
        assert identify("-format", "%# %z", source) == identify(
            "-format", "%# %z", tmp_path / f"out.{ending}"
        )


def test_webp_is_written_losslessly(tmp_path, copy):
    for image in (RGB, RGBA):
        Image.fromarray(image).save(tmp_path / "a.webp", quality=50)
        copy(tmp_path / "a.webp", tmp_path / "b.webp")
        with Image.open(tmp_path / "a.webp") as one, Image.open(tmp_path / "b.webp") as other:
            assert np.array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize(
    ("source", "target", "lost"),
    [("png", "jpg", ["transparency"]), ("png", "bmp", ["colour profile"]),
     ("png", "ppm", ["colour profile", "transparency", "resolution"])],
)  # fmt: skip
def test_what_a_format_cannot_keep_is_reported(tmp_path, copy, source, target, lost):
    Image.fromarray(RGBA).save(tmp_path / f"a.{source}", icc_profile=ICC, dpi=(99, 99))
    assert copy(tmp_path / f"a.{source}", tmp_path / f"b.{target}") == lost


def test_chunks_of_a_png_are_kept_or_reported(tmp_path, copy):
    plain = cv2.imencode(".png", RGB)[1].tobytes()
    more = b"".join(
        chunk(kind, body)
        for kind, body in {b"sBIT": b"\5\6\5", b"tEXt": b"Title\0a", b"oFFs": bytes(9), b"tIME": bytes(7),
                           b"prVt": b"x"}.items()
    )  # fmt: skip
    (tmp_path / "a.png").write_bytes(png.with_chunks(plain, more))
    lost = copy(tmp_path / "a.png", tmp_path / "b.png")
    assert lost == ["number of significant bits", "offset", "prVt chunk"]
    with Image.open(tmp_path / "b.png") as back:
        assert back.text == {"Title": "a"}


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (2, 3)])
@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "webp", "ppm", "tif"])
def test_the_smallest_images_are_read_and_written(tmp_path, copy, size, ending):
    Image.new("RGB", size, (10, 20, 30)).save(tmp_path / f"a.{ending}")
    assert read_image(tmp_path / f"a.{ending}").shape == (size[1], size[0], 3)
    copy(tmp_path / f"a.{ending}", tmp_path / f"b.{ending}")
    assert read_image(tmp_path / f"b.{ending}").shape == (size[1], size[0], 3)


@pytest.mark.parametrize("data_range", ["0", "65536", "-5", "x"])
def test_a_pnm_with_an_invalid_data_range_is_refused(tmp_path, data_range):
    (tmp_path / "a.pgm").write_bytes(f"P5 # made by hand\n2 2\n{data_range}\n".encode() + bytes(8))
    with pytest.raises(DataError, match=r"data range of 1 to 65535|header is damaged|not an image"):
        read_image(tmp_path / "a.pgm")


def test_pixels_that_do_not_fit_a_format_are_refused(tmp_path, copy):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 4, 3), np.uint16))
    with pytest.raises(DataError, match=r"3 channel\(s\) of uint16 do not fit \.jpg"):
        copy(tmp_path / "a.png", tmp_path / "b.jpg")


def sub_filtered(image, filters=None, extra=b"", spoil=lambda packed: packed):
    """Return an 8-bit PNG with the filter Sub, as OpenCV writes it; rows with another filter in `filters`."""
    height, width, channels = image.shape
    rows = np.diff(image, axis=1, prepend=np.zeros((height, 1, channels), np.uint8)).reshape(height, -1)
    filters = np.ones((height, 1), np.uint8) if filters is None else filters
    rows = np.where(filters == 1, rows, image.reshape(height, -1))
    packed = spoil(zlib.compress(np.concatenate([filters, rows], axis=1).tobytes()))
    header = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", packed[:50]), (b"IDAT", packed[50:]), (b"IEND", b"")]
    chunks = [chunk(*part) for part in parts]
    return b"".join([b"\x89PNG\r\n\x1a\n", chunks[0], extra, *chunks[1:]])


@pytest.mark.parametrize("channels", [1, 3])
def test_pngs_that_opencv_wrote_are_read_without_it(tmp_path, monkeypatch, channels):
    image = RGB[..., :channels]
    write_image(tmp_path / "a.png", image)
    monkeypatch.setattr("cv2.imdecode", None)
    pixels = read_image(tmp_path / "a.png")
    assert np.array_equal(pixels, image)
    assert pixels.flags.c_contiguous and pixels.flags.writeable


@pytest.mark.parametrize("unfiltered", [0, 5, 22])
def test_a_row_with_another_filter_is_decoded_correctly(tmp_path, unfiltered):
    filters = np.ones((23, 1), np.uint8)
    filters[unfiltered] = 0
    (tmp_path / "a.png").write_bytes(sub_filtered(RGB, filters))
    assert np.array_equal(read_image(tmp_path / "a.png"), RGB)


def test_colour_chunks_do_not_change_values(tmp_path):
    colours = chunk(b"gAMA", struct.pack(">I", 45455))
    for extra in (b"", colours, colours + chunk(b"tRNS", RGB[3, 4].astype(">u2").tobytes())):
        (tmp_path / "a.png").write_bytes(sub_filtered(RGB, extra=extra))
        assert np.array_equal(page(tmp_path / "a.png").pixels, RGB)
    assert page(tmp_path / "a.png").alpha[3, 4] == 0
    (tmp_path / "a.png").write_bytes(sub_filtered(RGBA))
    assert np.array_equal(page(tmp_path / "a.png").stacked, RGBA)


def test_interlaced_pngs_are_read(tmp_path, magick):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    magick(tmp_path / "a.png", "-interlace", "PNG", "-define", "png:compression-filter=1", tmp_path / "b.png")
    assert (tmp_path / "b.png").read_bytes()[28] == 1
    assert np.array_equal(read_image(tmp_path / "b.png"), RGB)


@pytest.mark.parametrize(
    "spoil",
    [lambda packed: packed[:-40], lambda packed: packed[:4], lambda packed: packed[:1000] + bytes(100),
     lambda packed: zlib.compress(zlib.decompress(packed)[:-1]), lambda packed: b"", lambda packed: bytes(99),
     zlib.compress],
    ids=["cut", "cut at once", "zeros", "a byte less", "nothing", "not packed", "packed twice"],
)  # fmt: skip
def test_a_png_with_damaged_pixels_and_correct_checksums_is_treated_as_by_opencv(tmp_path, spoil):
    (tmp_path / "a.png").write_bytes(sub_filtered(RGB, spoil=spoil))
    expected = cv2.imread(str(tmp_path / "a.png"))
    if expected is None:
        with pytest.raises(DataError, match=r"a\.png: the image is damaged and cannot be decoded"):
            read_image(tmp_path / "a.png")
    else:
        assert np.array_equal(read_image(tmp_path / "a.png"), expected[..., ::-1])


def test_a_decompression_bomb_in_a_text_chunk_is_refused_or_ignored(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    plain = (tmp_path / "a.png").read_bytes()
    text = chunk(b"zTXt", b"bomb\0\0" + zlib.compress(bytes(200 * 2**20)))
    (tmp_path / "b.png").write_bytes(plain[:33] + text + plain[33:])
    try:
        assert read_image(tmp_path / "b.png").shape == (4, 4, 1)
    except DataError as error:
        assert "damaged" in str(error)
