"""Collect images as they are denoised, and write `report.html` and `panel.png` at the end."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor

from src.trainer.report.kept import Kept
from src.trainer.report.page import Entry, figure, named, page
from src.trainer.report.panel import enlarged, panel
from src.trainer.report.residual import RESIDUAL_GAIN, Autocorrelation, amplified, autocorrelation
from src.trainer.report.views import brightness, centre, encode, size, thumbnail, to_levels
from src.util.atomic_file import write_atomically
from src.util.images.own_results import PAGE, PANEL

# Edge, px, of the largest crop that is shown and measured.
MAX_EDGE = 1024
# All views together before base64, which adds a third: the page stays below 40 MB for 1,000 images.
PAGE_BYTES = 27_000_000
LEAST_BYTES = 4_000
PANEL_ROWS = 8
PANEL_EDGE = 256
_TINY = 128
# Characters that Pillow's own font lacks.
_PLAIN = str.maketrans({"−": "-", "–": "-", "∞": "inf"})


class Look(NamedTuple):
    """What a page shows of one image, made by `Report.look`.

    Attributes
    ----------
    place : int
        The image's index, from 0.
    entry : Entry
        Its row of the table and its views.
    bytes : int
        Size of its views.
    row : list of (str, ndarray)
        Its row of the contact sheet; empty if it has none.
    """

    place: int
    entry: Entry
    bytes: int
    row: list[tuple[str, np.ndarray]]


class Report:
    """A page and a contact sheet of a set of denoised images.

    Parameters
    ----------
    folder : Path
        Existing folder for `report.html` and `panel.png`.
    title : str
        Title of the page.
    config : str
        The configuration, as YAML.
    checkpoint : str
        Path of the network's checkpoint.
    count : int
        Expected number of images. The fewer, the larger each is shown. More may be added.
    """

    def __init__(self, folder: Path, title: str, config: str, checkpoint: str, count: int) -> None:
        self.folder = folder
        self.title = title
        self.config = config
        self.checkpoint = checkpoint
        self._budget = PAGE_BYTES
        self._share = max(LEAST_BYTES, PAGE_BYTES // max(1, count))
        rows = min(PANEL_ROWS, count)
        self._on_panel = {round(place) for place in np.linspace(0, count - 1, rows)}
        self._looks: list[Look] = []

    def look(
        self,
        place: int,
        name: str,
        noisy: Tensor | np.ndarray,
        denoised: Tensor | np.ndarray,
        clean: Tensor | np.ndarray | None = None,
        metrics: Mapping[str, float] | None = None,
        data_range: float = 1.0,
    ) -> Look:
        """Make the views of an image. May run in any thread.

        Parameters
        ----------
        place : int
            The image's index, from 0.
        name : str
            Any text.
        noisy, denoised, clean : Tensor of shape (C, H, W), or ndarray of shape (H, W, C) or (H, W)
            Of one height and width; NaN is black and not counted. The first three channels are shown, or the
            first where there are fewer.
        metrics : mapping of str to float, optional
            `psnr` (dB), `ssim`, `loss` and others.
        data_range : float
            The data range: 1, or 255 or 65535 for a file's own values.
        """
        height, width, channels = size(noisy)
        scores = {metric: float(value) for metric, value in (metrics or {}).items()}
        if not self.wants(place):
            return self.named_alone(place, name, (height, width), scores)
        given = {"noisy": noisy, "denoised": denoised} | ({} if clean is None else {"clean": clean})
        for what, values in given.items():
            if size(values)[:2] != (height, width):
                raise ValueError(f"{name}: {what} is {size(values)[:2]}, noisy is {(height, width)}")
        cut = {what: centre(values, MAX_EDGE, data_range) for what, values in given.items()}
        # The smaller gain of both: a failed network's black result must not make the noisy image too bright.
        gain = min(brightness(cut["noisy"]), brightness(cut["denoised"]))
        shown = {what: to_levels(gain * values) for what, values in cut.items()}
        shown["residual"] = to_levels(amplified(gain * (cut["noisy"] - cut["denoised"])))
        row = _panel_row(name, shown, scores) if place in self._on_panel else []
        views = encode(shown, self._share)
        if views is None:
            return Look(place, Entry(name, height, width, scores, "", None), 0, row)
        data = {
            "files": views.files,
            "cut": [views.width, views.height],
            "whole": [width, height, channels],
            "lossless": views.lossless,
            "brightness": gain,
            **_measured(cut),
        }
        small = thumbnail(noisy, gain / data_range)
        return Look(place, Entry(name, height, width, scores, small, data), views.bytes, row)

    def wants(self, place: int) -> bool:
        """Return whether an image needs decoding: the page has room for it, or the contact sheet shows it."""
        return self._budget >= LEAST_BYTES or place in self._on_panel

    def named_alone(
        self, place: int, name: str, shape: tuple[int, int], metrics: Mapping[str, float] | None = None
    ) -> Look:
        """Return an image (H, W) for the table only; the arguments are those of `look`."""
        return Look(place, Entry(name, *shape, dict(metrics or {}), "", None), 0, [])

    def again(self, place: int, name: str, kept: Kept) -> Look | None:
        """Return the views of an earlier page, or None if this page would show the image differently."""
        if place in self._on_panel or kept.bytes > self._share:
            return None
        width, height, _ = kept.data["whole"]
        return Look(place, Entry(name, height, width, {}, kept.thumbnail, kept.data), kept.bytes, [])

    def take(self, look: Look) -> None:
        """Put an image on the page; only in the table if there is no room for its views."""
        if look.bytes > self._budget or self._budget < LEAST_BYTES:
            look = look._replace(entry=look.entry._replace(thumbnail="", data=None), bytes=0)
        self._budget -= look.bytes
        self._looks.append(look)

    def close(self) -> None:
        """Write both files atomically. Without images, write none."""
        if not self._looks:
            return
        self._looks.sort(key=lambda look: look.place)
        html = page(self.title, self.config, self.checkpoint, [look.entry for look in self._looks])
        with write_atomically(self.folder / PAGE) as file:
            file.write(html)
        if rows := self._rows():
            sheet = Image.fromarray(panel(rows))
            with write_atomically(self.folder / PANEL) as file:
                sheet.save(file, "PNG")

    def _rows(self) -> list[list[tuple[str, np.ndarray]]]:
        """Return the rows of the contact sheet, numbered like the table."""
        rows = [(number, look.row) for number, look in enumerate(self._looks, start=1) if look.row]
        return [[(f"{number}  {first[0]}", first[1]), *others] for number, (first, *others) in rows]


def _panel_row(
    name: str, shown: Mapping[str, np.ndarray], metrics: Mapping[str, float]
) -> list[tuple[str, np.ndarray]]:
    scores = [" ".join([named(m)[0], figure(m, value), named(m)[1]]) for m, value in metrics.items()]
    captions = {
        "noisy": name,
        "denoised": ", ".join(["denoised", *scores[:1]]).translate(_PLAIN),
        "residual": f"noisy - denoised, times {RESIDUAL_GAIN:g}",
        "clean": "clean",
    }
    row = []
    for what in (what for what in captions if what in shown):
        image = shown[what]
        top, left = ((length - min(length, PANEL_EDGE)) // 2 for length in image.shape[:2])
        cut = image[top : top + PANEL_EDGE, left : left + PANEL_EDGE]
        colour = np.broadcast_to(cut, (*cut.shape[:2], 3))
        row.append((captions[what], enlarged(colour, _TINY)))
    return row


def _measured(cut: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return the residual's mean and standard deviation in 8-bit grey levels, and the autocorrelations."""
    residual = cut["noisy"] - cut["denoised"]
    noise = cut["noisy"] - cut["clean"] if "clean" in cut else None
    known = residual[~np.isnan(residual)]
    return {
        "residual": [255 * float(known.mean()), 255 * float(known.std())] if known.size else [0.0, 0.0],
        "correlation": _plotted(autocorrelation(residual)),
        "noise": None if noise is None else _plotted(autocorrelation(noise)),
    }


def _plotted(found: Autocorrelation) -> dict[str, list[float | None]]:
    """Round to the three digits that a plot shows. NaN becomes None, since JSON has no NaN."""
    return {
        along: [None if math.isnan(value) else round(value, 3) for value in values]
        for along, values in found._asdict().items()
    }
