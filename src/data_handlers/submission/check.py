"""What a submission must be, gathered while it is read back block by block."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from src.data_handlers.datasets.base import Source
from src.data_handlers.submission.layout import Layout
from src.data_handlers.submission.order import compare
from src.data_handlers.submission.resemblance import RESEMBLES, Signatures, concordance, equal_blocks
from src.util.images.folder import raise_together
from src.util.logger import LOG, progress_bar

_NAMED_AT_MOST = 5


def digest(block: np.ndarray) -> bytes:
    """A short stand-in for a block's values."""
    return hashlib.blake2b(np.ascontiguousarray(block).data, digest_size=16).digest()


def noisy_signatures(source: Source, layout: Layout) -> Signatures:
    """The noisy blocks of a benchmark, each put in its place by its name.

    Raises
    ------
    DataError
        When they are not all there, or not of the benchmark's shape.
    """
    signatures = Signatures(len(layout))
    problems = []
    with progress_bar(len(source), "noisy block") as bar:
        for index in range(len(source)):
            name = source.name(index)
            number = layout.number(name)
            shape = source.inspect(index)
            if number is None or signatures.present[number]:
                problems.append(f"{source.where}: {name}: is no block of the benchmark, or there twice")
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
    """Looks at the blocks of a submission as they are read back.

    Form and order must be right. What a network made of a block may be as bad as it likes, with a warning.

    Parameters
    ----------
    layout : Layout
        Of the benchmark.
    noisy : Signatures or None
        The noisy blocks to compare with; None leaves that out, with a warning.
    written : sequence of bytes, optional
        The `digest` of each block that was meant to be written.
    """

    def __init__(
        self, layout: Layout, noisy: Signatures | None, written: Sequence[bytes] | None = None
    ) -> None:
        self.layout = layout
        self._noisy = noisy
        self._written = written
        self._denoised = Signatures(len(layout))
        self._order: list[int] = []
        self._findings: dict[str, list[int]] = defaultdict(list)
        self._problems: list[str] = []

    def problem(self, text: str) -> None:
        """Note what is wrong with the file as a whole."""
        self._problems.append(text)

    def reject(self, number: int, why: str) -> None:
        """Note that a block stands in the file but cannot be used."""
        self._order.append(number)
        self._findings[why].append(number)

    def take(self, number: int, block: np.ndarray) -> None:
        """Look at a block of the right shape, type and range."""
        self._order.append(number)
        if self._denoised.present[number]:
            return
        block = np.ascontiguousarray(block)  # MAT files hold columns; all that follows goes along the rows
        self._denoised.add(number, block)
        if self._written is not None and digest(block) != self._written[number]:
            self._findings["was written otherwise: is the disk sound?"].append(number)

    def conclude(self, where: str) -> None:
        """Say that all is well, and warn of blocks that hardly resemble their noisy ones.

        Raises
        ------
        DataError
            When form or order are wrong: all of it is named.
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
            LOG.warning("%s: not compared with the noisy blocks: say where they are", where)
            empty = np.flatnonzero(self._denoised.constant)
            doubled = np.concatenate([empty, *equal_blocks(self._denoised.means)])
            self._warn_of(np.unique(doubled), where, "have one value throughout, or show what another shows")
            return
        alike = concordance(self._denoised.means, self._noisy.means, self._noisy.noise)
        figures = (
            f"hardly resemble their noisy ones: correlation {alike.mean():.2f} on average over all blocks,"
            f" {alike.min():.2f} at worst; 1 is equal, below {RESEMBLES} is poor"
        )
        self._warn_of(np.flatnonzero(alike < RESEMBLES), where, figures)

    def _warn_of(self, numbers: np.ndarray, where: str, what: str) -> None:
        if len(numbers):
            named = self.layout.labels(numbers[:_NAMED_AT_MOST].tolist())
            more = ", ..." if len(numbers) > _NAMED_AT_MOST else ""
            LOG.warning(
                "%s: %d of %d blocks (%s%s) %s", where, len(numbers), len(self.layout), named, more, what
            )
