"""Missing values of GeoTIFFs."""

import numpy as np
import pytest
import tifffile

from src.util.images.formats.holes import without_nan
from src.util.images.formats.stored import open_image
from src.util.images.io import read_image
from tests.util.images.formats.conftest import noise


@pytest.mark.parametrize(
    ("dtype", "nodata", "number"),
    [("uint8", "0", 0), ("int16", "-9999", -9999), ("float32", "nan", np.nan), ("float32", "0.1", 0.1),
     ("float32", "-1.7976931348623157e+308", -np.inf)],
)  # fmt: skip
def test_missing_values_are_filled_in_on_reading_and_restored_on_writing(
    tmp_path, copy, dtype, nodata, number
):
    values = np.full((8, 9, 3), 7, dtype)
    values[:2] = 3
    values[5, :, 0] = number if np.isfinite(number) else 7  # in one channel it is an ordinary value
    before = values.copy()
    values[6:] = number
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", metadata=None,
                     extratags=[(42113, 2, 0, nodata, True)])  # fmt: skip
    found = read_image(tmp_path / "a.tif")
    assert np.array_equal(found[:6], before[:6])
    lowest, highest = before[:6].min(axis=(0, 1)), before[:6].max(axis=(0, 1))
    assert ((lowest <= found[6:]) & (found[6:] <= highest)).all()
    assert np.array_equal(found[6:, :, 1:], np.full((2, 9, 2), 7))  # the far rows have no influence
    copy(tmp_path / "a.tif", tmp_path / "b.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), values, equal_nan=True)


@pytest.mark.parametrize(
    ("dtype", "nodata", "next_value"),
    [("uint8", "0", 1), ("uint8", "255", 254), ("int16", "-9999", -9998), ("float32", "1", 1 - 2**-24)],
)
def test_a_denoised_value_never_becomes_missing(tmp_path, dtype, nodata, next_value):
    values = np.full((8, 9, 2), 7, dtype)
    values[:2] = float(nodata)
    tifffile.imwrite(
        tmp_path / "a.tif", values, photometric="minisblack", planarconfig="contig", metadata=None,
        extratags=[(42113, 2, 0, nodata, True)],
    )  # fmt: skip
    with open_image(tmp_path / "a.tif") as stored, open(tmp_path / "b.tif", "wb") as file:
        page = stored.read()
        page.pixels[5:, :, :] = float(nodata)
        page.pixels[7, :, 1] = 7
        stored.write(file, [page], ".tif")
    values[5:7] = [next_value, float(nodata)]
    values[7] = [float(nodata), 7]
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), values)


@pytest.mark.parametrize("nodata", ["", "none", "300", "0.5", "nan"])
def test_a_number_that_the_type_cannot_hold_is_ignored(tmp_path, nodata):
    image = noise((8, 9), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", image, metadata=None, extratags=[(42113, 2, 0, nodata, True)])
    with open_image(tmp_path / "a.tif") as stored:
        page = stored.read()
    assert page.holes is None and np.array_equal(page.pixels[..., 0], image)


def test_nan_is_filled_smoothly_in_each_channel():
    slope = np.mgrid[:61, :80].sum(axis=0)[..., None] / np.float32(140)
    slope = np.concatenate([slope, 1 - slope], axis=2, dtype=np.float32)
    holed = slope.copy()
    holed[20:35, 30:50, 0] = np.nan
    holed[:8, 70:, 1] = np.nan
    before = holed.copy()
    found, holes = without_nan(holed)
    assert np.array_equal(holed, before, equal_nan=True)
    assert np.array_equal(found[~np.isnan(holed)], holed[~np.isnan(holed)])
    assert np.abs(found - slope).max() < 0.1 and found.dtype == np.float32
    assert np.array_equal(found, without_nan(holed)[0])
    assert np.array_equal(holes.put_into(found), holed, equal_nan=True)


def test_a_channel_without_values_is_filled_from_the_others_or_with_0():
    image = np.full((9, 7, 2), np.nan, np.float64)
    assert (without_nan(image)[0] == 0).all()
    image[..., 0] = 0.25
    assert (without_nan(image)[0] == 0.25).all()
    whole = np.ones((9, 7, 2), np.float32)
    assert without_nan(whole)[0] is whole and without_nan(whole)[1] is None


def test_missing_values_are_black_in_other_formats(tmp_path):
    values = noise((16, 18, 3), "uint8")
    values[:9] = 255
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extratags=[(42113, 2, 0, "255", True)])
    for ending in (".png", ".jpg"):
        with open_image(tmp_path / "a.tif") as stored, open(tmp_path / f"a{ending}", "wb") as file:
            lost = stored.write(file, [stored.read()], ending)
        assert "which values are missing (they are black)" in lost
        assert read_image(tmp_path / f"a{ending}")[:8].max() < 8
