import os
import resource
from multiprocessing import get_context

import h5py
import numpy as np
import pytest

from src.data_handlers.datasets.base import Box
from src.data_handlers.datasets.dnd_mat import DndImage, find_images, read_boxes
from src.util.errors import DataError

EDGE = 512


def test_p7_boxes_come_counted_from_0_by_image_and_box(write_info, tmp_path):
    boxes = read_boxes(write_info(tmp_path, lambda image, box: (3 * image + box, 7 * box)))
    assert [len(boxes), {len(of_image) for of_image in boxes}] == [50, {20}]
    assert boxes[0][0] == Box(0, 0, EDGE, EDGE)
    assert boxes[49][19] == Box(3 * 49 + 19, 7 * 19, EDGE, EDGE)


def damage(change):
    def do(path):
        with h5py.File(path, "r+") as file:
            change(file)

    return do


def replaced(file, name, value):
    del file[name]
    file[name] = value


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda path: path.unlink(), "no such file; download it from https://noise"),
        (lambda path: path.write_bytes(b""), "not a MAT file of version 7.3, or damaged"),
        (
            lambda path: path.write_bytes(path.read_bytes()[:-999]),
            "not a MAT file of version 7.3, or damaged",
        ),
        (damage(lambda file: file.pop("info")), "expected info.boundingboxes of 50 images, found none"),
        (damage(lambda file: replaced(file, "info/boundingboxes", np.ones((1, 50)))), "found none"),
        (
            damage(lambda f: replaced(f, "info/boundingboxes", f["info/boundingboxes"][:, :49])),
            r"of 50 images, found shape \(1, 49\)",
        ),
        (damage(lambda f: replaced(f, "boxes/0007", np.ones((4, 19)))), r"0007: .* found \(4, 19\)"),
        (damage(lambda f: f["boxes/0007"].__setitem__((0, 3), 0)), "0007: expected 512x512 px at whole"),
        (damage(lambda f: f["boxes/0007"].__setitem__((2, 3), 9)), "0007: expected 512x512 px at whole"),
        (damage(lambda f: f["boxes/0007"].__setitem__((slice(None), 3), np.nan)), "0007: expected 512"),
    ],
)
def test_wrong_boxes_are_refused_with_their_place(write_info, tmp_path, harm, message):
    path = write_info(tmp_path)
    harm(path)
    with pytest.raises(DataError, match=rf"info\.mat: .*{message}"):
        read_boxes(path)


def test_a_box_is_read_upright_and_unrounded(write_dnd_image, tmp_path):
    path, pixels = write_dnd_image(tmp_path / "0001.mat", (40, 60))
    image = DndImage(path)
    assert image.shape == (40, 60)
    part = image.read(Box(5, 20, 12, 30))
    assert part.dtype == np.float32 and part.flags.c_contiguous
    assert np.array_equal(part, pixels[5:17, 20:50])


@pytest.mark.parametrize("box", [Box(-1, 0, 5, 5), Box(0, 56, 5, 5), Box(36, 0, 5, 5), Box(0, 0, 0, 5)])
def test_a_box_outside_the_image_is_never_a_smaller_image(write_dnd_image, tmp_path, box):
    path, _ = write_dnd_image(tmp_path / "0001.mat", (40, 60))
    with pytest.raises(DataError, match=r"0001\.mat: Box.* is not inside its 40x60 px"):
        DndImage(path).read(box)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_bytes(b"text" * 500), "not a MAT file of version 7.3"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "not a MAT file of version 7.3, or damaged"),
        (damage(lambda f: f.move("InoisySRGB", "Inoisy")), "expected the dataset InoisySRGB, found Inoisy"),
        (damage(lambda f: replaced(f, "InoisySRGB", np.zeros((3, 9, 9)))), r"found float64 \(3, 9, 9\)"),
        (damage(lambda f: replaced(f, "InoisySRGB", np.zeros((9, 9, 3), "f4"))), r"float32 \(9, 9, 3\)"),
        (damage(lambda f: replaced(f, "InoisySRGB", np.full((3, 9, 9), 77, "f4"))), "0 to 1, found 77 to 77"),
        (damage(lambda f: f["InoisySRGB"].__setitem__((0, 0, 0), np.nan)), "from 0 to 1, found nan"),
    ],
)
def test_a_wrong_image_is_refused(write_dnd_image, tmp_path, harm, message):
    path, _ = write_dnd_image(tmp_path / "0001.mat", (40, 60))
    harm(path)
    with pytest.raises(DataError, match=rf"0001\.mat: .*({message})"):
        DndImage(path).read(Box(0, 0, 5, 5))


def test_p10_no_file_stays_open(write_dnd_image, tmp_path):
    path, _ = write_dnd_image(tmp_path / "0001.mat", (40, 60))
    image = DndImage(path)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    parts = [image.read(Box(0, i, 5, 5)) for i in range(20)]
    assert len(parts) == 20
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


def test_d16_an_image_too_large_for_any_camera_is_refused_from_its_header(tmp_path):
    with h5py.File(tmp_path / "0001.mat", "w") as file:
        file.create_dataset("InoisySRGB", (3, 10**6, 10**6), "f4", chunks=(1, 256, 256))
    with pytest.raises(DataError, match=r"0001\.mat: 1000000x1000000 pixels are more than the 200 mega"):
        DndImage(tmp_path / "0001.mat").shape  # noqa: B018


def _mean(image):
    return float(image.read(Box(0, 0, 40, 60)).mean())


def test_an_image_goes_to_other_processes(write_dnd_image, tmp_path):
    path, pixels = write_dnd_image(tmp_path / "0001.mat", (40, 60))
    image = DndImage(path)
    image.read(Box(0, 0, 5, 5))
    with get_context("fork" if os.name == "posix" else "spawn").Pool(2) as pool:
        assert pool.map(_mean, [image] * 4) == [float(pixels.mean())] * 4


def test_only_the_box_is_in_memory(tmp_path):
    with h5py.File(tmp_path / "0001.mat", "w") as file:  # 430 MB of zeros, only the header is written
        file.create_dataset("InoisySRGB", (3, 7300, 4900), "f4", chunks=(1, 256, 256))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    image = DndImage(tmp_path / "0001.mat")
    for left in range(0, 7300 - EDGE, 2000):
        assert not image.read(Box(4000, left, EDGE, EDGE)).any()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # KiB


def test_p7_images_are_known_by_their_numbers(tmp_path):
    inner = tmp_path / "images_srgb"
    inner.mkdir()
    for name in ("0002.mat", "0050.MAT", "0051.mat", "0000.mat", "info.mat", "0003.png", ".0004.mat"):
        (inner / name).touch()
    expected = {2: inner / "0002.mat", 50: inner / "0050.MAT"}
    assert find_images(tmp_path) == find_images(inner) == expected
