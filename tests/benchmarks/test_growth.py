import sys

import pytest

from benchmarks import growth
from benchmarks.masking import Cost


@pytest.mark.parametrize(
    ("values", "costs", "expected"),
    [
        ([1, 2, 4, 8, 16], [3, 12, 48, 192, 768], "2.00"),
        ([1, 2, 4, 8, 16, 32], [8, 8, 8, 32, 128, 512], "0.00, from 4 2.00"),
        ([0, 1, 2, 4], [9, 4, 2, 1], "-1.00"),
        ([1, 2], [0, 0], "none"),
    ],
)
def test_growth_returns_one_exponent_or_two_and_ignores_zeros(values, costs, expected):
    assert growth.growth(values, costs) == expected


@pytest.mark.parametrize("axis", growth.axes(), ids=lambda axis: f"{axis.part}, {axis.against}")
def test_each_axis_can_be_measured(axis):
    """At its smallest value; for blind spots at the largest too, which must fit into the image."""
    if axis.part == "training on an image":
        pytest.skip("takes half a minute; tests/trainer/parallel covers training with several processes")
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


def test_an_unknown_part_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["growth", "--only", "mask"])
    with pytest.raises(SystemExit):
        growth.main()
    assert "masking" in capsys.readouterr().err
