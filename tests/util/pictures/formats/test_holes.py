"""Values that a GeoTIFF says are missing."""

import numpy as np
import pytest
import tifffile

from src.util.pictures.formats.stored import open_picture
from src.util.pictures.io import read_picture
from tests.util.pictures.formats.conftest import noise


@pytest.mark.parametrize(
    ("dtype", "said", "number"),
    [("uint8", "0", 0), ("int16", "-9999", -9999), ("float32", "nan", np.nan), ("float32", "0.1", 0.1),
     ("float32", "-1.7976931348623157e+308", -np.inf)],
)  # fmt: skip
def test_what_is_missing_is_the_mean_while_it_is_a_picture_and_missing_again_in_the_result(
    tmp_path, copy, dtype, said, number
):
    values = np.full((8, 9, 3), 7, dtype)
    values[:2] = 3
    values[5, :, 0] = number if np.isfinite(number) else 7  # in one channel alone it is a value
    before = values.copy()
    values[6:] = number
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", metadata=None,
                     extratags=[(42113, 2, 0, said, True)])  # fmt: skip
    found = read_picture(tmp_path / "a.tif")
    assert np.array_equal(found[:6], before[:6])
    mean = before[:6].reshape(-1, 3).mean(axis=0, dtype=float)
    assert np.allclose(found[6:], mean if dtype == "float32" else np.rint(mean))
    copy(tmp_path / "a.tif", tmp_path / "b.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), values, equal_nan=True)


@pytest.mark.parametrize(
    ("dtype", "said", "next_to_it"),
    [("uint8", "0", 1), ("uint8", "255", 254), ("int16", "-9999", -9998), ("float32", "1", 1 - 2**-24)],
)
def test_what_was_measured_does_not_become_missing_by_its_result(tmp_path, dtype, said, next_to_it):
    values = np.full((8, 9, 2), 7, dtype)
    values[:2] = float(said)
    tifffile.imwrite(
        tmp_path / "a.tif", values, photometric="minisblack", planarconfig="contig", metadata=None,
        extratags=[(42113, 2, 0, said, True)],
    )  # fmt: skip
    with open_picture(tmp_path / "a.tif") as stored, open(tmp_path / "b.tif", "wb") as file:
        page = stored.read()
        page.pixels[5:, :, :] = float(said)
        page.pixels[7, :, 1] = 7
        stored.write(file, [page], ".tif")
    values[5:7] = [next_to_it, float(said)]
    values[7] = [float(said), 7]
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), values)


@pytest.mark.parametrize("said", ["", "none", "300", "0.5", "nan"])
def test_a_number_of_no_pixel_makes_nothing_missing(tmp_path, said):
    picture = noise((8, 9), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", picture, metadata=None, extratags=[(42113, 2, 0, said, True)])
    with open_picture(tmp_path / "a.tif") as stored:
        page = stored.read()
    assert page.holes is None and np.array_equal(page.pixels[..., 0], picture)
