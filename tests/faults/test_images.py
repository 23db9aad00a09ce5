"""Damaged image files are all named together before the first step."""

import os
import struct
import zlib

import numpy as np
import pytest

from src.data_handlers import build_samples
from src.data_handlers.samples.checks import check_images
from src.util.errors import DataError
from src.util.images.io import write_image


def chunk(name, data):
    return struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))


def png(width, height, data=b""):
    header = chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tiff(width, height):
    entries = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, height)]
    directory = b"".join(struct.pack("<HHLL", tag, 4, 1, value) for tag, value in entries)
    return b"II*\0" + struct.pack("<L", 8) + struct.pack("<H", len(entries)) + directory + bytes(4)


def bmp(width, height):
    return b"BM" + struct.pack("<LLLLLLHHLLLLLL", 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


def npy(shape, kind="|u1"):
    header = repr({"descr": kind, "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


def damaged(folder):
    """Write more than thirty damaged files. Return their names."""
    good = np.random.default_rng(1).integers(0, 256, (32, 40, 3), dtype=np.uint8)
    files = {}
    for ending in ("png", "jpg", "tif", "npy", "bmp", "webp"):
        whole = folder / f"whole.{ending}"
        (np.save if ending == "npy" else write_image)(whole, good)
        data = whole.read_bytes()
        whole.unlink()
        for part in (0, 1, 4, 9, 20, 60) if ending != "npy" else (0, 1, 50, 90):
            files[f"cut_{part:02d}.{ending}"] = data[: len(data) * part // 100]
    files |= {
        "text.png": b"hello", "zeros.jpg": bytes(1000), "page.png": b"<html><body>404</body></html>",
        "wide.png": png(100_000, 100_000), "wide.tif": tiff(100_000, 100_000), "none.png": png(0, 0),
        "wide.npy": npy((10**5, 10**5, 3)), "objects.npy": npy((8, 8), "|O"), "flat.npy": npy((10**6,)),
        "negative.npy": npy((-8, 8)), "bomb.png": png(60_000, 60_000, zlib.compress(bytes(10**6))),
        "film.tif": b"II+\0" + bytes(100), "wide.bmp": bmp(10**6, 10**6),
    }  # fmt: skip
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "folder.png").mkdir()
    (folder / "loop.png").symlink_to(folder / "loop.png")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    os.mkfifo(folder / "pipe.png")
    return [*files, "loop.png", "gone.png", "pipe.png"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for name in ("a", "z"):
        write_image(tmp_path / "images" / f"{name}.png", rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
    return tmp_path / "images"


def samples(folder, **options):
    options = {"data_dir": str(folder), "crop_size": 16, **options}
    made = build_samples("Folder", options, channels=3, seed=0, training=True)
    check_images(made, 2)
    return made


def test_d7_d16_all_damaged_images_are_named_at_once(folder, limits, trials):
    names = damaged(folder)
    tried = trials("damaged image files, all in one folder", small=len(names))
    with limits(tried, "together"), pytest.raises(DataError) as caught:
        samples(folder)
    for number, _ in tried:
        lines = [line for line in str(caught.value).splitlines() if str(folder / names[number]) in line]
        tried.expect(len(lines) == 1, names[number])
    assert not any(str(folder / name) in str(caught.value) for name in ("a.png", "z.png"))


def test_d7_an_image_with_damaged_pixels_is_named_when_it_is_decoded(folder, trials):
    good = (folder / "a.png").read_bytes()
    tried = trials("bit flips in an image's pixels", small=50, full=1000)
    start, end = good.index(b"IDAT") + 4, good.index(b"IEND") - 8
    for number, rng in tried:
        data = bytearray(good)
        data[rng.randrange(start, end)] ^= 1 << rng.randrange(8)
        (folder / "a.png").write_bytes(data)
        try:
            read = samples(folder)
            whole = [read[1, index]["noisy"].shape for index in range(len(read))]
            tried.note("decoded all the same")
            tried.expect(all(shape == (3, 16, 16) for shape in whole), number)
        except DataError as error:
            tried.note("named")
            tried.expect("a.png" in str(error), number)
