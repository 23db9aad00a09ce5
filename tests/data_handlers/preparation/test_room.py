import shutil

import numpy as np
import pytest

from src.data_handlers.preparation.room import need
from src.data_handlers.preparation.sidd import plan_sidd, prepare_sidd
from src.util.errors import StorageError
from src.util.images.io import write_image

NAMES = [f"{number:04d}_NOISY_SRGB_010.PNG" for number in range(1, 13)]
EDGE = 64  # 4 pieces of each frame by crops of 32 px
BESIDE = 4096


@pytest.fixture
def source(make_sidd, tmp_path):
    """Frames of noise, which PNG cannot compress."""
    return make_sidd(tmp_path / "SIDD", dict.fromkeys(NAMES, (EDGE, EDGE)))


@pytest.fixture
def new(tmp_path):
    return tmp_path / "new"


@pytest.fixture
def disk(monkeypatch, tmp_path):
    """Say how much room there is."""
    usage = shutil.disk_usage(tmp_path)
    return lambda free: monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=free))


def flatten(source, names):
    for name in names:
        write_image(source / name, np.full((EDGE, EDGE, 3), 90, np.uint8))


def plan(source, new, ground_truth=False):
    return plan_sidd(source, new, 32, 32, ground_truth)


def prepare(source, new, **options):
    return prepare_sidd(source, new, 32, 32, jobs=1, **options)


def taken(folder):
    return sum(path.stat().st_size + BESIDE for path in folder.glob("*.png"))


def test_what_is_expected_is_what_it_takes_although_pieces_differ(source, new):
    flatten(source, NAMES[3:9])
    expected = need(plan(source, new), new)
    assert expected.missing == 48 and expected.most == 48 * (3 * 32 * 32 + BESIDE)
    prepare(source, new)
    assert expected.expected == pytest.approx(taken(new), rel=0.1)
    assert expected.expected < 0.9 * expected.most
    assert need(plan(source, new), new) == (0, 0, 0)


def test_only_what_is_missing_is_expected(source, new):
    prepare(source, new)
    for piece in sorted(new.glob("*.png"))[:6]:
        piece.unlink()
    assert need(plan(source, new), new).missing == 6


def test_never_more_is_expected_than_without_compression(source, new):
    expected = need(plan(source, new), new)
    assert expected.expected == expected.most


def test_files_pieces_and_bytes_are_said_before_writing_and_refused_without_room(source, new, messages, disk):
    disk(300_000)
    with pytest.raises(StorageError, match=r"new: about 0\.3 MB are needed, 0\.3 MB are free; make room"):
        prepare(source, new)
    assert messages == [
        f"INFO {source}: 12 images give 48 pieces in {new}",
        f"INFO {new}: 0 are there, 48 are missing: about 0.3 MB, at most 0.3 MB (0.3 MB are free)",
    ]
    assert not new.exists()
    disk(400_000)
    assert prepare(source, new) == []


def test_noisy_and_clean_pieces_count_together(source, new, disk):
    disk(400_000)
    with pytest.raises(StorageError, match=r"about 0\.7 MB are needed"):
        prepare(source, new, ground_truth=True)
    assert not new.exists()


def test_pieces_that_fit_by_compression_alone_are_made_with_a_warning(source, new, messages, disk):
    flatten(source, NAMES)
    disk(250_000)
    assert prepare(source, new) == []
    assert f"WARNING {new}: it may get full; the same command goes on from there" in messages
    assert len(list(new.glob("*.png"))) == 48


def test_frames_that_turn_out_damaged_do_not_stop_the_estimate(source, new):
    for name in NAMES:
        content = bytearray((source / name).read_bytes())
        content[len(content) // 2] ^= 1
        (source / name).write_bytes(content)
    expected = need(plan(source, new), new)
    assert expected.expected == expected.most > 0
