import cv2
import numpy as np
import pytest

from src.data_handlers.submission.layout import DndLayout, SiddLayout
from src.data_handlers.submission.results import Result, find_results, read_all
from src.util.errors import DataError
from src.util.images.io import write_image

DND = DndLayout(2, 3, 64)


def values(folder, layout, read=Result.as_uint8):
    return np.stack([block for _, block in read_all(find_results(folder, layout), read)])


@pytest.mark.parametrize(
    ("layout", "name", "number"),
    [
        (SiddLayout(), "0033", 33), (SiddLayout(), "1279.png", 1279), (SiddLayout(), "1280", None),
        (SiddLayout(), "33", None), (SiddLayout(), "0001_01", None),
        (DndLayout(), "0001_01", 0), (DndLayout(), "0050_20.png", 999),
        (DndLayout(), "0002_14_noisy.png", 33),
        (DndLayout(), "0000_01", None), (DndLayout(), "0051_01", None), (DndLayout(), "0001_21", None),
        (DndLayout(), "0001_00", None), (DndLayout(), "0033", None),
    ],
)  # fmt: skip
def test_a_name_says_which_block_it_is(layout, name, number):
    assert layout.number(name) == number
    assert number is None or layout.number(name) == layout.number(
        layout.label(number).replace("ID ", "").zfill(4)
    )


def test_many_blocks_are_named_as_runs():
    assert SiddLayout().labels([5, 3, 4, 9, 9]) == "ID 3 to ID 5, ID 9"
    assert DndLayout().labels([19, 20]) == "0001_20 to 0002_01"


def test_a_result_takes_its_place_by_the_name_that_metrics_csv_knows(small_dnd):
    order = [4, 0, 5, 2, 1, 3]  # of a dataset that lists its files in another order
    small_dnd.write_metrics([f"{DND.label(number)}.png" for number in order])
    assert np.array_equal(values(small_dnd.results, DND)[order], small_dnd.clean)


@pytest.mark.parametrize("ending", ["", "_noisy"])
def test_a_result_of_test_dir_takes_its_place_by_its_own_name(small_dnd, tmp_path, ending):
    folder = tmp_path / "named"
    folder.mkdir()
    for number in range(6):
        write_image(folder / f"{DND.label(number)}{ending}_DN.png", small_dnd.clean[number])
    assert np.array_equal(values(folder, DND), small_dnd.clean)


def test_s2_a_missing_result_shifts_no_other_and_is_named(small_dnd):
    (small_dnd.results / "0001_DN.png").unlink()
    (small_dnd.results / "0004_DN.png").unlink()
    with pytest.raises(DataError, match="2 of 6 missing: 0001_02, 0002_02"):
        find_results(small_dnd.results, DND)


def test_s2_an_image_that_the_test_left_out_is_missing(small_dnd):
    small_dnd.write_metrics([f"{DND.label(number)}.png" for number in (0, 1, 2, 3, 5)])
    (small_dnd.results / "0005_DN.png").unlink()
    with pytest.raises(DataError, match="1 of 6 missing: 0002_02"):
        find_results(small_dnd.results, DND)


def test_without_metrics_csv_numbers_are_not_taken_for_boxes(small_dnd):
    (small_dnd.results / "metrics.csv").unlink()
    with pytest.raises(DataError, match=r"0000_DN\.png: belongs to no block"):
        find_results(small_dnd.results, DND)


@pytest.mark.parametrize(
    "stale",
    ["0006_DN.png", "0017_DN_31.20.png", "0006_DN.npy", "0003_DN (1).png", "old.png", "0001_01_EN.png"],
)
def test_s3_a_file_that_belongs_to_no_block_is_named(small_sidd, stale):
    if stale.endswith(".npy"):
        np.save(small_sidd.results / stale, small_sidd.clean[0])
    else:
        write_image(small_sidd.results / stale, small_sidd.clean[0])
    with pytest.raises(DataError) as caught:
        find_results(small_sidd.results, small_sidd.layout)
    assert f"{stale}: belongs to no block" in str(caught.value)


def test_s3_two_results_of_one_block_are_named(small_sidd):
    small_sidd.write(3, suffix="_DN_31.20.png")
    with pytest.raises(DataError, match=r"0003_DN_31\.20\.png: ID 3 has 0003_DN\.png already"):
        find_results(small_sidd.results, small_sidd.layout)


def test_s4_results_with_their_psnr_in_the_name_are_found_and_companions_passed_over(small_sidd):
    for number in range(6):
        (small_sidd.results / f"{number:04d}_DN.png").unlink()
        small_sidd.write(number, suffix=f"_DN_{29.4 + number:.2f}.png")
        small_sidd.write(number, small_sidd.noisy[number], "_NOISY.png")
        small_sidd.write(number, small_sidd.noisy[number], "_CLEAN.png")
    (small_sidd.results / "metrics.txt").write_text("scores")
    assert np.array_equal(values(small_sidd.results, small_sidd.layout), small_sidd.clean)


def test_a_name_that_metrics_csv_has_twice_is_refused(small_sidd):
    small_sidd.write_metrics(["0000", "0001", "0002", "0003", "0001", "0005"])
    with pytest.raises(DataError, match="0001 is listed 2 times"):
        find_results(small_sidd.results, small_sidd.layout)


def test_a_metrics_csv_with_other_columns_is_refused(small_sidd):
    (small_sidd.results / "metrics.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="expected the columns picture and name"):
        find_results(small_sidd.results, small_sidd.layout)


def test_float_results_are_preferred_exact_and_clipped(small_sidd, messages):
    exact = small_sidd.clean / np.float32(255) + np.float32(1 / 3000)
    exact[2, :5, :5] = [-0.2, 1.3, 0.5]
    for number in range(6):
        small_sidd.write_float(number, exact[number])
        small_sidd.write(number, np.rint(exact[number].clip(0, 1) * 255).astype(np.uint8))
    found = values(small_sidd.results, small_sidd.layout, Result.as_float)
    assert found.dtype == np.float32
    assert np.array_equal(found, exact.clip(0, 1))
    assert "INFO results: 6 as float, 0 as images" in messages


def test_a_bad_networks_values_far_outside_are_clipped_too(small_sidd):
    far = small_sidd.clean / np.float32(255) * 6 - np.float32(2.5)
    assert 0.1 < np.mean((far < -1) | (far > 2)) < 0.5
    for number in range(6):
        (small_sidd.results / f"{number:04d}_DN.png").unlink()
        small_sidd.write_float(number, far[number])
    assert np.array_equal(values(small_sidd.results, small_sidd.layout, Result.as_float), far.clip(0, 1))


def test_16_bit_images_keep_their_bits(small_sidd):
    deep = np.arange(64 * 64 * 3, dtype=np.uint16).reshape(64, 64, 3) * 5
    cv2.imwrite(str(small_sidd.results / "0002_DN.png"), deep[..., ::-1])
    results = find_results(small_sidd.results, small_sidd.layout)
    assert np.array_equal(np.rint(results[2].as_float() * 65535), deep)
    assert np.array_equal(results[2].as_uint8(), np.rint(deep / 257).astype(np.uint8))


def test_a_mix_of_float_and_images_gives_a_warning(small_sidd, messages):
    small_sidd.write_float(2)
    find_results(small_sidd.results, small_sidd.layout)
    assert "INFO results: 1 as float, 5 as images" in messages
    assert any(message.startswith("WARNING only some results are float") for message in messages)


def test_a_float_result_that_its_image_contradicts_is_stale(small_sidd):
    small_sidd.write_float(2, small_sidd.clean[2] / np.float32(255) + 0.004)
    (result,) = [r for r in find_results(small_sidd.results, small_sidd.layout) if r.is_float]
    with pytest.raises(DataError, match=r"0002_DN\.npy: differs from .*0002_DN\.png"):
        result.as_uint8()


def test_every_result_that_cannot_be_used_is_named_at_once(small_sidd):
    clean = small_sidd.clean[0]
    small_sidd.write(0, clean[:, :60])
    small_sidd.write(1, clean[..., :1])
    for number in range(2, 6):
        (small_sidd.results / f"{number:04d}_DN.png").unlink()
    small_sidd.write_float(2, np.where(clean > 200, np.nan, clean / 255).astype(np.float32))
    small_sidd.write_float(3, clean.astype(np.float32))
    small_sidd.write_float(4, clean)
    (small_sidd.results / "0005_DN.npy").write_bytes(b"\x93NUMPY")
    given = []
    with pytest.raises(DataError) as caught:
        given += read_all(find_results(small_sidd.results, small_sidd.layout), Result.as_uint8)
    assert given == []  # nothing is written any more
    lines = str(caught.value).splitlines()
    expected = [
        r"0000_DN.png: expected shape (64, 64, 3)", r"0001_DN.png: expected shape (64, 64, 3)",
        r"0002_DN.npy: ", r"0003_DN.npy: expected values of data range 1, got ",
        r"0004_DN.npy: expected float32", r"0005_DN.npy: ",
    ]  # fmt: skip
    assert len(lines) == 6
    for line, part in zip(lines, expected, strict=True):
        assert part in line
    assert "NaN or infinite" in lines[2]
