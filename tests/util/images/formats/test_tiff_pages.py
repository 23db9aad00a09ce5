"""The pages of a stack: all are found, and each is read without reading those before it."""

import os
import struct

import numpy as np
import pytest
import tifffile

from src.util.errors import DataError
from src.util.images.formats import tiff_pages
from src.util.images.io import count_pages, inspect_image, read_image

PAGES = 150


@pytest.fixture(params=["", "big", "reverse", "imagej", "ome"])
def stack(request, tmp_path):
    """A file of `PAGES` pages, each filled with its number."""
    pages = np.arange(PAGES, dtype=np.uint16)[:, None, None] + np.zeros((9, 8), np.uint16)
    options = {
        "": {"metadata": None},
        "big": {"bigtiff": True, "metadata": None},
        "reverse": {"byteorder": ">", "metadata": None},
        "imagej": {"imagej": True},
        "ome": {"ome": True},
    }[request.param]
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, **{k: v for k, v in options.items() if k != "metadata"}) as writer:
        if "metadata" in options:
            for page in pages:
                writer.write(page, metadata=None)
        else:
            writer.write(pages, metadata={"axes": "TYX"})
    return path


def test_every_page_is_found(stack):
    assert count_pages(stack) == count_pages(str(stack)) == PAGES
    assert [read_image(stack, number).max() for number in range(PAGES)] == list(range(PAGES))


def test_the_chain_of_a_file_is_read_once_unless_it_changes(stack, monkeypatch):
    calls = []
    chain = tiff_pages._chain
    monkeypatch.setattr(tiff_pages, "_chain", lambda *file: calls.append(1) or chain(*file))
    for number in (140, 3, 141):
        inspect_image(stack, number)
    assert len(calls) == 1
    tifffile.imwrite(stack, np.zeros((2, 9, 8), np.uint8), photometric="minisblack")
    assert count_pages(stack) == 2 and len(calls) == 2


def test_a_replaced_file_of_the_same_size_and_time_is_read_again(tmp_path):
    path = tmp_path / "a.tif"
    pages = np.arange(4 * 9 * 8, dtype=np.uint8).reshape(4, 9, 8)
    for options in ({"metadata": None}, {"metadata": None, "contiguous": True}):
        with tifffile.TiffWriter(path, append=False) as writer:
            for page in pages:
                writer.write(page, **options)
        with open(path, "ab") as file:
            file.truncate(2000)
        os.utime(path, ns=(10**18, 10**18))
        assert [read_image(path, number)[0, 0, 0] for number in range(4)] == pages[:, 0, 0].tolist()


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_stack_cut_short_is_refused(stack, part):
    whole = stack.read_bytes()
    stack.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(DataError, match=r"a\.tif: the image is cut short \(what follows page \d+ is missing"):
        inspect_image(stack)


def test_pages_in_a_circle_are_refused(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for _ in range(PAGES):
            writer.write(np.zeros((9, 8), np.uint8), metadata=None)
    with tifffile.TiffFile(path) as file:
        back, last = file.pages[120].offset, file.pages[PAGES - 1]
        end = last.offset + 2 + 12 * len(last.tags)
    content = bytearray(path.read_bytes())
    content[end : end + 4] = struct.pack("<I", back)
    path.write_bytes(content)
    with pytest.raises(DataError, match="after page 150 its pages run in a circle"):
        inspect_image(path)


@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"byteorder": ">"}])
def test_reduced_copies_and_masks_are_skipped(tmp_path, copy, options):
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, **options) as writer:
        writer.write(image, photometric="rgb", tile=(32, 32), metadata=None)
        writer.write(image[::2, ::2], photometric="rgb", subfiletype=1, metadata=None)
        writer.write(image[..., 0] > 9, photometric="mask", subfiletype=4, metadata=None)
        writer.write(image[::4, ::4, 0] > 9, photometric="mask", subfiletype=5, metadata=None)
        writer.write(image[::-1], photometric="rgb", subfiletype=2, metadata=None)
    assert count_pages(path) == 2
    assert np.array_equal(read_image(path, 1), image[::-1])
    assert copy(path, tmp_path / "b.tif") == ["reduced copies or masks"]
    assert all(np.array_equal(read_image(tmp_path / "b.tif", n), image[:: 1 - 2 * n]) for n in (0, 1))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("code", "kind", "value"), [(254, 3, 1), (255, 3, 2), (255, 4, 2)])
def test_reduced_copies_with_unusual_tags_are_skipped(tmp_path, order, code, kind, value):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, byteorder=order) as writer:
        for number in (0, 1):
            writer.write(np.full((9, 8), number, np.uint8), subfiletype=2 * number, metadata=None)
    with tifffile.TiffFile(path) as file:
        start = file.pages[1].tags[254].offset
    stored = struct.pack(order + ("HHIHH" if kind == 3 else "HHII"), code, kind, 1, *[value, 0][: 5 - kind])
    content = path.read_bytes()
    path.write_bytes(content[:start] + stored + content[start + 12 :])
    assert count_pages(path) == 1 and read_image(path).max() == 0


def test_a_file_with_only_reduced_copies_is_read(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.full((9, 8), 7, np.uint8), subfiletype=1, metadata=None)
    assert count_pages(tmp_path / "a.tif") == 1 and read_image(tmp_path / "a.tif").max() == 7


def test_a_file_that_ends_with_its_last_tag_is_complete(tmp_path):
    tags = {256: 8, 257: 9, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 9, 279: 72}
    content = struct.pack("<2sHI", b"II", 42, 8 + 72) + bytes([7]) * 72 + struct.pack("<H", len(tags))
    content += b"".join(struct.pack("<HHII", number, 4, 1, value) for number, value in tags.items())
    (tmp_path / "a.tif").write_bytes(content)
    assert read_image(tmp_path / "a.tif").tolist() == np.full((9, 8, 1), 7).tolist()
