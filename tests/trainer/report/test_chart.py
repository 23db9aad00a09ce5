"""Curves are drawn at their points."""

import numpy as np
import pytest

from src.trainer.report.chart import Curve, chart

RED, BLUE = (255, 0, 0), (0, 0, 255)


def of_colour(sheet, colour):
    """Return rows and columns of pixels of a colour below the names."""
    rows, columns = np.nonzero((sheet[30:] == colour).all(axis=2))
    return rows + 30, columns


def drawn(scale=1.0):
    x = np.array([0.0, 50.0, 100.0])
    flat, rising = (
        Curve("a", "red", x, scale * np.full(3, 4.0)),
        Curve("b", "blue", x[:2], scale * x[:2] / 10),
    )
    return chart([flat, rising], "x", "y", 200, (400, 200))


def test_curves_are_drawn_at_their_points():
    sheet = drawn()
    assert sheet.shape == (200, 400, 3) and sheet.dtype == np.uint8
    (flat, along), (rising, up) = of_colour(sheet, RED), of_colour(sheet, BLUE)
    assert np.ptp(flat) < 8 and along.min() < 50 and 200 < along.max() < 240  # half of the axis
    assert rising[up.argmin()] > flat.max() > rising[up.argmax()] and up.max() < 150


def test_labels_names_and_scale_are_drawn():
    assert (drawn() != drawn(0.001)).any()  # the numbers at the axis
    labelled, other = (
        chart([Curve(name, "red", np.ones(1), np.ones(1))], name, "y", 2, (200, 200)) for name in "ab"
    )
    assert (labelled[:20] != other[:20]).any() and (labelled[-20:] != other[-20:]).any()


@pytest.mark.parametrize("height", [0.0, 1e-6, 3e4])
def test_curves_of_any_height(height):
    sheet = chart(
        [Curve("a", "red", np.array([1.0, 2]), np.array([height, height]))], "x", "y", 255, (200, 200)
    )
    assert len(of_colour(sheet, RED)[0])
