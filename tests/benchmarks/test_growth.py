import sys

import pytest

from benchmarks import growth
from benchmarks.masking import Cost


def test_one_exponent_where_the_growth_is_even():
    values = [1, 2, 4, 8, 16]
    assert growth.growth(values, [3 * value**2 for value in values]) == "2.00"


def test_two_exponents_and_the_turn_where_it_is_not():
    values = [1, 2, 4, 8, 16, 32]
    assert growth.growth(values, [max(8, value**2 / 2) for value in values]) == "0.00, from 4 2.00"


def test_what_is_nothing_has_no_logarithm_and_is_left_out():
    assert growth.growth([0, 1, 2, 4], [9, 4, 2, 1]) == "-1.00"
    assert growth.growth([1, 2], [0, 0]) == "none"


@pytest.mark.parametrize("axis", growth.axes(), ids=lambda axis: f"{axis.part}, {axis.against}")
def test_the_smallest_point_of_each_axis_can_be_measured_and_the_largest_spots(axis):
    if axis.part == "training on an image":
        pytest.skip("starts processes for half a minute; tests/trainer/parallel has its own")
    spots = axis.against.startswith("blind spots")
    for value in axis.values[:: len(axis.values) - 1] if spots else axis.values[:1]:
        assert axis.point(value).seconds > 0


def test_the_table_is_printed(monkeypatch, capsys):
    monkeypatch.setattr(growth, "measure_apart", lambda point, value, threads: Cost(value**2, 3 * value))
    monkeypatch.setattr(sys, "argv", ["growth", "--only", "masking", "--points", "3"])
    growth.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 5
    assert lines[3].split(" | ")[1:] == ["images", "1, 2, 4", "1, 4, 16", "2.00", "3, 6, 12", "1.00 |"]


def test_a_part_that_is_none_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["growth", "--only", "mask"])
    with pytest.raises(SystemExit):
        growth.main()
    assert "masking" in capsys.readouterr().err
