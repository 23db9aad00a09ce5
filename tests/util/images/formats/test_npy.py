import numpy as np
import pytest

from src.util.errors import DataError
from src.util.images.formats.stored import open_image
from src.util.images.io import inspect_image, read_image


@pytest.mark.parametrize(
    ("shape", "read"),
    [((20, 30), (20, 30, 1)), ((20, 30, 3), (20, 30, 3)), ((3, 20, 30), (20, 30, 3)),
     ((20, 30, 13), (20, 30, 13)), ((13, 20, 30), (20, 30, 13)), ((1, 1, 3), (1, 1, 3)), ((1, 1), (1, 1, 1))],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["<u2", ">u2", "f4", "u1", "f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_keeps_its_shape_type_and_order(tmp_path, copy, shape, read, kind, order):
    array = np.random.default_rng(0).integers(0, 200, shape).astype(kind, order=order)
    np.save(tmp_path / "a.npy", array)
    image = read_image(tmp_path / "a.npy")
    assert image.shape == read and image.dtype.isnative
    axis = -1 if shape[-1:] == read[-1:] else 0
    channels_last = array[..., None] if array.ndim == 2 else np.moveaxis(array, axis, -1)
    assert np.array_equal(image, channels_last)
    assert inspect_image(tmp_path / "a.npy").channels == read[2]
    assert copy(tmp_path / "a.npy", tmp_path / "b.npy") == []
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_an_array_of_8_bits_can_become_a_png(tmp_path, copy):
    np.save(tmp_path / "a.npy", np.full((4, 5, 3), 7, np.uint8))
    copy(tmp_path / "a.npy", tmp_path / "b.png")
    assert read_image(tmp_path / "b.png").tolist() == np.full((4, 5, 3), 7).tolist()


@pytest.mark.parametrize(
    ("array", "reason"),
    [(np.zeros(4), "expected an array"), (np.zeros((2, 2, 2, 2)), "expected an array"),
     (np.zeros((4, 4), complex), "expected whole or floating-point"), (np.zeros((4, 0)), "empty"),
     (np.array([[None]]), "expected whole")],
)  # fmt: skip
def test_other_arrays_are_refused(tmp_path, array, reason):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataError, match=rf"a\.npy: {reason}|the image is {reason}"):
        read_image(tmp_path / "a.npy")


def test_d7_d16_wrong_headers_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((40, 40)))
    whole = (tmp_path / "a.npy").read_bytes()
    for stored, reason in (
        (whole[:-9], "cut short"), (whole[:20], "header is damaged"),
        (whole.replace(b"(40, 40)", b"(9**9,1)"), "header is damaged"),
        (whole.replace(b"}", b"("), "header is damaged"),
        (whole.replace(b"(40, 40), }", b"(90000, 90000), }"), "more than the 200 megapixels"),
    ):  # fmt: skip
        (tmp_path / "b.npy").write_bytes(stored)
        with pytest.raises(DataError, match=reason):
            inspect_image(tmp_path / "b.npy")


def test_the_limit_is_an_argument(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((40, 40), np.uint8))
    with pytest.raises(DataError, match=r"0\.0015 megapixels"), open_image(tmp_path / "a.npy", 1500):
        pass
