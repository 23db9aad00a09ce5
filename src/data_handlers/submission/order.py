"""Whether denoised blocks are in order: each in its place, RGB, and upright, as its noisy block is.

Denoising leaves the means of a block's cells nearly as they are, whatever its strength. A mistake is one only
where undoing it fits clearly better; a network that blurs, darkens, inverts or gives up is bad, not out of
order. What is too alike to be told apart (neighbouring flat blocks of one colour, BGR in a grey scene)
passes, and would cost next to nothing.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from src.data_handlers.submission.layout import Layout
from src.data_handlers.submission.resemblance import CELLS, RESEMBLES, Signatures, concordance, equal_blocks

Finding = tuple[str, np.ndarray]  # a mistake, and the numbers of the blocks that have it

# All in grey levels of 255, or ratios.
_FITS_BETTER, _GAIN = 0.25, 3.0  # part of the squared error, and rms by which it falls at least
_GAIN_AT_MOST = 4.0  # of brightness or contrast; what has less holds too few grey levels to be compared
# Blocks that are out of place by the same way are said as one when they are so many, and such a part of all.
_TOGETHER, _TOGETHER_PART = 4, 0.05
# R - B, rms, from which an order of colours shows, judged over the set, an image or a block: of the cells as
# they are, which a network's shift of colours can turn round, and of their structure, which it cannot.
_COLOURED, _COLOURED_STRUCTURE = (8.0, 10.0, 20.0), (3.0, 4.0, 5.0)
_REVERSED = -0.5  # slope of R - B below which it is BGR; 1 is right
_BGR_FITS_BETTER = (0.5, 0.25, 0.25)  # part of the squared error


def compare(denoised: Signatures, noisy: Signatures, layout: Layout) -> list[Finding]:
    """Which denoised blocks fit their noisy ones clearly better in another order: of places, colours, pixels.

    Parameters
    ----------
    denoised, noisy : Signatures
        Of the same benchmark; blocks that are not present in both, and constant ones, are left out.
    layout : Layout
        Of the benchmark.

    Returns
    -------
    list of (str, ndarray of int)
        Each mistake with its blocks; empty when all is well, or too bad to tell. What all blocks share is
        undone before each is looked at.
    """
    numbers = np.flatnonzero(denoised.present & noisy.present & ~denoised.constant)
    if not len(numbers):
        return []
    seen, target, noise = denoised.means[numbers], noisy.means[numbers], noisy.noise[numbers]
    seen = _levelled(seen, target)
    together, images = np.zeros_like(numbers), numbers // layout.blocks
    seen, all_turned = _undo_turns(seen, target, numbers, together)
    all_bgr = _bgr(seen, target, [together])
    seen = _swapped(seen, all_bgr)
    shown = _shown(seen, target)
    moved = _say_moved(numbers, numbers[shown], layout)
    target, noise = target[shown], noise[shown]
    bgr = _bgr(seen, target, [together, images, numbers])
    seen, turned = _undo_turns(_swapped(seen, bgr), target, numbers, numbers)
    if concordance(seen, target, noise).mean() < RESEMBLES:
        return []
    findings = [*all_turned, *moved, ("BGR: red and blue are swapped", numbers[bgr ^ all_bgr]), *turned]
    return [(problem, blocks) for problem, blocks in findings if len(blocks)]


def _fits_better(there: np.ndarray, here: np.ndarray) -> np.ndarray:
    """Whether a squared error is smaller than another by more than chance or a bad network explain."""
    return (there < _FITS_BETTER * here) & (np.sqrt(here) - np.sqrt(there) > _GAIN)


def _levelled(seen: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The blocks, made as bright and of as much contrast as their noisy ones on the whole, in any order."""

    def gain(found: float, wanted: float) -> float:
        return np.clip(wanted / max(found, 1e-9), 1 / _GAIN_AT_MOST, _GAIN_AT_MOST)

    seen = seen * gain(seen.mean(), target.mean())
    shapes = _structure(seen)
    return seen + shapes * (gain(shapes.std(), _structure(target).std()) - 1)


def _structure(means: np.ndarray) -> np.ndarray:
    """The means without the block's colour."""
    return means - means.mean(axis=(1, 2), keepdims=True)


def _mean(means: np.ndarray) -> np.ndarray:
    return means.mean(axis=(1, 2, 3), dtype=np.float64)


def _mean_over(groups: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Of each block, the mean over its group."""
    _, group, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return (np.bincount(group, values) / counts)[group]


_TURNS = {
    "rows and columns swapped": lambda means: means.swapaxes(1, 2),
    "upside down": lambda means: means[:, ::-1],
    "mirrored": lambda means: means[:, :, ::-1],
    "turned by 180 degrees": lambda means: means[:, ::-1, ::-1],
    "turned clockwise": lambda means: np.rot90(means, 1, axes=(1, 2)),
    "turned anticlockwise": lambda means: np.rot90(means, 3, axes=(1, 2)),
}


def _undo_turns(
    seen: np.ndarray, target: np.ndarray, numbers: np.ndarray, groups: np.ndarray
) -> tuple[np.ndarray, list[Finding]]:
    """The blocks turned back, those of a group in one way, and how they were turned."""
    # Grey, so that the order of colours does not matter here.
    shapes, wanted = (_structure(means.mean(axis=3, keepdims=True)) for means in (seen, target))
    # A bad network may turn bright to dark, which a turn by 180 degrees often resembles.
    upright = np.minimum(*(_mean((sign * shapes - wanted) ** 2) for sign in (1, -1)))
    here = _mean_over(groups, upright)
    there = np.stack([_mean_over(groups, _mean((turn(shapes) - wanted) ** 2)) for turn in _TURNS.values()])
    turned, best = _fits_better(there.min(axis=0), here), there.argmin(axis=0)
    seen, findings = seen.copy(), []
    for index, (name, turn) in enumerate(_TURNS.items()):
        these = turned & (best == index)
        seen[these] = turn(seen[these])
        findings.append((f"{name}, beside the noisy blocks", numbers[these]))
    return seen, findings


def _swapped(seen: np.ndarray, bgr: np.ndarray) -> np.ndarray:
    return np.where(bgr[:, None, None, None], seen[..., ::-1], seen)


def _bgr(seen: np.ndarray, target: np.ndarray, groupings: list[np.ndarray]) -> np.ndarray:
    """Of each block, whether red and blue are swapped, in all of its group or, looking closer, it alone."""
    bgr = np.zeros(len(seen), bool)
    for groups, *limits in zip(groupings, _COLOURED, _COLOURED_STRUCTURE, _BGR_FITS_BETTER, strict=False):
        as_they_are, structure, part = limits
        right = _swapped(seen, bgr)
        bgr = bgr ^ (
            _reversed(right, target, groups, as_they_are, part)
            | _reversed(_structure(right), _structure(target), groups, structure, part)
        )
    return bgr


def _reversed(
    seen: np.ndarray, target: np.ndarray, groups: np.ndarray, coloured: float, part: float
) -> np.ndarray:
    """Of each block, whether R - B falls in its group as the noisy blocks' R - B rises.

    Where there is no colour this says nothing: faint colours count only over many blocks.
    """
    found, wanted = (means[..., :1] - means[..., 2:] for means in (seen, target))
    rms = np.maximum(np.sqrt(_mean(wanted**2)), 1e-9)
    strength = _mean_over(groups, rms)
    slope = _mean_over(groups, _mean(wanted * found) / rms) / strength
    here, there = (_mean_over(groups, _mean((m - target) ** 2)) for m in (seen, seen[..., ::-1]))
    return (strength > coloured) & (slope < _REVERSED) & (there < part * here)


def _shown(seen: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Of each block, the noisy block that it shows: its own, unless another fits clearly better.

    The best assignment of all blocks at once is looked for. It is the identity also where a network shifts
    all blocks alike or flattens them, however alike their neighbours are: the sum of <D_i, N_p(i)> over the
    blocks is largest for p(i) = i if D = a N + b with a > 0. Looking for each block's nearest would mistake
    a shift of brightness for a neighbour. What one block gains alone counts by its structure; colours, which
    networks shift, count at half their weight, and only if all gain that changed places with one another.
    """
    by_shape = _distances(_structure(seen) / CELLS, _structure(target) / CELLS)
    errors = by_shape + _distances(seen.mean(axis=(1, 2)) / 2, target.mean(axis=(1, 2)) / 2)
    own, places = np.arange(len(seen)), linear_sum_assignment(errors)[1]
    cycles = connected_components(coo_array((np.ones(len(own)), (own, places))))[1]
    here, there = errors[own, own], errors[own, places]
    all_gain = _fits_better(_mean_over(cycles, there), _mean_over(cycles, here))
    empty = _mean(_structure(target) ** 2)  # the error of a block that shows nothing
    shape_here, shape_there = by_shape[own, own], by_shape[own, places]
    alone = _fits_better(shape_there, np.minimum(shape_here, empty[places]))
    shown = np.where(all_gain & (there < _FITS_BETTER * here) | alone, places, own)
    for copies in equal_blocks(seen):  # an assignment gives a noisy block to one of them alone
        original = copies[here[copies].argmin()]
        if _fits_better(here[original], empty[original]):
            shown[copies[_fits_better(here[original], here[copies])]] = original
    return shown


def _distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Squared, of each from each, a mean over the colours."""
    first, second = (means.reshape(len(means), -1).astype(np.float64) for means in (first, second))
    squares = np.square(first).sum(axis=1)[:, None] + np.square(second).sum(axis=1)
    return np.maximum(squares - 2 * first @ second.T, 0) / 3


def _say_moved(numbers: np.ndarray, shown: np.ndarray, layout: Layout) -> list[Finding]:
    moved, offsets = shown != numbers, shown - numbers
    kinds, counts = np.unique(offsets[moved], return_counts=True)
    shared = kinds[counts >= max(_TOGETHER, _TOGETHER_PART * len(numbers))]
    findings = []
    for by in shared:
        where = f"{abs(by)} {'after' if by > 0 else 'before'}"
        findings.append((f"not in its place: shows the block {where}", numbers[offsets == by]))
    single = moved & ~np.isin(offsets, shared)
    text = ", ".join(
        f"{layout.label(number)} shows {layout.label(other)}"
        for number, other in zip(numbers[single].tolist(), shown[single].tolist(), strict=True)
    )
    return [*findings, (f"not in its place: {text}", numbers[single])]
