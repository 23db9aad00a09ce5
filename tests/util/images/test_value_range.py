import numpy as np
import pytest
import torch

from src.data_handlers import build_samples
from src.util.errors import ConfigError, DataError, NonFiniteError
from src.util.images.conversion import as_float, as_tensor, from_float, span_of, to_float
from src.util.images.value_range import checked_data_range, dark_hint, data_range_of


@pytest.mark.parametrize(
    ("dtype", "asked", "data_range"),
    [
        (np.uint8, "auto", 255), (np.uint16, "auto", 65535), (np.int16, "auto", 32767),
        (np.float16, "auto", 1), (np.float32, "auto", 1), (np.float64, "auto", 1),
        (np.uint16, 4095, 4095), (np.float32, 255, 255), (np.uint16, 255, 255),
    ],
)  # fmt: skip
def test_white_follows_the_type_unless_it_is_said(dtype, asked, data_range):
    assert data_range_of(dtype, asked) == data_range


def test_a_number_that_the_type_cannot_hold_counts_as_auto():
    assert data_range_of(np.uint8, 65535) == 255


@pytest.mark.parametrize("asked", [0, -5, np.nan, np.inf, "foo", "255", None, True, np.array([1, 2]), 1j])
def test_a_data_range_that_is_none_is_refused_wherever_it_comes_from(asked):
    with pytest.raises(ConfigError, match=r"^data_range: expected 'auto' or .* above 0; got .+$"):
        data_range_of(np.uint8, asked)
    with pytest.raises(ConfigError, match="data_range"):
        build_samples("Demo", {}, channels=3, seed=0, training=False, data_range=asked)


@pytest.mark.parametrize("asked", [4095, np.uint16(4095), np.float32(4095)])
def test_numbers_of_numpy_are_numbers(asked):
    assert data_range_of(np.uint16, asked) == 4095


@pytest.mark.parametrize("dtype", [bool, complex, object, "U3"])
def test_other_types_are_no_images(dtype):
    with pytest.raises(ValueError, match="whole or floating-point"):
        data_range_of(dtype)


@pytest.mark.parametrize("asked", ["auto", 4095, 10_000])
def test_every_level_of_16_bits_survives_both_ways(asked):
    data_range = data_range_of(np.uint16, asked)
    ramp = np.arange(2**16, dtype=np.uint16).reshape(256, 256, 1)
    values = to_float(ramp, data_range)
    assert values.dtype == torch.float32
    assert np.array_equal(from_float(values, np.uint16, data_range, span_of(ramp, data_range)), ramp)


@pytest.mark.parametrize("dtype", [np.int16, np.uint32, np.int32])
def test_the_ends_of_other_whole_numbers_survive_and_do_not_wrap(dtype):
    ends = np.array([np.iinfo(dtype).min, 0, np.iinfo(dtype).max], dtype).reshape(1, 3, 1)
    data_range = data_range_of(dtype)
    back = from_float(to_float(ends, data_range), dtype, data_range, span_of(ends, data_range))
    assert np.abs(back.astype(np.int64) - ends.astype(np.int64)).max() <= np.iinfo(dtype).max // 2**24
    beyond = torch.tensor([[[-3.0, 3.0]]])
    clipped = from_float(beyond, dtype, data_range, (-1e30, 1e30))
    assert clipped.ravel().tolist() == [np.iinfo(dtype).min, np.iinfo(dtype).max]


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_white_of_64_bits_stays_white(dtype):
    data_range = data_range_of(dtype)
    back = from_float(torch.tensor([[[0.5, 1.0, 1.1]]]), dtype, data_range).ravel().astype(np.float64)
    assert np.allclose(back / data_range, [0.5, 1, 1])


def test_whole_numbers_are_rounded_and_clipped_to_white():
    values = torch.tensor([[[-0.2, 0.4 / 4095, 0.6 / 4095, 1.3]]])
    assert from_float(values, np.uint16, 4095)[0, :, 0].tolist() == [0, 0, 1, 4095]


def test_a_image_beyond_white_keeps_its_own_range():
    clouds = np.array([[[12_000], [300]]], np.uint16)
    assert span_of(clouds, 10_000) == (0, 12_000)
    high = from_float(torch.tensor([[[1.5, 0.03]]]), np.uint16, 10_000, span_of(clouds, 10_000))
    assert high.ravel().tolist() == [12_000, 300]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_neither_rounded_nor_clipped_unless_asked(dtype):
    values = torch.tensor([[[-0.25, 0.123, 1.5]]])
    free = from_float(values, dtype, 1.0)
    assert free.dtype == dtype and np.allclose(free.ravel(), [-0.25, 0.123, 1.5], atol=1e-3)
    assert from_float(values, dtype, 1.0, (0.0, 1.0)).max() == 1
    assert np.allclose(from_float(values, dtype, 200.0).ravel(), [-50, 24.6, 300], atol=0.1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_f10_a_value_that_is_not_finite_becomes_no_image(dtype):
    with pytest.raises(NonFiniteError, match="2 of an image's 4 values"):
        from_float(torch.tensor([[[0.5, torch.nan]], [[torch.inf, 1]]]), dtype, 1.0)


def test_floats_far_from_0_to_1_need_a_word():
    image = np.linspace(-3, 4000, 12, dtype=np.float32).reshape(2, 2, 3)
    with pytest.raises(DataError, match=r"a\.tif: .* from -3 to 4000, .*data_range"):
        checked_data_range(image, "auto", "a.tif")
    assert checked_data_range(image, 4095, "a.tif") == 4095
    for low, high in ((-0.2, 1.2), (-0.49, 0.9), (0.1, 1.49)):
        assert checked_data_range(np.array([low, high], np.float32), "auto", "a.tif") == 1
    for low, high in ((-0.51, 0.9), (0.1, 1.51)):
        with pytest.raises(DataError, match="not about 0 to 1"):
            checked_data_range(np.array([low, high], np.float32), "auto", "a.tif")


@pytest.mark.parametrize(
    ("low", "high", "likely"),
    [(0, 250, 255), (-3, 300, 255), (0, 2700, 4095), (0, 12_000, 10_000), (-9000, 40, 10_000), (0, 2e5, 2e5),
     (-1, 1, 1), (-0.6, 0.7, 1), (-2.7, 3.2, 4), (0, 1.6, 2), (0, 12, 12), (0, 20, 255)],
)  # fmt: skip
def test_the_white_that_is_proposed_fits_the_values(low, high, likely):
    with pytest.raises(DataError, match=rf"such as data_range={likely:g}(;|$)"):
        checked_data_range(np.array([low, high], np.float32), "auto", "a.tif")


def test_values_below_black_are_said_to_be_kept_and_are():
    image = np.linspace(-1, 1, 12, dtype=np.float32).reshape(2, 2, 3)
    said = r"; 0 is black, values below it are kept \(add 1 first if -1 is black\)$"
    with pytest.raises(DataError, match=said):
        checked_data_range(image, "auto", "a.tif")
    data_range = checked_data_range(image, 1, "a.tif")
    assert np.array_equal(
        from_float(to_float(image, data_range), np.float32, data_range, span_of(image, data_range)), image
    )
    with pytest.raises(DataError) as caught:
        checked_data_range(np.abs(image) * 9, "auto", "a.tif")
    assert "below" not in str(caught.value)


def test_a_hole_in_the_data_is_named():
    with pytest.raises(DataError, match=r"a\.tif: 2 of 4 values are NaN"):
        checked_data_range(np.array([0.5, np.nan, np.inf, 0], np.float32), 1.0, "a.tif")


@pytest.mark.parametrize(
    ("high", "data_range", "hint"),
    [(4095, 65535, "data_range=4095"), (900, 65535, "10 bits"), (16383, 65535, "14 bits"),
     (40_000, 65535, ""), (60_000, 4095, "far above"), (4000, 4095, ""), (100, 4095, "far below"),
     (300, 4095, ""), (16_000, 4095, "")],
)  # fmt: skip
def test_12_bits_in_a_16_bit_file_are_noticed(high, data_range, hint):
    said = dark_hint(np.array([[0, high]], np.uint16), data_range)
    assert (hint in said.line) if hint else not said


@pytest.mark.parametrize(
    ("dtype", "high", "likely"),
    [("int16", 4095, 4095), ("int16", 200, 255), ("int16", 16_000, None), ("int16", 0, None),
     ("int32", 255, 255), ("uint32", 65_535, 65_535), ("int64", 0, 255), ("int64", -7, 255),
     ("uint64", 10_000, 16_383), ("int32", 2**30, None)],
)  # fmt: skip
def test_whole_numbers_of_any_type_that_are_wider_than_their_values_are_noticed(dtype, high, likely):
    said = dark_hint(np.array([[min(0, high), high]], dtype), data_range_of(dtype))
    assert said.line.endswith(f"set data_range={likely}") if likely else not said


def test_a_number_is_said_before_the_header_and_the_header_before_the_type():
    assert data_range_of(np.uint16, "auto", 4095) == 4095
    assert data_range_of(np.uint16, 1000, 4095) == 1000
    assert data_range_of(np.uint8, 1000, 127) == 127


@pytest.mark.parametrize("dtype", ["uint32", "int32", "uint64", "int64"])
def test_the_largest_number_of_a_wide_type_is_nobodys_white(dtype):
    counts = np.array([[0, 65_535]], dtype)
    with pytest.raises(DataError, match=rf"^a\.tif, {dtype}: .* set data_range=65535$"):
        checked_data_range(counts, "auto", "a.tif")
    with pytest.raises(DataError, match=r"set data_range=65535$"):  # which no number beyond the type changes
        checked_data_range(counts, 1e30, "a.tif")
    assert checked_data_range(counts, 65_535, "a.tif") == 65_535
    assert checked_data_range(counts, "auto", "a.tif", 65_535) == 65_535
    assert checked_data_range(counts, float(np.iinfo(dtype).max), "a.tif") == float(np.iinfo(dtype).max)
    full = np.array([[0, np.iinfo(dtype).max]], dtype)
    assert checked_data_range(full, "auto", "a.tif") == float(np.iinfo(dtype).max)


def test_a_black_image_whose_white_is_known_is_just_black():
    assert not dark_hint(np.zeros((2, 2), np.int32), 65_535)


def test_a_dark_image_of_8_bits_is_just_dark():
    assert not dark_hint(np.zeros((2, 2), np.uint8), 255)
    assert not dark_hint(np.full((2, 2), 9, np.uint8), 255)


# On its way to a device


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")),
    ],
)
def test_each_level_becomes_the_same_float_on_every_device(device):
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    sent = as_tensor(levels)
    assert sent.dtype == torch.uint8 and sent.shape == (1, 16, 16)
    values = as_float(sent.to(device))
    assert values.dtype == torch.float32 and torch.equal(values.cpu(), to_float(levels))


def test_floats_stay_as_they_are():
    image = np.random.default_rng(0).random((4, 5, 3), np.float32)
    assert torch.equal(as_float(as_tensor(image)), to_float(image))


def test_what_is_sent_is_a_copy():
    for image in (np.full((4, 5, 1), 7, np.uint8), np.full((1, 5, 3), 7, np.uint8)):
        as_tensor(image).zero_()
        assert (image == 7).all()
