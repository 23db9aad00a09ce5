"""Build `report.html`, a page that loads nothing else."""

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
# Name, unit and format of known metrics. Others appear under their own names.
_METRICS = {"psnr": ("PSNR", "dB", ".2f"), "ssim": ("SSIM", "", ".4f"), "loss": ("masked loss", "", ".4g")}


class Entry(NamedTuple):
    """A row of the table.

    Attributes
    ----------
    name : str
        The image's name.
    height, width : int
        Size of the whole image, in pixels.
    metrics : dict of str to float
        May hold infinity and NaN.
    thumbnail : str
        A `data:` URI, or empty.
    data : dict or None
        The data that `report.js` displays; None if the page has no room for it.
    key : str
        Digest of what the views were made from, see `src.trainer.report.kept`; or empty.
    """

    name: str
    height: int
    width: int
    metrics: dict[str, float]
    thumbnail: str
    data: dict[str, Any] | None
    key: str = ""


def page(title: str, config: str, checkpoint: str, entries: Sequence[Entry]) -> bytes:
    """Return the page as UTF-8. All given text is escaped.

    Parameters
    ----------
    title : str
        Title of the page.
    config : str
        The configuration, as YAML.
    checkpoint : str
        Path of the network's checkpoint.
    entries : sequence of Entry
        At least one.
    """
    metrics = list(dict.fromkeys(metric for entry in entries for metric in entry.metrics))
    script = _part("report.js")
    filled = Template(_part("template.html")).substitute(
        title=escape(title),
        count="1 image" if len(entries) == 1 else f"{len(entries):,} images",
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
        # With this hash a browser runs only this script, whatever text an image's name contains.
        script_hash=b64encode(sha256(script.encode()).digest()).decode("ascii"),
    )
    # A file name that is not valid UTF-8 has characters that cannot be encoded.
    return filled.encode("utf-8", "replace")


def named(metric: str) -> tuple[str, str]:
    """Return a metric's name on the page, and its unit."""
    return _METRICS.get(metric, (metric, "", ""))[:2]


def figure(metric: str, value: float) -> str:
    """Format a metric's value."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return format(value, _METRICS.get(metric, ("", "", ".4g"))[2]).replace("-", "−")


def _part(name: str) -> str:
    return (_PARTS / name).read_text(encoding="utf-8")


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
    first = ' data-first="descending"' if metric == "loss" else ""  # the worst images first
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
    """Return a cell with its value in JavaScript's notation, for sorting. NaN is sorted last."""
    number = "" if math.isnan(value) else str(value).replace("inf", "Infinity")
    return f'<td class="{kind}" data-value="{number}">{text}</td>'


def _data(number: int, data: dict[str, Any] | None) -> str:
    if data is None:
        return ""
    # Escaped as \\u003c, `<` cannot close the element or open a comment.
    text = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="d{number}">{text}</script>'
