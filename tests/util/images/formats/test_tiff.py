"""TIFFs of tifffile, libtiff, ImageMagick and Pillow are written with the same layout and tags."""

import struct

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from src.data_handlers import build_samples
from src.data_handlers.samples.checks import check_images
from src.util.errors import DataError
from src.util.images.formats.stored import open_image
from src.util.images.io import inspect_image, read_image
from tests.util.images.formats.conftest import RANDOM, noise, same_layout

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
GEO = [
    (33550, 12, 3, (10.0, 10.0, 0.0), False),
    (33922, 12, 6, (0.0, 0.0, 0.0, 5e5, 5e6, 0.0), False),
    (34735, 3, 8, (1, 1, 0, 1, 1024, 0, 1, 1), False),
    (34737, 2, 0, "WGS 84 / UTM zone 33N|", False),
    (42113, 2, 0, "-9999", False),
    (65000, 7, 5, b"other", False),
]
EXIF_IFD = 34665


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float16", "float32", "float64"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 13])
def test_any_type_and_number_of_channels_is_kept(tmp_path, copy, dtype, channels):
    image = noise((17, 19, channels), dtype)
    kind = "rgb" if channels == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", image.squeeze(), photometric=kind,
                     planarconfig="contig" if channels > 1 else None)  # fmt: skip
    info = inspect_image(tmp_path / "a.tif")
    assert (info.height, info.width, info.channels, info.dtype) == (17, 19, channels, dtype)
    assert np.array_equal(read_image(tmp_path / "a.tif"), image)
    assert copy(tmp_path / "a.tif", tmp_path / "b.tif") == []
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), image.squeeze())


@pytest.mark.parametrize(
    "layout",
    [{}, {"compression": "lzw", "predictor": True}, {"compression": "deflate"}, {"compression": "zstd"},
     {"compression": "packbits"}, {"compression": "lzma"}, {"tile": (32, 16), "compression": "lzw"},
     {"planarconfig": "separate"}, {"planarconfig": "separate", "tile": (16, 16)}, {"bigtiff": True},
     {"bigtiff": True, "compression": "lzw", "predictor": True},
     {"byteorder": ">"}, {"byteorder": ">", "compression": "adobe_deflate", "predictor": True},
     {"rowsperstrip": 5}],
)  # fmt: skip
def test_layout_and_tags_are_kept(tmp_path, copy, layout):
    image = noise((3, 50, 40) if "planarconfig" in layout else (50, 40, 3), "uint16")
    tifffile.imwrite(
        tmp_path / "a.tif", image, photometric="rgb", iccprofile=ICC, resolution=(300.5, 200),
        resolutionunit="centimeter", description="an image", software="a program", metadata=None,
        datetime="2020:01:02 03:04:05", extratags=[*GEO, (274, 3, 1, 1, False), (700, 1, 4, b"<x/>", False)],
        **layout,
    )  # fmt: skip
    assert copy(tmp_path / "a.tif", tmp_path / "b.tif") == []
    same_layout(tmp_path / "a.tif", tmp_path / "b.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), image)


def test_alpha_is_kept_apart_from_the_channels(tmp_path, copy):
    for channels, kind, alpha in ((4, "rgb", "unassalpha"), (2, "minisblack", "assocalpha")):
        image = noise((9, 11, channels), "uint16")
        tifffile.imwrite(tmp_path / "a.tif", image, photometric=kind, extrasamples=[alpha], metadata=None)
        with open_image(tmp_path / "a.tif") as stored:
            assert stored.info().channels == channels - 1
            assert np.array_equal(stored.read().alpha, image[..., -1:])
        copy(tmp_path / "a.tif", tmp_path / "b.tif")
        same_layout(tmp_path / "a.tif", tmp_path / "b.tif")
        assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), image)
    tifffile.imwrite(tmp_path / "a.tif", image := noise((9, 11, 4), "uint8"), photometric="rgb",
                     extrasamples=["unspecified"])  # fmt: skip
    assert np.array_equal(read_image(tmp_path / "a.tif"), image)  # the fourth may be infrared


def test_an_unspecified_fourth_channel_does_not_become_transparency(tmp_path, copy):
    image = noise((16, 18, 4), "uint16")
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        start = file.pages[0].tags["ExtraSamples"].offset
    with open(tmp_path / "a.tif", "r+b") as file:  # replace the tag's number
        file.seek(start)
        file.write((65000).to_bytes(2, "little"))
    copy(tmp_path / "a.tif", tmp_path / "b.tif")
    for name in ("a.tif", "b.tif"):
        assert not inspect_image(tmp_path / name).alpha
        assert np.array_equal(read_image(tmp_path / name), image)


@pytest.mark.parametrize(("channels", "kind"), [(4, "rgb"), (2, "minisblack")])
def test_a_network_that_needs_the_transparency_channel_gets_a_hint(tmp_path, channels, kind):
    def samples():
        folder = {"data_dir": str(tmp_path)}
        return build_samples("Folder", folder, channels=channels, seed=0, training=False)

    image, layout = noise((16, 18, channels), "uint8"), {"photometric": kind, "planarconfig": "contig"}
    tifffile.imwrite(tmp_path / "a.tif", image, **layout, extrasamples=["unassalpha"])
    message = rf"takes {channels} .*marks channel {channels} as transparency, .*ExtraSamples 0"
    with pytest.raises(DataError, match=message):
        check_images(samples())
    tifffile.imwrite(tmp_path / "a.tif", image, **layout, extrasamples=["unspecified"])
    assert check_images(samples()) == channels
    (tmp_path / "a.tif").unlink()
    np.save(tmp_path / "a.npy", image)
    assert check_images(samples()) == channels


def test_what_cannot_be_kept_is_reported(tmp_path, copy):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(noise((32, 32), "uint8"), subifds=1, metadata=None)
        writer.write(noise((16, 16), "uint8"), subfiletype=1, metadata=None)
    assert copy(tmp_path / "a.tif", tmp_path / "b.tif") == ["SubIFDs"]
    assert copy(tmp_path / "a.tif", tmp_path / "b.png") == ["TIFF tags"]


def test_lost_exif_data_of_a_tiff_are_reported(tmp_path, copy):
    orientation, pointer = (274, 3, 1, 3, False), (65001, 4, 1, 8, False)
    tifffile.imwrite(tmp_path / "a.tif", noise((8, 9), "uint8"), extratags=[orientation, pointer])
    stored = (tmp_path / "a.tif").read_bytes()
    codes = [struct.pack("<HH", code, 4) for code in (65001, EXIF_IFD)]
    (tmp_path / "a.tif").write_bytes(stored.replace(*codes))
    assert copy(tmp_path / "a.tif", tmp_path / "b.tif") == ["EXIF data"]
    with Image.open(tmp_path / "b.tif") as image:
        assert image.tag_v2[274] == 1


def test_palettes_and_inverted_tiffs_are_read(tmp_path, copy):
    colours = Image.fromarray(noise((20, 30, 3), "uint8"))
    palette = colours.convert("P", palette=Image.Palette.ADAPTIVE, colors=50)
    palette.save(tmp_path / "palette.tif")
    with pytest.warns(UserWarning, match="palette is expanded"):
        assert np.array_equal(read_image(tmp_path / "palette.tif"), np.asarray(palette.convert("RGB")))
    copy(tmp_path / "palette.tif", tmp_path / "b.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), np.asarray(palette.convert("RGB")))
    inverted = noise((20, 30), "uint8")
    tifffile.imwrite(tmp_path / "inverted.tif", inverted, photometric="miniswhite", metadata=None)
    assert np.array_equal(read_image(tmp_path / "inverted.tif")[..., 0], 255 - inverted)
    copy(tmp_path / "inverted.tif", tmp_path / "b.tif")
    same_layout(tmp_path / "inverted.tif", tmp_path / "b.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), inverted)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_of_8_bit_values_is_accepted(tmp_path, bits):
    numbers, palette = noise((20, 30), "uint8"), noise((3, 256), "uint8").astype(np.uint16)
    stored = palette << (bits - 8)
    tifffile.imwrite(tmp_path / "a.tif", numbers, photometric="palette", colormap=stored)
    with pytest.warns(UserWarning, match="palette is expanded"):
        assert np.array_equal(read_image(tmp_path / "a.tif"), palette[:, numbers].transpose(1, 2, 0))


@pytest.mark.parametrize("bits", [6, 10, 12, 14])
def test_packed_values_with_white_0_are_inverted_within_their_bits(tmp_path, copy, bits):
    values = RANDOM.integers(0, 2**bits, (20, 32), dtype=np.uint16)
    packed = np.packbits((values[..., None] >> np.arange(bits)[::-1] & 1).reshape(20, -1) > 0, axis=1)
    tags = {256: 32, 257: 20, 258: bits, 259: 1, 262: 0, 273: 8, 277: 1, 278: 20, 279: packed.size}
    content = struct.pack("<2sHI", b"II", 42, 8 + packed.size) + packed.tobytes()
    content += struct.pack("<H", len(tags))
    content += b"".join(struct.pack("<HHII", code, 4, 1, value) for code, value in tags.items()) + bytes(4)
    (tmp_path / "a.tif").write_bytes(content)
    seen = read_image(tmp_path / "a.tif")
    assert np.array_equal(seen[..., 0], 2**bits - 1 - values)
    copy(tmp_path / "a.tif", tmp_path / "b.tif")
    assert np.array_equal(read_image(tmp_path / "b.tif"), seen)


def test_transparency_is_not_inverted_if_white_is_0(tmp_path, copy):
    stored = noise((20, 30, 2), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite", extrasamples=["unassalpha"],
                     planarconfig="contig", metadata=None)  # fmt: skip
    with open_image(tmp_path / "a.tif") as opened:
        page = opened.read()
    assert np.array_equal(page.stacked, np.dstack([255 - stored[..., 0], stored[..., 1]]))
    copy(tmp_path / "a.tif", tmp_path / "b.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), stored)


def test_a_jpeg_in_a_tiff_is_written_losslessly(tmp_path, copy):
    smooth = np.linspace(0, 255, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "a.tif", compression="jpeg", quality=80)
    seen = read_image(tmp_path / "a.tif")
    assert np.abs(seen.astype(int) - smooth).max() < 20
    copy(tmp_path / "a.tif", tmp_path / "b.tif")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.tif")), seen)


def test_every_compression_of_libtiff_is_kept(tmp_path, copy, libtiff):
    image = noise((40, 50, 3), "uint8")
    tifffile.imwrite(tmp_path / "plain.tif", image, photometric="rgb", metadata=None)
    schemes = {"none": "None", "lzw:2": "LZW", "zip:2": "AdobeDeflate", "packbits": "PackBits"}
    for scheme, name in schemes.items():
        for layout in (["-s"], ["-t", "-w", 32, "-l", 16], ["-p", "separate"]):
            libtiff("tiffcp", "-c", scheme, *layout, tmp_path / "plain.tif", tmp_path / "a.tif")
            copy(tmp_path / "a.tif", tmp_path / "b.tif")
            assert f"Compression Scheme: {name}" in libtiff("tiffinfo", "-D", tmp_path / "b.tif")
            assert np.array_equal(np.asarray(Image.open(tmp_path / "b.tif")), image)


def test_tags_set_by_libtiff_are_read_back_by_it(tmp_path, copy, libtiff):
    tifffile.imwrite(tmp_path / "a.tif", noise((8, 8), "uint8"), metadata=None)
    for tag, value in ((315, "An artist"), (274, "8"), (282, "123.25"), (283, "123.25"), (296, "2")):
        libtiff("tiffset", "-s", tag, value, tmp_path / "a.tif")
    copy(tmp_path / "a.tif", tmp_path / "b.tif")
    info = libtiff("tiffinfo", tmp_path / "b.tif")
    assert "Artist: An artist" in info and "Resolution: 123.25, 123.25 pixels/inch" in info
    assert "Orientation: row 0 top, col 0 lhs" in info


def test_a_13_band_image_is_read_by_other_programs(tmp_path, copy, libtiff):
    tifffile.imwrite(tmp_path / "a.tif", noise((16, 20, 13), "uint16"), photometric="minisblack",
                     planarconfig="contig", extratags=GEO)  # fmt: skip
    copy(tmp_path / "a.tif", tmp_path / "b.tif")
    info = libtiff("tiffinfo", tmp_path / "b.tif")
    assert "Extra Samples: 12<" in info and "Bits/Sample: 16" in info
