"""TIFFs that are cut short, damaged, too large or not supported are refused in one line."""

import contextlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from src.util.errors import DataError
from src.util.images.io import inspect_image, read_image
from tests.util.images.formats.conftest import noise


@pytest.mark.parametrize("part", [0.1, 0.5, 0.95])
def test_d7_a_tiff_cut_short_is_refused_by_its_header(tmp_path, part):
    for options in ({}, {"compression": "lzw"}, {"bigtiff": True}):
        tifffile.imwrite(tmp_path / "a.tif", noise((64, 64, 3), "uint8"), photometric="rgb", **options)
        whole = (tmp_path / "a.tif").read_bytes()
        (tmp_path / "a.tif").write_bytes(whole[: int(len(whole) * part)])
        for function in (inspect_image, read_image):
            with pytest.raises(DataError, match=r"a\.tif: .*(cut short|damaged)") as caught:
                function(tmp_path / "a.tif")
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("compression", ["lzw", "deflate", "zstd"])
def test_d7_damaged_data_are_refused(tmp_path, compression):
    tifffile.imwrite(tmp_path / "a.tif", noise((64, 64), "uint8"), compression=compression)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        start, count = tiff.pages[0].dataoffsets[0], tiff.pages[0].databytecounts[0]
    stored = bytearray((tmp_path / "a.tif").read_bytes())
    stored[start + 1 : start + count] = b"\xff" * (count - 1)
    (tmp_path / "a.tif").write_bytes(stored)
    with pytest.raises(DataError, match=r"a\.tif: the image is damaged"):
        read_image(tmp_path / "a.tif")


def test_d7_damaged_tags_give_a_result_or_a_data_error(tmp_path, copy):
    generator = np.random.default_rng(0)
    for channels in (1, 3, 5):
        options = {"resolution": (300, 300), "resolutionunit": 2, "metadata": None, "description": "d" * 20}
        image = noise((8, 9, channels), "uint8")
        tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb" if channels > 1 else None, **options)
        whole = (tmp_path / "a.tif").read_bytes()
        for _ in range(120):
            spoilt = bytearray(whole)
            for place in generator.integers(8, len(whole) - image.size, 2):
                spoilt[place] = generator.choice([0, 1, 2, 255, generator.integers(256)])
            (tmp_path / "b.tif").write_bytes(spoilt)
            with contextlib.suppress(DataError):
                copy(tmp_path / "b.tif", tmp_path / "c.tif")


def test_d16_headers_that_claim_too_much_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4), np.uint8), metadata=None)
    for tag, value in ((256, 60_000), (257, 60_000)):
        with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tiff:
            tiff.pages[0].tags[tag].overwrite(value, dtype=4)
    with pytest.raises(DataError, match="60000x60000 pixels are more than the 200 megapixels"):
        inspect_image(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((4, 4), np.uint8), metadata=None)
    for tag, value, dtype in ((256, 10_000, 4), (257, 10_000, 4), (277, 65_000, 3)):
        with tifffile.TiffFile(tmp_path / "b.tif", mode="r+b") as tiff:
            tiff.pages[0].tags[tag].overwrite(value, dtype=dtype)
    with pytest.raises(DataError, match=r"65000 channels take .* GB"):
        inspect_image(tmp_path / "b.tif")


def test_unsupported_values_and_colours_are_refused(tmp_path):
    Image.new("1", (9, 9)).save(tmp_path / "bits.tif")
    with pytest.raises(DataError, match="values of 1 bits are not read"):
        read_image(tmp_path / "bits.tif")
    tifffile.imwrite(tmp_path / "complex.tif", np.zeros((9, 9), np.complex64))
    with pytest.raises(DataError, match="are not read"):
        read_image(tmp_path / "complex.tif")
    Image.new("LAB", (9, 9)).save(tmp_path / "lab.tif", compression="jpeg")
    with pytest.raises(DataError, match="CIELAB; convert it first"):
        read_image(tmp_path / "lab.tif")


@pytest.mark.parametrize(("inks", "ink_set"), [(1, 1), (3, 1), (4, 2), (5, 1)])
def test_inks_other_than_cmyk_are_refused(tmp_path, inks, ink_set):
    stored = noise((9, 9, inks), "uint8").squeeze()
    planes = {"planarconfig": "contig", "extrasamples": [0] * (inks - 1)} if inks > 1 else {}
    ink_tag = (332, 3, 1, ink_set, True)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack", extratags=[ink_tag], **planes)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tiff:
        tiff.pages[0].tags[262].overwrite(5)
    for function in (inspect_image, read_image):
        with pytest.raises(DataError, match=r"a\.tif: expected grey, RGB or more channels, got SEPARATED"):
            function(tmp_path / "a.tif")


def test_12_bit_cmyk_is_refused(tmp_path):
    """Scaled as 16 bits they would give a pale image."""
    stored = noise((9, 9, 4), "uint16") >> 4
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="separated", bitspersample=12)
    with pytest.raises(DataError, match="got SEPARATED"):
        read_image(tmp_path / "a.tif")


def test_the_preview_of_a_raw_file_is_refused(tmp_path):
    """As in a DNG, which has a preview and the raw data in a SubIFD."""
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(noise((8, 9, 3), "uint8"), photometric="rgb", subfiletype=1, subifds=1)
        writer.write(noise((80, 90), "uint16"), photometric="cfa", subfiletype=0)
    for function in (inspect_image, read_image):
        with pytest.raises(DataError, match=r"a\.tif: only a small copy of a raw image; develop"):
            function(tmp_path / "a.tif")
