"""Stacks of ImageJ, OME and other programs are written like their sources, page by page."""

import re

import numpy as np
import pytest
import tifffile

from src.util.errors import DataError
from src.util.images.formats import tiff
from src.util.images.formats.stored import open_image
from src.util.images.io import inspect_image, read_image
from tests.util.images.formats.conftest import noise, same_layout


def test_pages_of_different_types_are_kept(tmp_path, copy):
    pages = [noise((20, 30), "uint16"), noise((10, 12, 3), "uint8"), noise((7, 8), "float32")]
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for number, page in enumerate(pages):
            kind = "rgb" if page.ndim == 3 else "minisblack"
            writer.write(page, photometric=kind, description=f"page {number}", metadata=None)
    with open_image(tmp_path / "a.tif") as stored:
        assert stored.pages == 3
    assert np.array_equal(read_image(tmp_path / "a.tif", 1), pages[1])
    copy(tmp_path / "a.tif", tmp_path / "b.tif")
    same_layout(tmp_path / "a.tif", tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as back:
        assert all(np.array_equal(b.asarray(), page) for b, page in zip(back.pages, pages, strict=True))


@pytest.mark.parametrize("axes", ["ZYX", "TZCYX"])
def test_an_imagej_stack_is_kept(tmp_path, copy, axes):
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
def test_the_pixels_of_an_imagej_stack_are_contiguous(tmp_path, copy, byteorder):
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
def test_an_invalid_number_of_imagej_images_is_ignored(tmp_path, copy, images):
    description = f"ImageJ=1.53\nimages={images}\n"
    tifffile.imwrite(tmp_path / "a.tif", noise((8, 9), "uint8"), description=description, metadata=None)
    with open_image(tmp_path / "a.tif") as stored:
        assert stored.pages == 1
    assert copy(tmp_path / "a.tif", tmp_path / "b.tif") == []


def test_a_stack_that_lists_only_its_first_page_is_refused(tmp_path):
    for shape in ((5, 20, 30), (2, 5, 20, 30)):
        tifffile.imwrite(tmp_path / "a.tif", noise(shape, "uint8"), truncate=True, photometric="minisblack")
        with pytest.raises(DataError, match=rf"a\.tif: a stack of shape \({shape[0]}, .*without its list of"):
            inspect_image(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "a.tif", one := noise((1, 20, 30), "uint8"), truncate=True)
    assert np.array_equal(read_image(tmp_path / "a.tif")[..., 0], one[0])
    for text in ('{"shape": [9], "truncated": ', '{"shape": 9, "truncated": 1}', '["shape"]', "[" * 2000):
        tifffile.imwrite(tmp_path / "a.tif", one[0], description=text, metadata=None)
        assert np.array_equal(read_image(tmp_path / "a.tif")[..., 0], one[0])


def test_an_ome_stack_is_kept(tmp_path, copy):
    stack = noise((4, 16, 18), "uint16")
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, metadata={"axes": "ZYX", "Name": "cells"})
    copy(tmp_path / "a.ome.tif", tmp_path / "b.ome.tif")
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as one, tifffile.TiffFile(tmp_path / "b.ome.tif") as back:
        # The UUID, by which other files may refer to the source, is removed.
        assert back.is_ome and back.ome_metadata == re.sub(r' UUID="[^"]*"', "", one.ome_metadata)
        assert np.array_equal(back.series[0].asarray(), stack)


def test_a_result_too_large_for_a_classic_tiff_is_a_bigtiff(tmp_path, copy, monkeypatch):
    stack = np.zeros((3, 90, 80), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stack, compression="lzw", photometric="minisblack", metadata=None)
    for limit, is_big in ((stack.nbytes, False), (stack.nbytes - 1, True)):
        monkeypatch.setattr(tiff, "_CLASSIC_BYTES", limit)
        lost = copy(tmp_path / "a.tif", tmp_path / "b.tif")
        assert ["BigTIFF" in line for line in lost] == [True] * is_big
        with tifffile.TiffFile(tmp_path / "b.tif") as back:
            assert back.is_bigtiff == is_big and np.array_equal(back.asarray(), stack)


def test_stacks_of_imagemagick_are_read_back_by_it(tmp_path, copy, magick, identify):
    magick("-size", "30x20", "gradient:red-blue", "gradient:black-white", "plasma:", "-depth", 16,
           "-compress", "zip", tmp_path / "a.tif")  # fmt: skip
    assert copy(tmp_path / "a.tif", tmp_path / "b.tif") == []
    kept = [identify("-format", "%# %z %C %wx%h\n", tmp_path / name) for name in ("a.tif", "b.tif")]
    assert kept[0] == kept[1] and len(kept[0].splitlines()) == 3
