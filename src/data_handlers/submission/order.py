"""Find denoised blocks that are out of order: shuffled, turned, or with red and blue swapped.

Denoising hardly changes the means of cells. Blocks are out of order only if another order fits the noisy
blocks clearly better: a network that blurs, darkens or inverts is poor, but in order. Blocks that are too
alike to tell apart pass.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from src.data_handlers.submission.layout import Layout
from src.data_handlers.submission.resemblance import (
    RESEMBLES,
    Signatures,
    structural_concordance,
    structure,
)

Finding = tuple[str, np.ndarray]  # a mistake, and the numbers of the blocks that have it

_GAIN = 0.3  # of a concordance or correlation, by which another order must be better
_COLOURED = 6.0  # grey levels, rms of R - B, below which red and blue cannot be told apart
_NAMED_AT_MOST = 8

_TURNS = {
    "rows and columns swapped": lambda means: means.swapaxes(1, 2),
    "upside down": lambda means: means[:, ::-1],
    "mirrored": lambda means: means[:, :, ::-1],
    "turned by 180 degrees": lambda means: means[:, ::-1, ::-1],
    "turned clockwise": lambda means: np.rot90(means, 1, axes=(1, 2)),
    "turned anticlockwise": lambda means: np.rot90(means, 3, axes=(1, 2)),
}


def compare(denoised: Signatures, noisy: Signatures, layout: Layout) -> list[Finding]:
    """Return the blocks that fit their noisy blocks clearly better in another order.

    Parameters
    ----------
    denoised, noisy : Signatures
        Of the same benchmark; blocks that are missing in either are left out.
    layout : Layout
        Of the benchmark.

    Returns
    -------
    list of (str, ndarray of int)
        Each mistake with its blocks; empty if all is well, or too poor to tell. A turn or a swap of red and
        blue is looked for in all blocks together, and undone before places are compared.
    """
    numbers = np.flatnonzero(denoised.present & noisy.present)
    if not len(numbers):
        return []
    seen, target, noise = denoised.means[numbers], noisy.means[numbers], noisy.noise[numbers]
    findings = []
    turn = _turn(seen, target)
    if turn is not None:
        seen = _TURNS[turn](seen)
        findings.append((f"{turn}, beside the noisy blocks", numbers))
    if _is_bgr(seen, target):
        seen = seen[..., ::-1]
        findings.append(("BGR: red and blue are swapped", numbers))
    if _alike(seen, target) < -RESEMBLES:  # inverted blocks may resemble others
        return findings
    shown = numbers[_shown(seen, target, noise)]
    return findings + _name_moved(numbers, shown, layout)


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float((first * second).sum() / np.sqrt(max((first**2).sum() * (second**2).sum(), 1e-9)))


def _alike(seen: np.ndarray, target: np.ndarray) -> float:
    """Return the correlation of the grey structure of all blocks."""
    return _correlation(*(structure(means).mean(axis=3) for means in (seen, target)))


def _turn(seen: np.ndarray, target: np.ndarray) -> str | None:
    """Return how all blocks are turned."""
    upright = abs(_alike(seen, target))  # an inverted image resembles one turned by 180 degrees
    found = {name: _alike(turn(seen), target) for name, turn in _TURNS.items()}
    best = max(found, key=lambda name: found[name])
    return best if found[best] > max(RESEMBLES, upright + _GAIN) else None


def _is_bgr(seen: np.ndarray, target: np.ndarray) -> bool:
    """Return whether red and blue of all blocks are swapped: R - B has the opposite sign, grey has not."""
    found, wanted = (means[..., 0] - means[..., 2] for means in (seen, target))
    if np.sqrt(np.mean(wanted**2)) < _COLOURED or _correlation(found, wanted) > -RESEMBLES:
        return False
    return _alike(seen, target) > RESEMBLES


def _shown(seen: np.ndarray, target: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return the noisy block that each block shows: its own, unless another fits clearly better.

    All blocks are assigned at once. Looking for each block's best match alone would accuse networks that
    make all blocks alike. Blocks moved only if all that changed places with one another gain on average, and
    all blocks resemble those that they are assigned to.
    """
    fits = structural_concordance(seen, target, noise)
    own, places = np.arange(len(seen)), linear_sum_assignment(fits, maximize=True)[1]
    if fits[own, places].mean() < RESEMBLES:
        return own
    gains = fits[own, places] - fits[own, own]
    cycles = connected_components(coo_array((np.ones(len(own)), (own, places))))[1]
    cycle_gains = (np.bincount(cycles, gains) / np.bincount(cycles))[cycles]
    moved = (cycle_gains > _GAIN) & (gains > _GAIN) & (fits[own, places] > RESEMBLES)
    return np.where(moved, places, own)


def _name_moved(numbers: np.ndarray, shown: np.ndarray, layout: Layout) -> list[Finding]:
    moved = np.flatnonzero(shown != numbers)
    if not len(moved):
        return []
    pairs = zip(numbers[moved].tolist(), shown[moved].tolist(), strict=True)
    texts = [f"{layout.label(number)} shows {layout.label(other)}" for number, other in pairs]
    more = [] if len(texts) <= _NAMED_AT_MOST else ["..."]
    return [(f"not in its place: {', '.join(texts[:_NAMED_AT_MOST] + more)}", numbers[moved])]
