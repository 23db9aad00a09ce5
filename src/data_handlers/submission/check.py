"""What a submission must be, gathered while it is read back block by block."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from src.data_handlers.datasets.base import Source
from src.data_handlers.submission.layout import Layout
from src.data_handlers.submission.resemblance import Findings, Signatures, compare
from src.util.logger import LOG, progress_bar
from src.util.pictures.folder import raise_together


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
        self._by_digest: dict[bytes, list[int]] = defaultdict(list)
        self._findings = Findings()
        self._problems: list[str] = []

    def problem(self, text: str) -> None:
        """Note what is wrong with the file as a whole."""
        self._problems.append(text)

    def reject(self, number: int, why: str) -> None:
        """Note that a block stands in the file but cannot be used."""
        self._order.append(number)
        self._findings.add(why, [number])

    def take(self, number: int, block: np.ndarray) -> None:
        """Look at a block of the right shape, type and range."""
        self._order.append(number)
        if self._denoised.present[number]:
            return
        block = np.ascontiguousarray(block)  # MAT files hold columns; all that follows goes along the rows
        self._denoised.add(number, block)
        value = digest(block)
        if self._written is not None and value != self._written[number]:
            self._findings.add("was written otherwise: is the disk sound?", [number])
        self._by_digest[value].append(number)

    def conclude(self, where: str) -> None:
        """Say that all is well.

        Raises
        ------
        DataError
            When something is wrong: all of it is named.
        """
        problems = self._problems + [
            f"{len(numbers)} block(s), {self.layout.labels(numbers)}: {why}"
            for why, numbers in self._all_findings().items()
        ]
        raise_together([f"{where}: {problem}" for problem in problems])
        if self._noisy is None:
            LOG.warning("%s: not compared with the noisy blocks: say where they are", where)
        LOG.info("%s: checked, %d blocks", where, len(self.layout))

    def _all_findings(self) -> Findings:
        findings = self._findings
        counts = Counter(self._order)
        findings.add("missing", [n for n in range(len(self.layout)) if n not in counts])
        findings.add("there more than once", [n for n, count in counts.items() if count > 1])
        late = [after for before, after in zip(self._order, self._order[1:], strict=False) if after < before]
        findings.add("out of order", late)
        if self._noisy is None:
            findings.add("one value throughout: an empty block", np.flatnonzero(self._denoised.constant))
        else:
            findings.extend(compare(self._denoised, self._noisy, self.layout))
        for numbers in self._by_digest.values():
            if len(numbers) > 1 and not self._denoised.constant[numbers].any() and self._differ(numbers):
                findings.add("the same picture more than once", numbers)
        return findings

    def _differ(self, numbers: list[int]) -> bool:
        return self._noisy is None or bool(np.ptp(self._noisy.means[numbers], axis=0).any())
