"""TIFF of tifffile, libtiff, ImageMagick and Pillow: what comes out is of the kind that went in."""

import contextlib
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from src.util.errors import DataError
from src.util.image_io import inspect_picture, read_picture
from src.util.pictures import tiff
from src.util.pictures.stored import open_picture

RANDOM = np.random.default_rng(4)
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


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float16", "float32", "float64"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 13])
def test_any_type_and_number_of_channels_comes_out_as_it_is(tmp_path, copy, dtype, channels):
    picture = noise((17, 19, channels), dtype)
    kind = "rgb" if channels == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", picture.squeeze(), photometric=kind,
                     planarconfig="contig" if channels > 1 else None)  # fmt: skip
    info = inspect_picture(tmp_path / "a.tif")
    assert (info.height, info.width, info.channels, info.dtype) == (17, 19, channels, dtype)
    assert np.array_equal(read_picture(tmp_path / "a.tif"), picture)
    assert copy(tmp_path / "a.tif", tmp_path / "b.tif") == []
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), picture.squeeze())


@pytest.mark.parametrize(
    "layout",
    [{}, {"compression": "lzw", "predictor": True}, {"compression": "deflate"}, {"compression": "zstd"},
     {"compression": "packbits"}, {"compression": "lzma"}, {"tile": (32, 16), "compression": "lzw"},
     {"planarconfig": "separate"}, {"planarconfig": "separate", "tile": (16, 16)}, {"bigtiff": True},
     {"byteorder": ">"}, {"byteorder": ">", "compression": "adobe_deflate", "predictor": True},
     {"rowsperstrip": 5}],
)  # fmt: skip
def test_layout_and_tags_are_kept(tmp_path, copy, layout):
    picture = noise((3, 50, 40) if "planarconfig" in layout else (50, 40, 3), "uint16")
    tifffile.imwrite(
        tmp_path / "a.tif", picture, photometric="rgb", iccprofile=ICC, resolution=(300.5, 200),
        resolutionunit="centimeter", description="a picture", software="a program", metadata=None,
        datetime="2020:01:02 03:04:05", extratags=[*GEO, (274, 3, 1, 6, False), (700, 1, 4, b"<x/>", False)],
        **layout,
    )  # fmt: skip
    assert copy(tmp_path / "a.tif", tmp_path / "b.tif") == []
    same_layout(tmp_path / "a.tif", tmp_path / "b.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), picture)


def test_alpha_is_kept_apart_from_the_channels(tmp_path, copy):
    for channels, kind, alpha in ((4, "rgb", "unassalpha"), (2, "minisblack", "assocalpha")):
        picture = noise((9, 11, channels), "uint16")
        tifffile.imwrite(tmp_path / "a.tif", picture, photometric=kind, extrasamples=[alpha], metadata=None)
        with open_picture(tmp_path / "a.tif") as stored:
            assert stored.info().channels == channels - 1
            assert np.array_equal(stored.read().alpha, picture[..., -1:])
        copy(tmp_path / "a.tif", tmp_path / "b.tif")
        same_layout(tmp_path / "a.tif", tmp_path / "b.tif")
        assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), picture)
    tifffile.imwrite(tmp_path / "a.tif", picture := noise((9, 11, 4), "uint8"), photometric="rgb",
                     extrasamples=["unspecified"])  # fmt: skip
    assert np.array_equal(read_picture(tmp_path / "a.tif"), picture)  # the fourth is infrared, say


def test_a_fourth_channel_that_nothing_is_said_of_does_not_become_transparency(tmp_path, copy):
    picture = noise((16, 18, 4), "uint16")
    tifffile.imwrite(tmp_path / "a.tif", picture, photometric="rgb", metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        start = file.pages[0].tags["ExtraSamples"].offset
    with open(tmp_path / "a.tif", "r+b") as file:  # a tag of another number
        file.seek(start)
        file.write((65000).to_bytes(2, "little"))
    copy(tmp_path / "a.tif", tmp_path / "b.tif")
    for name in ("a.tif", "b.tif"):
        assert not inspect_picture(tmp_path / name).alpha
        assert np.array_equal(read_picture(tmp_path / name), picture)


def test_the_pages_of_a_stack_are_pictures_each_of_its_kind(tmp_path, copy):
    pages = [noise((20, 30), "uint16"), noise((10, 12, 3), "uint8"), noise((7, 8), "float32")]
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for number, page in enumerate(pages):
            kind = "rgb" if page.ndim == 3 else "minisblack"
            writer.write(page, photometric=kind, description=f"page {number}", metadata=None)
    with open_picture(tmp_path / "a.tif") as stored:
        assert stored.pages == 3
    assert np.array_equal(read_picture(tmp_path / "a.tif", 1), pages[1])
    copy(tmp_path / "a.tif", tmp_path / "b.tif")
    same_layout(tmp_path / "a.tif", tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as back:
        assert all(np.array_equal(b.asarray(), page) for b, page in zip(back.pages, pages, strict=True))


@pytest.mark.parametrize("axes", ["ZYX", "TZCYX"])
def test_an_imagej_stack_stays_one(tmp_path, copy, axes):
    stack = noise((2, 3, 2, 16, 18)[-len(axes) :], "uint16")
    tifffile.imwrite(
        tmp_path / "a.tif", stack, imagej=True, metadata={"axes": axes, "spacing": 0.5, "unit": "um"}
    )
    assert copy(tmp_path / "a.tif", tmp_path / "b.tif") == []
    with tifffile.TiffFile(tmp_path / "b.tif") as back:
        assert back.is_imagej and back.imagej_metadata["spacing"] == 0.5
        assert np.array_equal(back.asarray(), stack)
        assert back.series[0].axes == axes


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_an_imagej_stacks_pixels_lie_together_where_imagej_looks_for_them(tmp_path, copy, byteorder):
    stack = noise((5, 16, 18), "uint16")
    tifffile.imwrite(
        tmp_path / "a.tif", stack, imagej=True, byteorder=byteorder, metadata={"Labels": list("abcde")}
    )
    copy(tmp_path / "a.tif", tmp_path / "b.tif")
    same_layout(tmp_path / "a.tif", tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as back:
        start, size = back.pages[0].dataoffsets[0], stack[0].nbytes
        assert [page.dataoffsets for page in back.pages] == [(start + n * size,) for n in range(5)]
        assert back.imagej_metadata["Labels"] == list("abcde")
        assert np.array_equal(back.asarray(), stack)
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, compression="zlib")
    copy(tmp_path / "a.tif", tmp_path / "b.tif")
    same_layout(tmp_path / "a.tif", tmp_path / "b.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), stack)


@pytest.mark.parametrize("images", ["", "many", "nan", "inf", "-1", "true"])
def test_a_number_of_images_that_is_none_says_nothing(tmp_path, copy, images):
    description = f"ImageJ=1.53\nimages={images}\n"
    tifffile.imwrite(tmp_path / "a.tif", noise((8, 9), "uint8"), description=description, metadata=None)
    with open_picture(tmp_path / "a.tif") as stored:
        assert stored.pages == 1
    assert copy(tmp_path / "a.tif", tmp_path / "b.tif") == []


def test_a_stack_of_which_the_first_page_alone_is_listed_is_refused(tmp_path):
    for shape in ((5, 20, 30), (2, 5, 20, 30)):
        tifffile.imwrite(tmp_path / "a.tif", noise(shape, "uint8"), truncate=True, photometric="minisblack")
        with pytest.raises(DataError, match=rf"a\.tif: a stack of shape \({shape[0]}, .*without its list of"):
            inspect_picture(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "a.tif", one := noise((1, 20, 30), "uint8"), truncate=True)
    assert np.array_equal(read_picture(tmp_path / "a.tif")[..., 0], one[0])
    for text in ('{"shape": [9], "truncated": ', '{"shape": 9, "truncated": 1}', '["shape"]', "[" * 2000):
        tifffile.imwrite(tmp_path / "a.tif", one[0], description=text, metadata=None)
        assert np.array_equal(read_picture(tmp_path / "a.tif")[..., 0], one[0])


def test_an_ome_stack_stays_one(tmp_path, copy):
    stack = noise((4, 16, 18), "uint16")
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, metadata={"axes": "ZYX", "Name": "cells"})
    copy(tmp_path / "a.ome.tif", tmp_path / "b.ome.tif")
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as one, tifffile.TiffFile(tmp_path / "b.ome.tif") as back:
        assert back.is_ome and back.ome_metadata == one.ome_metadata
        assert np.array_equal(back.series[0].asarray(), stack)


def test_a_result_that_outgrows_a_classic_tiff_is_a_bigtiff(tmp_path, copy, monkeypatch):
    stack = np.zeros((3, 90, 80), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stack, compression="lzw", photometric="minisblack", metadata=None)
    for room, lost in ((stack.nbytes, []), (stack.nbytes - 1, ["the classic TIFF, which 4 GB do not fit"])):
        monkeypatch.setattr(tiff, "_CLASSIC_BYTES", room)
        said = copy(tmp_path / "a.tif", tmp_path / "b.tif")
        assert [line.partition(":")[0] for line in said] == lost
        with tifffile.TiffFile(tmp_path / "b.tif") as back:
            assert back.is_bigtiff == bool(lost) and np.array_equal(back.asarray(), stack)


def test_what_cannot_be_kept_is_said(tmp_path, copy):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(noise((32, 32), "uint8"), subifds=1, metadata=None)
        writer.write(noise((16, 16), "uint8"), subfiletype=1, metadata=None)
    assert copy(tmp_path / "a.tif", tmp_path / "b.tif") == ["SubIFDs"]
    assert copy(tmp_path / "a.tif", tmp_path / "b.png") == ["TIFF tags"]


def test_exif_data_in_a_tiff_are_said_to_be_lost(tmp_path, copy):
    orientation, pointer = (274, 3, 1, 3, False), (65001, 4, 1, 8, False)
    tifffile.imwrite(tmp_path / "a.tif", noise((8, 9), "uint8"), extratags=[orientation, pointer])
    stored = (tmp_path / "a.tif").read_bytes()
    codes = [struct.pack("<HH", code, 4) for code in (65001, EXIF_IFD)]
    (tmp_path / "a.tif").write_bytes(stored.replace(*codes))
    assert copy(tmp_path / "a.tif", tmp_path / "b.tif") == ["EXIF data"]
    with Image.open(tmp_path / "b.tif") as image:
        assert image.tag_v2[274] == 3


def test_old_kinds_of_tiff_are_read_as_they_are_seen(tmp_path, copy):
    colours = Image.fromarray(noise((20, 30, 3), "uint8"))
    palette = colours.convert("P", palette=Image.Palette.ADAPTIVE, colors=50)
    palette.save(tmp_path / "palette.tif")
    with pytest.warns(UserWarning, match="palette is expanded"):
        assert np.array_equal(read_picture(tmp_path / "palette.tif"), np.asarray(palette.convert("RGB")))
    copy(tmp_path / "palette.tif", tmp_path / "b.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), np.asarray(palette.convert("RGB")))
    inverted = noise((20, 30), "uint8")
    tifffile.imwrite(tmp_path / "inverted.tif", inverted, photometric="miniswhite", metadata=None)
    assert np.array_equal(read_picture(tmp_path / "inverted.tif")[..., 0], 255 - inverted)
    copy(tmp_path / "inverted.tif", tmp_path / "b.tif")
    same_layout(tmp_path / "inverted.tif", tmp_path / "b.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), inverted)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_of_8_bits_is_no_black_one(tmp_path, bits):
    numbers, palette = noise((20, 30), "uint8"), noise((3, 256), "uint8").astype(np.uint16)
    stored = palette << (bits - 8)
    tifffile.imwrite(tmp_path / "a.tif", numbers, photometric="palette", colormap=stored)
    with pytest.warns(UserWarning, match="palette is expanded"):
        assert np.array_equal(read_picture(tmp_path / "a.tif"), palette[:, numbers].transpose(1, 2, 0))


@pytest.mark.parametrize("bits", [6, 10, 12, 14])
def test_where_white_is_0_black_is_the_largest_number_of_the_bits_that_there_are(tmp_path, copy, bits):
    values = RANDOM.integers(0, 2**bits, (20, 32), dtype=np.uint16)
    packed = np.packbits((values[..., None] >> np.arange(bits)[::-1] & 1).reshape(20, -1) > 0, axis=1)
    tags = {256: 32, 257: 20, 258: bits, 259: 1, 262: 0, 273: 8, 277: 1, 278: 20, 279: packed.size}
    content = struct.pack("<2sHI", b"II", 42, 8 + packed.size) + packed.tobytes()
    content += struct.pack("<H", len(tags))
    content += b"".join(struct.pack("<HHII", code, 4, 1, value) for code, value in tags.items()) + bytes(4)
    (tmp_path / "a.tif").write_bytes(content)
    seen = read_picture(tmp_path / "a.tif")
    assert np.array_equal(seen[..., 0], 2**bits - 1 - values)
    copy(tmp_path / "a.tif", tmp_path / "b.tif")
    assert np.array_equal(read_picture(tmp_path / "b.tif"), seen)


def test_where_white_is_0_transparency_stays_as_it_is(tmp_path, copy):
    stored = noise((20, 30, 2), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite", extrasamples=["unassalpha"],
                     planarconfig="contig", metadata=None)  # fmt: skip
    with open_picture(tmp_path / "a.tif") as opened:
        page = opened.read()
    assert np.array_equal(page.stacked, np.dstack([255 - stored[..., 0], stored[..., 1]]))
    copy(tmp_path / "a.tif", tmp_path / "b.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), stored)


def test_a_jpeg_inside_a_tiff_gets_no_second_loss(tmp_path, copy):
    smooth = np.linspace(0, 255, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "a.tif", compression="jpeg", quality=80)
    seen = read_picture(tmp_path / "a.tif")
    assert np.abs(seen.astype(int) - smooth).max() < 20
    copy(tmp_path / "a.tif", tmp_path / "b.tif")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.tif")), seen)


def test_every_compression_of_libtiff_comes_out_under_its_own_name(tmp_path, copy, libtiff):
    picture = noise((40, 50, 3), "uint8")
    tifffile.imwrite(tmp_path / "plain.tif", picture, photometric="rgb", metadata=None)
    schemes = {"none": "None", "lzw:2": "LZW", "zip:2": "AdobeDeflate", "packbits": "PackBits"}
    for scheme, said in schemes.items():
        for layout in (["-s"], ["-t", "-w", 32, "-l", 16], ["-p", "separate"]):
            libtiff("tiffcp", "-c", scheme, *layout, tmp_path / "plain.tif", tmp_path / "a.tif")
            copy(tmp_path / "a.tif", tmp_path / "b.tif")
            assert f"Compression Scheme: {said}" in libtiff("tiffinfo", "-D", tmp_path / "b.tif")
            assert np.array_equal(np.asarray(Image.open(tmp_path / "b.tif")), picture)


def test_tags_set_by_libtiff_are_read_back_by_it(tmp_path, copy, libtiff):
    tifffile.imwrite(tmp_path / "a.tif", noise((8, 8), "uint8"), metadata=None)
    for tag, value in ((315, "An artist"), (274, "8"), (282, "123.25"), (283, "123.25"), (296, "2")):
        libtiff("tiffset", "-s", tag, value, tmp_path / "a.tif")
    copy(tmp_path / "a.tif", tmp_path / "b.tif")
    said = libtiff("tiffinfo", tmp_path / "b.tif")
    assert "Artist: An artist" in said and "Resolution: 123.25, 123.25 pixels/inch" in said
    assert "Orientation: row 0 lhs, col 0 bottom" in said


def test_stacks_of_imagemagick_are_read_back_by_it(tmp_path, copy, magick, identify):
    magick("-size", "30x20", "gradient:red-blue", "gradient:black-white", "plasma:", "-depth", 16,
           "-compress", "zip", tmp_path / "a.tif")  # fmt: skip
    assert copy(tmp_path / "a.tif", tmp_path / "b.tif") == []
    kept = [identify("-format", "%# %z %C %wx%h\n", tmp_path / name) for name in ("a.tif", "b.tif")]
    assert kept[0] == kept[1] and len(kept[0].splitlines()) == 3


def test_a_13_band_picture_is_read_by_other_programs(tmp_path, copy, libtiff):
    tifffile.imwrite(tmp_path / "a.tif", noise((16, 20, 13), "uint16"), photometric="minisblack",
                     planarconfig="contig", extratags=GEO)  # fmt: skip
    copy(tmp_path / "a.tif", tmp_path / "b.tif")
    said = libtiff("tiffinfo", tmp_path / "b.tif")
    assert "Extra Samples: 12<" in said and "Bits/Sample: 16" in said


@pytest.mark.parametrize("part", [0.1, 0.5, 0.95])
def test_d7_a_tiff_cut_short_is_refused_from_its_header(tmp_path, part):
    for options in ({}, {"compression": "lzw"}, {"bigtiff": True}):
        tifffile.imwrite(tmp_path / "a.tif", noise((64, 64, 3), "uint8"), photometric="rgb", **options)
        whole = (tmp_path / "a.tif").read_bytes()
        (tmp_path / "a.tif").write_bytes(whole[: int(len(whole) * part)])
        for function in (inspect_picture, read_picture):
            with pytest.raises(DataError, match=r"a\.tif: .*(cut short|damaged)") as caught:
                function(tmp_path / "a.tif")
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("compression", ["lzw", "deflate", "zstd"])
def test_d7_damaged_data_are_refused_not_decoded(tmp_path, compression):
    tifffile.imwrite(tmp_path / "a.tif", noise((64, 64), "uint8"), compression=compression)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        start, count = tiff.pages[0].dataoffsets[0], tiff.pages[0].databytecounts[0]
    stored = bytearray((tmp_path / "a.tif").read_bytes())
    stored[start + 1 : start + count] = b"\xff" * (count - 1)
    (tmp_path / "a.tif").write_bytes(stored)
    with pytest.raises(DataError, match=r"a\.tif: the picture is damaged"):
        read_picture(tmp_path / "a.tif")


def test_d7_spoilt_tags_end_in_a_result_or_a_reason(tmp_path, copy):
    random = np.random.default_rng(0)
    for channels in (1, 3, 5):
        options = {"resolution": (300, 300), "resolutionunit": 2, "metadata": None, "description": "d" * 20}
        picture = noise((8, 9, channels), "uint8")
        tifffile.imwrite(tmp_path / "a.tif", picture, photometric="rgb" if channels > 1 else None, **options)
        whole = (tmp_path / "a.tif").read_bytes()
        for _ in range(120):
            spoilt = bytearray(whole)
            for place in random.integers(8, len(whole) - picture.size, 2):
                spoilt[place] = random.choice([0, 1, 2, 255, random.integers(256)])
            (tmp_path / "b.tif").write_bytes(spoilt)
            with contextlib.suppress(DataError):
                copy(tmp_path / "b.tif", tmp_path / "c.tif")


def test_d16_headers_that_claim_too_much_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4), np.uint8), metadata=None)
    for tag, value in ((256, 60_000), (257, 60_000)):
        with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tiff:
            tiff.pages[0].tags[tag].overwrite(value, dtype=4)
    with pytest.raises(DataError, match="60000x60000 pixels are more than the 200 megapixels"):
        inspect_picture(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((4, 4), np.uint8), metadata=None)
    for tag, value, dtype in ((256, 10_000, 4), (257, 10_000, 4), (277, 65_000, 3)):
        with tifffile.TiffFile(tmp_path / "b.tif", mode="r+b") as tiff:
            tiff.pages[0].tags[tag].overwrite(value, dtype=dtype)
    with pytest.raises(DataError, match=r"65000 channels take .* GB"):
        inspect_picture(tmp_path / "b.tif")


def test_what_is_no_picture_of_levels_is_refused(tmp_path):
    Image.new("1", (9, 9)).save(tmp_path / "bits.tif")
    with pytest.raises(DataError, match="values of 1 bits are not read"):
        read_picture(tmp_path / "bits.tif")
    tifffile.imwrite(tmp_path / "complex.tif", np.zeros((9, 9), np.complex64))
    with pytest.raises(DataError, match="are not read"):
        read_picture(tmp_path / "complex.tif")
    Image.new("LAB", (9, 9)).save(tmp_path / "lab.tif")
    with pytest.raises(DataError, match="CIELAB; convert it first"):
        read_picture(tmp_path / "lab.tif")
