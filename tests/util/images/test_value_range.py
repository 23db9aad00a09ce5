import numpy as np
import pytest
import torch

from src.data_handlers import build_samples
from src.util.errors import ConfigError, DataError, NonFiniteError
from src.util.images.conversion import as_float, as_tensor, from_float, span_of, to_float
from src.util.images.value_range import checked_data_range, dark_hint, data_range_of


@pytest.mark.parametrize(
    ("dtype", "asked", "header", "data_range"),
    [
        (np.uint8, "auto", None, 255), (np.uint16, "auto", None, 65535), (np.int16, "auto", None, 32767),
        (np.float16, "auto", None, 1), (np.float32, "auto", None, 1), (np.float64, "auto", None, 1),
        (np.uint16, 4095, None, 4095), (np.float32, 255, None, 255), (np.uint16, 255, None, 255),
        (np.uint16, np.uint16(4095), None, 4095), (np.uint16, np.float32(4095), None, 4095),
        (np.uint8, 65535, None, 255),  # a number that the type cannot hold counts as auto
        (np.uint16, "auto", 4095, 4095), (np.uint16, 1000, 4095, 1000), (np.uint8, 1000, 127, 127),
    ],
)  # fmt: skip
def test_the_data_range_is_the_given_one_else_the_headers_else_the_types(dtype, asked, header, data_range):
    assert data_range_of(dtype, asked, header) == data_range


@pytest.mark.parametrize("asked", [0, -5, np.nan, np.inf, "foo", "255", None, True, np.array([1, 2]), 1j])
def test_an_invalid_data_range_is_refused(asked):
    with pytest.raises(ConfigError, match=r"^data_range: expected 'auto' or .* above 0; got .+$"):
        data_range_of(np.uint8, asked)
    with pytest.raises(ConfigError, match="data_range"):
        build_samples("Demo", {}, channels=3, seed=0, training=False, data_range=asked)


@pytest.mark.parametrize("dtype", [bool, complex, object, "U3"])
def test_other_types_are_refused(dtype):
    with pytest.raises(ValueError, match="whole or floating-point"):
        data_range_of(dtype)


@pytest.mark.parametrize("asked", ["auto", 4095, 10_000])
def test_every_16_bit_level_survives_a_round_trip(asked):
    data_range = data_range_of(np.uint16, asked)
    ramp = np.arange(2**16, dtype=np.uint16).reshape(256, 256, 1)
    values = to_float(ramp, data_range)
    assert values.dtype == torch.float32
    assert np.array_equal(from_float(values, np.uint16, data_range, span_of(ramp, data_range)), ramp)


@pytest.mark.parametrize("dtype", [np.int16, np.uint32, np.int32])
def test_the_limits_of_other_integers_do_not_wrap(dtype):
    ends = np.array([np.iinfo(dtype).min, 0, np.iinfo(dtype).max], dtype).reshape(1, 3, 1)
    data_range = data_range_of(dtype)
    back = from_float(to_float(ends, data_range), dtype, data_range, span_of(ends, data_range))
    assert np.abs(back.astype(np.int64) - ends.astype(np.int64)).max() <= np.iinfo(dtype).max // 2**24
    beyond = torch.tensor([[[-3.0, 3.0]]])
    clipped = from_float(beyond, dtype, data_range, (-1e30, 1e30))
    assert clipped.ravel().tolist() == [np.iinfo(dtype).min, np.iinfo(dtype).max]


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_the_data_range_of_64_bits_does_not_wrap(dtype):
    data_range = data_range_of(dtype)
    back = from_float(torch.tensor([[[0.5, 1.0, 1.1]]]), dtype, data_range).ravel().astype(np.float64)
    assert np.allclose(back / data_range, [0.5, 1, 1])


def test_integers_are_rounded_and_clipped_to_the_data_range():
    values = torch.tensor([[[-0.2, 0.4 / 4095, 0.6 / 4095, 1.3]]])
    assert from_float(values, np.uint16, 4095)[0, :, 0].tolist() == [0, 0, 1, 4095]


def test_an_image_beyond_its_data_range_keeps_its_own_range():
    clouds = np.array([[[12_000], [300]]], np.uint16)
    assert span_of(clouds, 10_000) == (0, 12_000)
    high = from_float(torch.tensor([[[1.5, 0.03]]]), np.uint16, 10_000, span_of(clouds, 10_000))
    assert high.ravel().tolist() == [12_000, 300]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_not_rounded_and_only_clipped_to_a_span(dtype):
    values = torch.tensor([[[-0.25, 0.123, 1.5]]])
    free = from_float(values, dtype, 1.0)
    assert free.dtype == dtype and np.allclose(free.ravel(), [-0.25, 0.123, 1.5], atol=1e-3)
    assert from_float(values, dtype, 1.0, (0.0, 1.0)).max() == 1
    assert np.allclose(from_float(values, dtype, 200.0).ravel(), [-50, 24.6, 300], atol=0.1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_f10_a_non_finite_value_is_refused_for_every_type(dtype):
    with pytest.raises(NonFiniteError, match="2 of an image's 4 values"):
        from_float(torch.tensor([[[0.5, torch.nan]], [[torch.inf, 1]]]), dtype, 1.0)


def test_floats_far_from_0_to_1_need_a_data_range():
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
def test_the_proposed_data_range_fits_the_values(low, high, likely):
    with pytest.raises(DataError, match=rf"such as data_range={likely:g}(;|$)"):
        checked_data_range(np.array([low, high], np.float32), "auto", "a.tif")


def test_values_below_0_are_kept_and_the_message_says_so():
    image = np.linspace(-1, 1, 12, dtype=np.float32).reshape(2, 2, 3)
    remark = r"; 0 is black, values below it are kept \(add 1 first if -1 is black\)$"
    with pytest.raises(DataError, match=remark):
        checked_data_range(image, "auto", "a.tif")
    data_range = checked_data_range(image, 1, "a.tif")
    assert np.array_equal(
        from_float(to_float(image, data_range), np.float32, data_range, span_of(image, data_range)), image
    )
    with pytest.raises(DataError) as caught:
        checked_data_range(np.abs(image) * 9, "auto", "a.tif")
    assert "below" not in str(caught.value)


def test_non_finite_values_are_counted():
    with pytest.raises(DataError, match=r"a\.tif: 2 of 4 values are NaN"):
        checked_data_range(np.array([0.5, np.nan, np.inf, 0], np.float32), 1.0, "a.tif")


@pytest.mark.parametrize(
    ("high", "data_range", "hint"),
    [(4095, 65535, "data_range=4095"), (900, 65535, "10 bits"), (16383, 65535, "14 bits"),
     (40_000, 65535, ""), (60_000, 4095, "far above"), (4000, 4095, ""), (100, 4095, "far below"),
     (300, 4095, ""), (16_000, 4095, "")],
)  # fmt: skip
def test_values_that_do_not_fit_the_data_range_give_a_hint(high, data_range, hint):
    found = dark_hint(np.array([[0, high]], np.uint16), data_range)
    assert (hint in found.line) if hint else not found


@pytest.mark.parametrize(
    ("dtype", "high", "likely"),
    [("int16", 4095, 4095), ("int16", 200, 255), ("int16", 16_000, None), ("int16", 0, None),
     ("int32", 255, 255), ("uint32", 65_535, 65_535), ("int64", 0, 255), ("int64", -7, 255),
     ("uint64", 10_000, 16_383), ("int32", 2**30, None)],
)  # fmt: skip
def test_integers_with_unused_bits_give_a_hint(dtype, high, likely):
    found = dark_hint(np.array([[min(0, high), high]], dtype), data_range_of(dtype))
    assert found.line.endswith(f"set data_range={likely}") if likely else not found


@pytest.mark.parametrize("dtype", ["uint32", "int32", "uint64", "int64"])
def test_the_largest_number_of_a_wide_type_is_not_a_data_range(dtype):
    counts = np.array([[0, 65_535]], dtype)
    with pytest.raises(DataError, match=rf"^a\.tif, {dtype}: .* set data_range=65535$"):
        checked_data_range(counts, "auto", "a.tif")
    with pytest.raises(DataError, match=r"set data_range=65535$"):  # a number beyond the type counts as auto
        checked_data_range(counts, 1e30, "a.tif")
    assert checked_data_range(counts, 65_535, "a.tif") == 65_535
    assert checked_data_range(counts, "auto", "a.tif", 65_535) == 65_535
    assert checked_data_range(counts, float(np.iinfo(dtype).max), "a.tif") == float(np.iinfo(dtype).max)
    full = np.array([[0, np.iinfo(dtype).max]], dtype)
    assert checked_data_range(full, "auto", "a.tif") == float(np.iinfo(dtype).max)


def test_a_black_image_and_a_dark_8_bit_image_get_no_hint():
    assert not dark_hint(np.zeros((2, 2), np.int32), 65_535)
    assert not dark_hint(np.zeros((2, 2), np.uint8), 255)
    assert not dark_hint(np.full((2, 2), 9, np.uint8), 255)


# Conversion on a device


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")),
    ],
)
def test_levels_are_the_same_floats_on_every_device(device):
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    sent = as_tensor(levels)
    assert sent.dtype == torch.uint8 and sent.shape == (1, 16, 16)
    values = as_float(sent.to(device))
    assert values.dtype == torch.float32 and torch.equal(values.cpu(), to_float(levels))


def test_floats_are_not_changed():
    image = np.random.default_rng(0).random((4, 5, 3), np.float32)
    assert torch.equal(as_float(as_tensor(image)), to_float(image))


def test_as_tensor_returns_a_copy():
    for image in (np.full((4, 5, 1), 7, np.uint8), np.full((1, 5, 3), 7, np.uint8)):
        as_tensor(image).zero_()
        assert (image == 7).all()
