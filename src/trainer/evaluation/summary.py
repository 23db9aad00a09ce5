"""The table at the end of a test: each metric over all images."""

import math
import statistics
from collections.abc import Callable

from src.trainer.evaluation.evaluate import METRICS, Scores

_STATISTICS: dict[str, Callable[[list[float]], float]] = {
    "mean": statistics.fmean, "median": statistics.median, "min": min, "max": max
}  # fmt: skip


def summary(scores: Scores) -> str:
    """Return the score line and a table of mean, median, min, max and number of images for each metric."""
    rows = [["", *_STATISTICS, "images"]]
    left_out = False
    rounding = scores.rounding().replace("8 bits", "8 bits, data range 255")
    for name in dict.fromkeys(name for image in scores.images for name in image.metrics):
        values = [image.metrics.get(name, math.nan) for image in scores.images]
        finite = [value for value in values if math.isfinite(value)]
        left_out |= len(finite) < len(values)
        figures = [f"{f(finite):.6g}" for f in _STATISTICS.values()] if finite else ["-"] * len(_STATISTICS)
        rows.append([METRICS[name].title.format(rounding), *figures, f"{len(finite)} of {scores.available}"])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    if left_out:
        lines.append(
            "Left out: identical images (infinite PSNR), those below 7 px (no SSIM), those of a size that"
            " cannot be masked (no loss), those that are all NaN."
        )
    return "\n".join([scores.line(), "", *lines]) + "\n"
