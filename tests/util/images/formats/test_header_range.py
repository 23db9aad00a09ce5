"""Data ranges in file headers are used, and are written to the result."""

import zlib

import cv2
import numpy as np
import pytest
import tifffile

from src.util.errors import DataError
from src.util.images.formats.stored import open_image
from src.util.images.io import inspect_image, read_image
from src.util.images.value_range import dark_hint
from tests.util.images.formats.conftest import chunk

RANDOM = np.random.default_rng(7)


def levels(bits, shape=(20, 27, 1)):
    """Return values of a whole data range, both ends included."""
    values = RANDOM.integers(0, 2**bits, shape, dtype=np.uint8 if bits < 8 else np.uint16)
    values.flat[:2] = 0, 2**bits - 1
    return values


def write_tiff(path, pixels, **options):
    kind = "rgb" if pixels.shape[2] == 3 else "minisblack"
    tifffile.imwrite(path, pixels.squeeze(), **{"photometric": kind, "metadata": None, **options})


@pytest.mark.parametrize("layout", [{}, {"tile": (16, 16)}, {"rowsperstrip": 3}, {"byteorder": ">"},
                                    {"photometric": "miniswhite"}, {"bigtiff": True}])  # fmt: skip
@pytest.mark.parametrize("bits", [6, 10, 12, 14])
def test_a_packed_tiff_stays_packed(tmp_path, copy, bits, layout):
    write_tiff(tmp_path / "a.tif", levels(bits), bitspersample=bits, **layout)
    assert inspect_image(tmp_path / "a.tif").data_range == 2**bits - 1
    assert copy(tmp_path / "a.tif", tmp_path / "b.tif") == []
    with tifffile.TiffFile(tmp_path / "a.tif") as one, tifffile.TiffFile(tmp_path / "b.tif") as other:
        assert other.pages[0].bitspersample == bits
        assert other.pages[0].databytecounts == one.pages[0].databytecounts
        assert other.byteorder == one.byteorder
    assert np.array_equal(read_image(tmp_path / "b.tif"), read_image(tmp_path / "a.tif"))


@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_a_packed_rgb_tiff_stays_packed(tmp_path, copy, planes):
    pixels = levels(12, (20, 27, 3))
    stored = pixels if planes == "contig" else np.moveaxis(pixels, 2, 0)
    tifffile.imwrite(
        tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planes, bitspersample=12, metadata=None
    )
    assert copy(tmp_path / "a.tif", tmp_path / "b.tif") == []
    assert np.array_equal(read_image(tmp_path / "b.tif"), pixels)
    assert inspect_image(tmp_path / "b.tif").data_range == 4095


def test_packed_results_are_clipped_to_their_bits(tmp_path):
    write_tiff(tmp_path / "a.tif", levels(12), bitspersample=12)
    with open_image(tmp_path / "a.tif") as stored, open(tmp_path / "b.tif", "wb") as file:
        page = stored.read()
        page.pixels[:5] = 5000
        stored.write(file, [page], ".tif")
    assert (read_image(tmp_path / "b.tif")[:5] == 4095).all()


def edited(path, tag, value):
    """Overwrite a tag's short value in a file."""
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].tags[tag].overwrite(value)


def test_unpacked_12_bit_values_are_read_and_get_a_correct_header(tmp_path, copy):
    pixels = levels(12)
    write_tiff(tmp_path / "a.tif", pixels)
    edited(tmp_path / "a.tif", 258, 12)
    assert inspect_image(tmp_path / "a.tif").data_range == 4095
    assert np.array_equal(read_image(tmp_path / "a.tif"), pixels)
    assert copy(tmp_path / "a.tif", tmp_path / "b.tif") == []
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), pixels[..., 0])


def test_values_above_the_bits_in_the_header_are_refused(tmp_path):
    write_tiff(tmp_path / "a.tif", levels(12) << 4)
    edited(tmp_path / "a.tif", 258, 12)
    with pytest.raises(DataError, match=r"^.*a\.tif: values above the 12 bits in its header"):
        read_image(tmp_path / "a.tif")


def test_packed_values_lose_their_compression_with_a_report(tmp_path, copy):
    # As libtiff writes it: packed, then deflated.
    write_tiff(tmp_path / "a.tif", levels(12), bitspersample=12, rowsperstrip=20)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        (offset,), (count,) = file.pages[0].dataoffsets, file.pages[0].databytecounts
        pixels = file.asarray()
    content = (tmp_path / "a.tif").read_bytes()
    packed = zlib.compress(content[offset : offset + count])
    (tmp_path / "a.tif").write_bytes(content + packed)
    for tag, value in ((259, 8), (273, len(content)), (279, len(packed))):
        edited(tmp_path / "a.tif", tag, value)
    assert inspect_image(tmp_path / "a.tif").data_range == 4095
    assert copy(tmp_path / "a.tif", tmp_path / "b.tif") == ["compression, which packed values do not have"]
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), pixels)
    assert inspect_image(tmp_path / "b.tif").data_range == 4095


@pytest.mark.parametrize(
    ("dtype", "header", "data_range"),
    [("uint16", 4095, 4095), ("uint32", 65535, 65535), ("int32", 65535, 65535), ("uint16", 511, 511),
     ("uint16", 3987, None), ("uint16", 255, None), ("uint16", 65535, None), ("uint8", 255, None),
     ("float32", 4095, None), ("uint16", 0, None)],
)  # fmt: skip
def test_a_max_sample_value_counts_if_it_is_the_largest_number_of_some_bits(
    tmp_path, copy, dtype, header, data_range
):
    pixels = RANDOM.integers(0, 200, (20, 27, 1)).astype(dtype)
    write_tiff(tmp_path / "a.tif", pixels, extratags=[(281, "H", 1, header, True)])
    assert inspect_image(tmp_path / "a.tif").data_range == data_range
    assert copy(tmp_path / "a.tif", tmp_path / "b.tif") == []
    assert inspect_image(tmp_path / "b.tif").data_range == data_range
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert file.pages[0].tags.valueof(281) == data_range  # another one is not copied


def test_a_max_sample_value_counts_for_rgb_too(tmp_path):
    write_tiff(tmp_path / "a.tif", levels(12, (20, 27, 3)), extratags=[(281, "H", 3, (4095,) * 3, True)])
    assert inspect_image(tmp_path / "a.tif").data_range == 4095


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("data_range", [1, 100, 1023, 4095, 10_000])
def test_a_pnm_keeps_its_data_range(tmp_path, copy, channels, data_range):
    pixels = RANDOM.integers(0, data_range + 1, (20, 27, channels)).astype(
        "uint8" if data_range < 256 else ">u2"
    )
    header = f"P{5 if channels == 1 else 6}\n# a camera's\n27 20\n{data_range}\n".encode()
    (tmp_path / "a.pnm").write_bytes(header + pixels.tobytes())
    assert inspect_image(tmp_path / "a.pnm").data_range == data_range
    assert np.array_equal(read_image(tmp_path / "a.pnm"), pixels)
    assert copy(tmp_path / "a.pnm", tmp_path / "b.pnm") == []
    assert (tmp_path / "b.pnm").read_bytes() == header.replace(b"# a camera's\n", b"") + pixels.tobytes()


@pytest.mark.parametrize("data_range", [255, 1023])
def test_a_text_pnm_is_read_unless_its_data_range_is_below_255(tmp_path, data_range):
    numbers = " ".join(map(str, range(0, 200, 10)))
    (tmp_path / "a.pgm").write_text(f"P2\n5 4\n{data_range}\n{numbers}\n")
    assert read_image(tmp_path / "a.pgm").ravel().tolist() == list(range(0, 200, 10))
    (tmp_path / "b.pgm").write_text(f"P2\n5 4\n199\n{numbers}\n")
    with pytest.raises(DataError, match=r"b\.pgm: a text PNM with a data range below 255"):
        read_image(tmp_path / "b.pgm")


def test_a_data_range_that_a_format_cannot_keep_is_reported(tmp_path, copy):
    write_tiff(tmp_path / "a.tif", levels(12), bitspersample=12)
    assert "data range of 4095" in copy(tmp_path / "a.tif", tmp_path / "b.png")
    assert "data range of 4095" not in copy(tmp_path / "a.tif", tmp_path / "b.pgm")
    assert inspect_image(tmp_path / "b.pgm").data_range == 4095


def test_significant_bits_of_a_png_are_not_its_data_range(tmp_path):
    """By the standard the values fill 16 bits, whatever sBIT is. Other files are dark and get a hint."""
    for name, pixels in (("full", levels(12) << 4), ("low", levels(12))):
        content = cv2.imencode(".png", pixels)[1].tobytes()
        (tmp_path / f"{name}.png").write_bytes(content[:33] + chunk(b"sBIT", b"\x0c") + content[33:])
        assert inspect_image(tmp_path / f"{name}.png").data_range is None
    assert dark_hint(read_image(tmp_path / "full.png"), 65535) is None
    assert dark_hint(read_image(tmp_path / "low.png"), 65535).line.endswith("set data_range=4095")


def test_a_packed_stack_of_imagej_stays_packed(tmp_path, copy):
    stack = np.stack([levels(12)[..., 0] for _ in range(3)])
    description = "ImageJ=1.53t\nimages=3\nslices=3\n"
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page in stack:
            writer.write(
                page, photometric="minisblack", bitspersample=12, metadata=None, description=description
            )
            description = None
    assert copy(tmp_path / "a.tif", tmp_path / "b.tif") == []
    for number in range(3):
        assert inspect_image(tmp_path / "b.tif", number).data_range == 4095
        assert np.array_equal(read_image(tmp_path / "b.tif", number)[..., 0], stack[number])
