"""`report.html`: the parts of one page that needs nothing but itself."""

import json
import math
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from html import escape
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from src.trainer.evaluation.metrics import mean_score
from src.trainer.report.residual import RESIDUAL_GAIN

_PARTS = Path(__file__).parent
# Name, unit and format of the metrics that are known; others appear as they are called.
_METRICS = {"psnr": ("PSNR", "dB", ".2f"), "ssim": ("SSIM", "", ".4f"), "loss": ("masked loss", "", ".4g")}


class Entry(NamedTuple):
    """A line of the table.

    Attributes
    ----------
    name : str
        The image's.
    height, width : int
        Of the whole image, in pixels.
    metrics : dict of str to float
        May hold infinity and NaN.
    thumbnail : str
        A `data:` URI, or empty.
    data : dict or None
        What `report.js` shows of the image; None when the page had no room for more.
    key : str
        What its views were made from, see `src.trainer.report.kept`, or nothing.
    """

    name: str
    height: int
    width: int
    metrics: dict[str, float]
    thumbnail: str
    data: dict[str, Any] | None
    key: str = ""


def page(title: str, config: str, checkpoint: str, entries: Sequence[Entry]) -> bytes:
    """The page as UTF-8; every text that is not ours is escaped.

    Parameters
    ----------
    title : str
        What was denoised.
    config : str
        The configuration, as text.
    checkpoint : str
        Where the network was read.
    entries : sequence of Entry
        At least one.
    """
    metrics = list(dict.fromkeys(metric for entry in entries for metric in entry.metrics))
    script = _part("report.js")
    filled = Template(_part("template.html")).substitute(
        title=escape(title),
        count=_count(len(entries)),
        checkpoint=escape(checkpoint),
        checkpoint_name=escape(Path(checkpoint).name),
        config=escape(config),
        means=_means(entries, metrics),
        head="".join(_heading(metric) for metric in metrics),
        rows="\n".join(_row(number, entry, metrics) for number, entry in enumerate(entries, start=1)),
        data="\n".join(_data(number, entry.data) for number, entry in enumerate(entries, start=1)),
        style=_part("report.css"),
        gain=f"{RESIDUAL_GAIN:g}",
        script=script,
        # With this, a browser runs our script alone and loads nothing from anywhere, whatever a name holds.
        script_hash=b64encode(sha256(script.encode()).digest()).decode("ascii"),
    )
    # A name that is no UTF-8 on disk has characters that cannot be written.
    return filled.encode("utf-8", "replace")


def named(metric: str) -> tuple[str, str]:
    """What a metric is called on the page, and its unit."""
    return _METRICS.get(metric, (metric, "", ""))[:2]


def figure(metric: str, value: float) -> str:
    """A metric's value as it is printed."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return format(value, _METRICS.get(metric, ("", "", ".4g"))[2]).replace("-", "−")


def _part(name: str) -> str:
    return (_PARTS / name).read_text(encoding="utf-8")


def _count(images: int) -> str:
    return "1 image" if images == 1 else f"{images:,} images"


def _means(entries: Sequence[Entry], metrics: Sequence[str]) -> str:
    found = {m: mean_score(entry.metrics.get(m, math.nan) for entry in entries) for m in metrics}
    lines = []
    for metric, score in found.items():
        name, unit = map(escape, named(metric))
        perfect = f", {score.identical:,} identical" if score.identical else ""
        some = "" if score.used == score.total else f" ({score.used:,} of {score.total:,}{perfect})"
        if score.used:
            value = figure(metric, score.mean)
            lines.append(f"<div><dt>mean {name}{some}</dt><dd>{value} <small>{unit}</small></dd></div>")
    return "".join(lines)


def _heading(metric: str) -> str:
    button = f'<button type="button">{escape(", ".join(filter(None, named(metric))))}</button>'
    first = ' data-first="descending"' if metric == "loss" else ""  # the worst images, as of the others
    return f'<th scope="col" class="number" aria-sort="none"{first}>{button}</th>'


def _row(number: int, entry: Entry, metrics: Sequence[str]) -> str:
    name = f'<bdi title="{escape(entry.name)}">{escape(entry.name)}</bdi>'
    if entry.data is not None:
        name = f'<a href="#p{number}">{name}</a>'
    image = ""
    if entry.thumbnail:
        image = f'<img src="{entry.thumbnail}" alt="" loading="lazy" decoding="async">'
    cells = [
        _number(number, str(number)),
        f"<td>{image}</td>",
        f'<td class="name">{name}</td>',
        _number(entry.width * entry.height, f"{entry.width:,} × {entry.height:,}", "number size"),
        *(_number(value := entry.metrics.get(m, math.nan), figure(m, value)) for m in metrics),
    ]
    key = f' data-key="{entry.key}"' if entry.key else ""
    return f'<tr id="r{number}"{key}>{"".join(cells)}</tr>'


def _number(value: float, text: str, kind: str = "number") -> str:
    """A cell that is sorted by its value, in JavaScript's words, or comes last where there is none."""
    number = "" if math.isnan(value) else str(value).replace("inf", "Infinity")
    return f'<td class="{kind}" data-value="{number}">{text}</td>'


def _data(number: int, data: dict[str, Any] | None) -> str:
    if data is None:
        return ""
    # `<` cannot close the element or open a comment in it when it is written as \\u003c.
    text = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="d{number}">{text}</script>'
