"""The file of decoded images: round trip, and detection of damage."""

import io
import pickle
import warnings

import numpy as np
import pytest

from src.data_handlers.samples.packed import KEY_BYTES, MAGIC, ForeignFileError, Pack, PackError, PackWriter

KEY = bytes(range(KEY_BYTES))
IMAGES = {
    0: np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3),
    1: np.linspace(-1, 2, 6 * 4, dtype=np.float32).reshape(6, 4, 1),
    3: (np.arange(3 * 3 * 13, dtype=np.uint16) * 500).reshape(3, 3, 13),
}


def write(path, count=4):
    with open(path, "wb") as file:
        writer = PackWriter(file, count)
        for number, values in IMAGES.items():
            writer.add(number, values, values[::-1] if number == 1 else None)
        writer.finish(KEY)
    return path


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "images")


def test_images_are_read_unchanged(path):
    pack = Pack(path)
    assert pack.key == KEY and len(pack) == 4 and pack.nbytes == path.stat().st_size
    assert [number in pack for number in range(4)] == [True, True, False, True]
    for number, values in IMAGES.items():
        noisy, clean = pack.read(number)
        assert noisy.dtype == values.dtype and np.array_equal(noisy, values)
        assert not noisy.flags.writeable and noisy.ctypes.data % values.itemsize == 0
        assert (clean is None) == (number != 1)
    assert np.array_equal(pack.read(1)[1], IMAGES[1][::-1])


def test_the_same_images_give_the_same_file(path, tmp_path):
    assert path.read_bytes() == write(tmp_path / "again").read_bytes()


def test_each_flipped_bit_is_detected(path):
    """Padding between images is not checked."""
    whole = bytearray(path.read_bytes())
    read = np.zeros(len(whole), bool)
    read[: len(MAGIC)] = read[len(MAGIC) :] = True
    end = len(MAGIC)
    for values in (IMAGES[0], IMAGES[1], IMAGES[1], IMAGES[3]):
        start = end + -end % 64
        read[end:start] = False
        end = start + values.nbytes
    for position in np.flatnonzero(read):
        whole[position] ^= 1 << position % 8
        path.write_bytes(whole)
        whole[position] ^= 1 << position % 8
        try:
            pack = Pack(path)
        except PackError:
            continue
        assert not all(map(pack.is_intact, IMAGES)) or pack.key != KEY, position


def test_a_file_truncated_at_any_length_is_rejected(path):
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(PackError):
            Pack(path)


def test_data_ranges_are_kept(tmp_path):
    pixels = np.zeros((4, 5, 1), np.uint16)
    with open(tmp_path / "a", "wb") as file:
        writer = PackWriter(file, 3)
        writer.add(0, pixels, pixels, (4095, None))
        writer.add(1, pixels, pixels, (None, 1023.0))
        writer.add(2, pixels)
        writer.finish(bytes(KEY_BYTES))
    pack = Pack(tmp_path / "a")
    assert [pack.data_ranges(number) for number in range(3)] == [(4095, None), (None, 1023), (None, None)]


def test_a_file_of_another_version_is_not_foreign(tmp_path):
    (tmp_path / "a").write_bytes(MAGIC[:-1] + b"1" + bytes(1000))
    with pytest.raises(PackError, match="was written by another version of this program") as caught:
        Pack(tmp_path / "a")
    assert not isinstance(caught.value, ForeignFileError)


@pytest.mark.parametrize("content", [b"", bytes(10_000)])
def test_an_empty_file_is_not_foreign_and_other_content_is(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(PackError, match="is empty") as caught:
        Pack(tmp_path / "a")
    assert not isinstance(caught.value, ForeignFileError)
    (tmp_path / "a").write_bytes(b"a letter to a friend")
    with pytest.raises(ForeignFileError):
        Pack(tmp_path / "a")


def test_a_pack_closes_its_file_without_a_warning(path):
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        Pack(path)
    assert not [warning for warning in warned if str(path) in str(warning.message)]


def test_a_pickled_pack_maps_the_same_file_even_if_its_path_was_replaced(path):
    pack = Pack(path)
    sent = pickle.dumps(pack)
    path.unlink()
    path.write_bytes(b"another one")
    assert len(sent) < 200
    assert np.array_equal(pickle.loads(sent).read(0)[0], IMAGES[0])


def test_a_writer_does_not_seek():
    class Stream(io.BytesIO):
        def seek(self, *arguments):
            raise AssertionError

    writer = PackWriter(Stream(), 1)
    writer.add(0, IMAGES[0])
    writer.finish(KEY)
