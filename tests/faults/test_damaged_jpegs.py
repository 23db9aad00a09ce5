"""Damaged JPEGs, which other readers fill with grey, stop a training or are skipped on request.

A JPEG has no checksum: in smooth images, one in five cases of 40 zeroed bytes leaves no trace.
"""

import cv2
import numpy as np
import pytest

from tests.faults.program import TRAIN, run

RANDOM = np.random.default_rng(5)
SCENE = cv2.resize(RANDOM.integers(50, 200, (12, 12, 3), dtype=np.uint8), (64, 64))
IMAGE = np.rint(SCENE + RANDOM.normal(0, 12, SCENE.shape)).clip(0, 255).astype(np.uint8)


def encoded(*options):
    return bytearray(cv2.imencode(".jpg", IMAGE, [*options])[1].tobytes())


def cut_off():
    data = encoded()
    return data[: len(data) * 2 // 3]


def zeroed():
    data = encoded()
    start = len(data) * 2 // 3
    data[start : start + 40] = bytes(40)
    return data


def without_a_restart_segment():
    data = encoded(cv2.IMWRITE_JPEG_RST_INTERVAL, 2)
    start = data.index(b"\xff\xd1")
    del data[start : data.index(b"\xff\xd2")]
    return data


DAMAGED = {"cut.jpg": cut_off, "zeroed.jpg": zeroed, "restart.jpg": without_a_restart_segment}


@pytest.fixture
def folder(tmp_path, write_config):
    """Two intact and three damaged images, and a configuration that reads each once per epoch."""
    (tmp_path / "photos").mkdir()
    write_config(tmp_path)
    for name, damage in {"a.jpg": encoded, "z.jpg": encoded, **DAMAGED}.items():
        (tmp_path / "photos" / name).write_bytes(damage())
    return tmp_path


def train(folder, unreadable):
    settings = ["--set", f"training.dataset_args.data_dir={folder}/photos"]
    settings += ["--set", f"training.dataset_args.unreadable={unreadable}"]
    return run(folder, *TRAIN, "--thread", "0", *settings)


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_jpeg_stops_the_training_and_is_named(folder, name):
    for other in DAMAGED.keys() - {name}:
        (folder / "photos" / other).unlink()
    ended = train(folder, "stop")
    assert ended.code == 7
    assert f"{folder}/photos/{name}: the image is " in ended.err
    assert "Traceback" not in ended.err


def test_damaged_jpegs_are_listed_and_skipped(folder):
    ended = train(folder, "skip")
    assert ended.code == 0, ended.err
    for name in DAMAGED:
        assert f"{folder}/photos/{name}: the image is " in ended.err
    assert "Traceback" not in ended.err
