import errno
import mmap
import pickle
import struct
from io import BytesIO

import numpy as np
import pytest
from scipy import io

from src.data_handlers import DATASETS
from src.data_handlers.datasets import mat_blocks
from src.data_handlers.loading.sampling import build_loader
from src.data_handlers.samples.samples import Samples
from src.data_handlers.samples.view import View
from src.util.errors import DataError, StorageError
from src.util.images.io import read_image

SHAPE = (2, 3, 16, 18, 3)


def base_of(array):
    while isinstance(array, np.ndarray):
        array = array.base
    return array


def test_d14_the_number_of_blocks_is_that_of_the_array(blocks):
    root, noisy, clean = blocks
    source = DATASETS["SIDD_val"](str(root))
    assert len(source) == 6
    image = source.read(4)
    assert image.name == "0004"
    assert np.array_equal(image.noisy, noisy[1, 1])
    assert np.array_equal(image.clean, clean[1, 1])
    assert DATASETS["SIDD_test"](str(root)).read(5).clean is None


def test_d15_the_blocks_are_mapped_and_not_pickled(blocks):
    source = DATASETS["SIDD_val"](str(blocks[0]))
    image = source.read(1)
    assert isinstance(base_of(image.noisy), mmap.mmap) and isinstance(base_of(image.clean), mmap.mmap)
    sent = pickle.dumps(source)
    assert len(sent) < 5_000
    assert np.array_equal(pickle.loads(sent).read(4).clean, blocks[2][1, 1])


def test_d15_forked_workers_share_the_blocks(blocks):
    source = DATASETS["SIDD_val"](str(blocks[0]))
    (blocks[0] / "ValidationNoisyBlocksSrgb.mat").unlink()  # a worker that reads it again fails
    samples = Samples(source, View(crop_size=16), channels=3, seed=0, training=True)
    names = {name for batch in build_loader(samples, 1, workers=2) for name in batch["name"]}
    assert len(names) == len(source)


@pytest.mark.parametrize("at_once", [1, 4, 64])
@pytest.mark.parametrize("deflated", [True, False])
def test_d15_all_values_are_right(tmp_path, monkeypatch, deflated, at_once):
    monkeypatch.setattr(mat_blocks, "_BLOCKS_AT_ONCE", at_once)
    array = np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.uint8)
    others = {"b": np.arange(9), "text": "ignored", "cells": np.array([1, "a"], object)}
    io.savemat(tmp_path / "Blocks.mat", {**others, "Blocks": array, "after": 1.5}, do_compression=deflated)
    found = mat_blocks.read_blocks(tmp_path / "Blocks.mat")
    assert found.dtype == np.uint8
    assert np.array_equal(found, array.reshape(-1, *SHAPE[2:]))


def test_a_full_disk_is_reported_with_the_space_needed(blocks, monkeypatch):
    class Full(BytesIO):
        def write(self, content):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(mat_blocks.tempfile, "TemporaryFile", lambda **_: Full())
    with pytest.raises(StorageError, match=r"No space left on device; .* MB are needed there \(TMPDIR"):
        DATASETS["SIDD_test"](str(blocks[0]))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"shape": (2, 3, 16, 18)}, r"expected uint8 of shape .* got uint8 \(2, 3, 16, 18\)"),
        ({"shape": (2, 3, 16, 18, 4)}, "got uint8"),
        ({"kind": np.float64}, "got double"),
        ({"name": "Other"}, "expected an array BenchmarkNoisyBlocksSrgb, found Other"),
    ],
)
def test_d15_other_arrays_are_rejected(tmp_path, save_mat, wrong, message):
    save_mat(tmp_path / "BenchmarkNoisyBlocksSrgb.mat", **wrong)
    with pytest.raises(DataError, match=message):
        DATASETS["SIDD_test"](str(tmp_path))


def test_d15_other_files_are_rejected(tmp_path):
    file = tmp_path / "BenchmarkNoisyBlocksSrgb.mat"
    (tmp_path / "Other.mat").touch()
    with pytest.raises(DataError, match="no such file; download it from https://abdokamel"):
        DATASETS["SIDD_test"](str(tmp_path))
    file.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(600))
    with pytest.raises(DataError, match=r"version 5, as published, got version 7\.3"):
        DATASETS["SIDD_test"](str(tmp_path))
    for content in (b"", b"text" * 200):
        file.write_bytes(content)
        with pytest.raises(DataError, match="not a MAT file"):
            DATASETS["SIDD_test"](str(tmp_path))


def test_d16_an_array_larger_than_its_file_can_hold_is_rejected_by_the_header(tmp_path, save_mat):
    file = tmp_path / "BenchmarkNoisyBlocksSrgb.mat"
    io.savemat(file, {file.stem: np.zeros((2, 3, 16, 18, 3), np.uint8)})
    content, dimensions = file.read_bytes(), struct.pack("<5i", 2, 3, 16, 18, 3)
    assert dimensions in content
    file.write_bytes(content.replace(dimensions, struct.pack("<5i", 2, 3, 60_000, 60_000, 3)))
    with pytest.raises(DataError, match=r"damaged .it claims .*60000, 3.*, far more than it can hold"):
        DATASETS["SIDD_test"](str(tmp_path))


@pytest.mark.parametrize(("harm", "deflated"), [("cut", True), ("cut", False), ("bit", True)])
def test_d15_a_damaged_mat_file_is_rejected_at_the_start(tmp_path, harm, deflated):
    file = tmp_path / "BenchmarkNoisyBlocksSrgb.mat"
    array = np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.uint8)
    io.savemat(file, {file.stem: array}, do_compression=deflated)
    content = bytearray(file.read_bytes())
    content[-200] ^= 4
    file.write_bytes(content[:-500] if harm == "cut" else content)
    with pytest.raises(DataError, match=r"BenchmarkNoisyBlocksSrgb\.mat.*damaged"):
        DATASETS["SIDD_test"](str(tmp_path))


@pytest.mark.parametrize("bytes_kept", [*range(100, 420, 20), -1])
def test_d15_a_truncated_file_is_reported_as_damaged(tmp_path, bytes_kept):
    file = tmp_path / "BenchmarkNoisyBlocksSrgb.mat"
    io.savemat(file, {file.stem: np.zeros(SHAPE, np.uint8)})
    file.write_bytes(file.read_bytes()[:bytes_kept])
    with pytest.raises(DataError, match="damaged"):
        DATASETS["SIDD_test"](str(tmp_path))


def test_ground_truth_of_another_shape_is_rejected(blocks, save_mat):
    root = blocks[0]
    save_mat(root / "ValidationGtBlocksSrgb.mat", shape=(2, 2, 16, 18, 3))
    with pytest.raises(DataError, match=r"shape \(2, 2, 16, 18, 3\), but ValidationNoisyBlocksSrgb"):
        DATASETS["SIDD_val"](str(root))


# Training


@pytest.fixture
def medium(tmp_path, fill_folder):
    """Make a folder like that of SIDD-Medium, with the other files of the download."""
    size = (24, 32, 3)
    fill_folder(
        tmp_path / "Data",
        {
            "0001_001_S6/0001_NOISY_SRGB_010.PNG": size, "0001_001_S6/0001_GT_SRGB_010.PNG": size,
            "0001_001_S6/0001_NOISY_SRGB_011.png": size, "0001_001_S6/0001_GT_SRGB_011.PNG": size,
            "0002_001_S6/NOISY_SRGB_010.PNG": size, "0002_001_S6/GT_SRGB_010.PNG": size,
        },
    )  # fmt: skip
    (tmp_path / "Data" / "0001_001_S6" / "0001_METADATA_RAW_010.MAT").touch()
    (tmp_path / "Scene_Instances.txt").touch()
    return tmp_path


def test_p3_only_the_noisy_frames_of_the_download_are_used(medium):
    source = DATASETS["SIDD_train"](str(medium))
    assert [source.name(number) for number in range(len(source))] == [
        "Data/0001_001_S6/0001_NOISY_SRGB_010.PNG", "Data/0001_001_S6/0001_NOISY_SRGB_011.png",
        "Data/0002_001_S6/NOISY_SRGB_010.PNG",
    ]  # fmt: skip
    assert source.inspect(0).size == "24x32"
    assert source.read(0).clean is None


def test_ground_truth_is_found_in_the_download(medium):
    source = DATASETS["SIDD_train"](str(medium), str(medium))
    for number, clean in enumerate(("0001_001_S6/0001_GT_SRGB_010.PNG", "0001_001_S6/0001_GT_SRGB_011.PNG")):
        assert np.array_equal(source.read(number).clean, read_image(medium / "Data" / clean))
    (medium / "Data" / "0002_001_S6" / "GT_SRGB_010.PNG").unlink()
    with pytest.raises(
        DataError, match=r"NOISY_SRGB_010\.PNG: its ground truth .*GT_SRGB_010\.PNG is missing"
    ):
        DATASETS["SIDD_train"](str(medium), str(medium))


def test_pieces_have_clean_pieces_of_the_same_name(tmp_path, fill_folder):
    name = "0001_NOISY_SRGB_010_s001.png"
    noisy, clean = (fill_folder(tmp_path / part, {name: (8, 8, 3)}) for part in ("NEW", "NEW_GT"))
    assert DATASETS["SIDD_train"](noisy).name(0) == name
    assert DATASETS["SIDD_train"](noisy, clean).read(0).clean is not None


def test_folders_of_ap_bsn_can_be_used(tmp_path, fill_folder):
    fill_folder(tmp_path, {"RN/1.png": (8, 8, 3), "CL/1.png": (8, 9, 3)})
    source = DATASETS["SIDD_train"](str(tmp_path))
    assert [source.name(0), len(source)] == ["1.png", 1]
    assert DATASETS["SIDD_train"](str(tmp_path), str(tmp_path / "CL")).read(0).clean.shape == (8, 9, 3)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("SIDD_train", "prep_SIDD.py -c 512 -s 256 -df SIDD -nf datasets/SIDD_train"),
        ("DND_train", "prep_DND.py -c 512 -s 256 -df DND -nf datasets/DND_train --split train"),
        ("DND_test", "prep_DND.py -df DND -nf datasets/DND_test --split test"),
    ],
)
@pytest.mark.parametrize("empty", [True, False])
def test_the_message_of_a_missing_folder_contains_a_command(tmp_path, monkeypatch, name, command, empty):
    monkeypatch.chdir(tmp_path)
    if empty:
        (tmp_path / "datasets" / name).mkdir(parents=True)
    with pytest.raises(DataError, match="the folder is empty" if empty else "no such folder") as caught:
        DATASETS[name]()
    assert command in str(caught.value)
