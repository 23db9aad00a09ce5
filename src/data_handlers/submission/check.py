"""Check a submission while it is read back block by block."""

from collections import Counter, defaultdict

import numpy as np

from src.data_handlers.datasets.base import Source
from src.data_handlers.submission.layout import Layout
from src.data_handlers.submission.order import compare
from src.data_handlers.submission.resemblance import RESEMBLES, Signatures, concordance
from src.util.images.folder import raise_together
from src.util.logger import LOG, progress_bar

_NAMED_AT_MOST = 5


def noisy_signatures(source: Source, layout: Layout) -> Signatures:
    """Read the noisy blocks of a benchmark; their names give their places.

    Raises
    ------
    DataError
        If blocks are missing, or not of the benchmark's shape.
    """
    signatures = Signatures(len(layout))
    problems = []
    with progress_bar(len(source), "noisy block") as bar:
        for index in range(len(source)):
            name = source.name(index)
            number = layout.number(name)
            shape = source.inspect(index)
            if number is None or signatures.present[number]:
                problems.append(f"{source.where}: {name}: not a block of the benchmark, or a duplicate")
            elif (shape.height, shape.width, shape.channels) != layout.shape:
                problems.append(f"{source.where}: {name}: expected {layout.shape}, got {shape.size}")
            else:
                signatures.add(number, source.read(index).noisy)
            bar.update()
    missing = np.flatnonzero(~signatures.present)
    if len(missing) and not problems:
        problems.append(f"{source.where}: {len(missing)} noisy blocks missing: {layout.labels(missing)}")
    raise_together(problems)
    return signatures


class Check:
    """Check the blocks of a submission as they are read back.

    Form and order must be right. Blocks that hardly resemble their noisy blocks only give a warning.

    Parameters
    ----------
    layout : Layout
        Of the benchmark.
    noisy : Signatures or None
        The noisy blocks to compare with; without them a warning is logged.
    """

    def __init__(self, layout: Layout, noisy: Signatures | None) -> None:
        self.layout = layout
        self._noisy = noisy
        self._denoised = Signatures(len(layout))
        self._order: list[int] = []
        self._findings: dict[str, list[int]] = defaultdict(list)
        self._problems: list[str] = []

    def problem(self, text: str) -> None:
        """Add a problem of the file as a whole."""
        self._problems.append(text)

    def reject(self, number: int, why: str) -> None:
        """Add a block that is in the file but cannot be used."""
        self._order.append(number)
        self._findings[why].append(number)

    def take(self, number: int, block: np.ndarray) -> None:
        """Add a block of the right shape, type and range."""
        self._order.append(number)
        if not self._denoised.present[number]:
            # MAT files store columns; the sums run along rows.
            self._denoised.add(number, np.ascontiguousarray(block))

    def conclude(self, where: str) -> None:
        """Log that the submission is right, and warn of blocks that hardly resemble their noisy blocks.

        Raises
        ------
        DataError
            If form or order are wrong; all problems are named.
        """
        self._check_order()
        problems = self._problems + [
            f"{len(numbers)} block(s), {self.layout.labels(numbers)}: {why}"
            for why, numbers in self._findings.items()
            if numbers
        ]
        raise_together([f"{where}: {problem}" for problem in problems])
        self._warn_of_poor(where)
        LOG.info("%s: checked, %d blocks", where, len(self.layout))

    def _check_order(self) -> None:
        counts, findings = Counter(self._order), self._findings
        findings["missing"] += [n for n in range(len(self.layout)) if n not in counts]
        findings["there more than once"] += [n for n, count in counts.items() if count > 1]
        pairs = zip(self._order, self._order[1:], strict=False)
        findings["out of order"] += [after for before, after in pairs if after < before]
        if self._noisy is not None:
            for mistake, numbers in compare(self._denoised, self._noisy, self.layout):
                findings[mistake] += numbers.tolist()

    def _warn_of_poor(self, where: str) -> None:
        if self._noisy is None:
            LOG.warning("%s: not compared with the noisy blocks, whose folder was not given", where)
            return
        alike = concordance(self._denoised.means, self._noisy.means, self._noisy.noise)
        poor = np.flatnonzero(alike < RESEMBLES)
        if len(poor):
            LOG.warning(
                "%s: %d of %d blocks (%s%s) hardly resemble their noisy ones: correlation %.2f on average"
                " over all blocks, %.2f at worst; 1 is equal, below %s is poor",
                where, len(poor), len(self.layout), self.layout.labels(poor[:_NAMED_AT_MOST].tolist()),
                ", ..." if len(poor) > _NAMED_AT_MOST else "", alike.mean(), alike.min(), RESEMBLES,
            )  # fmt: skip
