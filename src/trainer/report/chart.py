"""Draw curves over axes, for a panel of images."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 16, 30, 44
_FONT_SIZE = 13
_TICKS = 6
_GRID = "#dddddd"
_DOT = 3


class Curve(NamedTuple):
    """A curve: its name, its colour (a name or #RRGGBB), and its points in order of x."""

    name: str
    colour: str
    x: np.ndarray
    y: np.ndarray


def chart(
    curves: Sequence[Curve], x_label: str, y_label: str, widest: float, size: tuple[int, int]
) -> np.ndarray:
    """Draw curves over axes that both begin at 0.

    Parameters
    ----------
    curves : sequence of Curve
        Values of 0 or more; points are marked.
    x_label, y_label : str
        Labels of the axes.
    widest : float
        End of the x axis.
    size : (int, int)
        Width and height, px.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
    """
    width, height = size
    highest = 1.1 * max(float(curve.y.max()) for curve in curves) or 1.0
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_FONT_SIZE)
    right, bottom = width - _RIGHT, height - _BOTTOM

    def at(x: float, y: float) -> tuple[float, float]:
        return _LEFT + x / widest * (right - _LEFT), bottom - y / highest * (bottom - _TOP)

    for tick in _ticks(widest):
        draw.line([at(tick, 0), at(tick, highest)], fill=_GRID)
        draw.text((at(tick, 0)[0], bottom + 4), f"{tick:g}", fill="black", font=font, anchor="mt")
    for tick in _ticks(highest):
        draw.line([at(0, tick), at(widest, tick)], fill=_GRID)
        draw.text((_LEFT - 6, at(0, tick)[1]), f"{tick:g}", fill="black", font=font, anchor="rm")
    draw.line([at(0, highest), at(0, 0), at(widest, 0)], fill="black")
    draw.text((right, height - 6), x_label, fill="black", font=font, anchor="rb")
    draw.text((4, 6), y_label, fill="black", font=font, anchor="lt")
    left = float(right)
    for curve in reversed(curves):
        points = [at(x, y) for x, y in zip(curve.x.tolist(), curve.y.tolist(), strict=True)]
        draw.line(points, fill=curve.colour, width=2)
        for x, y in points:
            draw.ellipse([x - _DOT, y - _DOT, x + _DOT, y + _DOT], fill=curve.colour)
        draw.text((left, 6), curve.name, fill=curve.colour, font=font, anchor="rt")
        left -= draw.textlength(curve.name, font=font) + 12
    return np.asarray(sheet)


def _ticks(end: float) -> list[float]:
    """Return round numbers from 0 to the end, about `_TICKS` at most."""
    power = 10 ** math.floor(math.log10(end / _TICKS))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= end / _TICKS)
    return [step * number for number in range(int(end / step) + 1)]
