"""Whether denoised blocks show what their noisy blocks show, told from small means that noise hardly reaches.

Every block is reduced to the means of 16x16 cells. Denoising leaves these nearly as they are, whatever its
strength; another block, another order of colours, a mirrored block or another scale does not. Limits are
wide: a network may flatten a block and shift its colours, and is still recognised. What is too alike to be
told apart (neighbouring flat blocks of one colour, BGR in a grey scene) passes, and would cost next to
nothing.
"""

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from scipy.optimize import linear_sum_assignment

from src.data_handlers.submission.layout import Layout

CELLS = 16

# All in grey levels of 255, or ratios.
_FAINT = 4.0  # structure below this says nothing
_COLOUR_SHIFTS = (64.0, 32.0)  # of a channel's mean, where structure shows the right block, and where not
_SMALL_SHIFT, _BLOCK_SHIFT = 8.0, 16.0  # of all blocks, of one; below, a ratio of means says nothing
_SCALE, _SCALE_OF_ALL = (0.5, 2.0), (0.6, 1.6)
_EXCHANGE_GAIN = 3.0  # blocks that fit a place better by less may be there by chance
# Blocks that are out of place by the same way are said as one when they are so many, and such a part of all.
_TOGETHER, _TOGETHER_PART = 4, 0.05
# R - B, rms, from which an order of colours shows, judged over the set, an image or a block: of the cells as
# they are, which a network's shift of colours can turn round, and of their structure, which it cannot.
_COLOURED, _COLOURED_STRUCTURE = (8.0, 10.0, 20.0), (3.0, 4.0, 5.0)
_REVERSED = -0.5  # slope of R - B below which it is BGR; 1 is right


class Signatures:
    """What is kept of blocks: the means of their cells, and how sure these are.

    Parameters
    ----------
    count : int
        How many blocks the benchmark has.

    Attributes
    ----------
    present : ndarray of bool, shape (count,)
        Which were added.
    means : ndarray of float32, shape (count, CELLS, CELLS, 3)
        Grey levels of 255.
    noise : ndarray of float32, shape (count,)
        Variance of the means that noise explains at most.
    constant : ndarray of bool, shape (count,)
        Whether each channel has one value alone.
    """

    def __init__(self, count: int) -> None:
        self.present = np.zeros(count, bool)
        self.means = np.zeros((count, CELLS, CELLS, 3), np.float32)
        self.noise = np.zeros(count, np.float32)
        self.constant = np.zeros(count, bool)

    def add(self, number: int, block: np.ndarray) -> None:
        """Take up a block: (H, W, 3), H and W multiples of `CELLS`, uint8 or float where 1.0 is white."""
        height, width = block.shape[0] // CELLS, block.shape[1] // CELLS
        values = block.astype(np.float32) * np.float32(1 if block.dtype == np.uint8 else 255)
        rows = values.reshape(CELLS, height, -1)
        sums = (
            rows.sum(axis=1),
            np.einsum("chx,chx->cx", rows, rows),
        )  # of values, of squares; no large copies
        means, squares = (s.reshape(CELLS, CELLS, width, 3).sum(axis=2) / (height * width) for s in sums)
        # Noise that neighbours share averages out more slowly: on phones' and cameras' sRGB by 3 to 8 times.
        self.noise[number] = 5 * (squares - means**2).mean() / (height * width)
        self.means[number] = means
        first = block[0, 0]
        self.constant[number] = (block[0] == first).all() and (block == first).all()
        self.present[number] = True


class Findings:
    """Problems, each with the blocks that have it."""

    def __init__(self) -> None:
        self._blocks: dict[str, list[int]] = defaultdict(list)

    def add(self, problem: str, numbers: Iterable[int]) -> None:
        """Note that these blocks have this problem."""
        self._blocks[problem] += [int(number) for number in numbers]

    def extend(self, other: "Findings") -> None:
        """Note the problems of another, too."""
        for problem, numbers in other.items():
            self.add(problem, numbers)

    def items(self) -> list[tuple[str, list[int]]]:
        """Each problem with its blocks, in the order in which they were noted."""
        return [(problem, numbers) for problem, numbers in self._blocks.items() if numbers]


def compare(denoised: Signatures, noisy: Signatures, layout: Layout) -> Findings:
    """What is wrong with denoised blocks, seen beside their noisy ones.

    Parameters
    ----------
    denoised, noisy : Signatures
        Of the same benchmark; blocks that are not present in both are left out.
    layout : Layout
        Of the benchmark.

    Returns
    -------
    Findings
        Empty when all is well. A fault that all blocks share is noted once, and undone before each is looked
        at.
    """
    findings = Findings()
    both = denoised.present & noisy.present
    empty = both & denoised.constant & ~noisy.constant
    findings.add("one value throughout: an empty block", np.flatnonzero(empty))
    numbers = np.flatnonzero(both & ~empty)
    if not len(numbers):
        return findings
    seen, target = denoised.means[numbers], noisy.means[numbers]
    seen = _undo_scale(findings, seen, target, numbers)
    seen = _undo_turn(findings, seen, target, numbers)
    all_bgr = _reversed(seen, target, np.zeros_like(numbers), 0).all()
    seen = seen[..., ::-1] if all_bgr else seen
    moved = _exchanged(findings, seen, target, numbers, layout)
    bgr = _partly_reversed(seen, target, numbers // layout.blocks) & ~moved
    seen = np.where(bgr[:, None, None, None], seen[..., ::-1], seen)
    findings.add("BGR: red and blue are swapped", numbers[bgr ^ all_bgr])
    findings.add("unlike the noisy block", numbers[_unlike(seen, target, noisy.noise[numbers]) & ~moved])
    return findings


def _structure(means: np.ndarray) -> np.ndarray:
    """The means without the block's colour."""
    return means - means.mean(axis=(1, 2), keepdims=True)


def _energy(means: np.ndarray) -> np.ndarray:
    return np.square(means, dtype=np.float64).mean(axis=(1, 2, 3))


def _undo_scale(findings: Findings, seen: np.ndarray, target: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    colours, wanted = seen.mean(axis=(1, 2)), target.mean(axis=(1, 2))
    if not colours.any() or not wanted.any():
        return seen
    scale = float((colours * wanted).sum() / np.square(wanted).sum())
    shift = np.sqrt(np.square(colours - wanted).mean())
    if _SCALE_OF_ALL[0] < scale < _SCALE_OF_ALL[1] or shift < _SMALL_SHIFT:
        return seen
    findings.add(f"values on another scale: {scale:.3g} times as bright as the noisy blocks", numbers)
    return seen / np.float32(scale)


_TURNS = {
    "rows and columns swapped": lambda means: means.swapaxes(1, 2),
    "upside down": lambda means: means[:, ::-1],
    "mirrored": lambda means: means[:, :, ::-1],
    "turned by 180 degrees": lambda means: means[:, ::-1, ::-1],
    "turned clockwise": lambda means: np.rot90(means, 1, axes=(1, 2)),
    "turned anticlockwise": lambda means: np.rot90(means, 3, axes=(1, 2)),
}


def _undo_turn(findings: Findings, seen: np.ndarray, target: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    # Grey, so that the order of colours does not matter here.
    shapes, wanted = (_structure(means.mean(axis=3, keepdims=True)) for means in (seen, target))
    errors = {name: _energy(turn(shapes) - wanted).mean() for name, turn in _TURNS.items()}
    best, upright = min(errors, key=lambda name: errors[name]), _energy(shapes - wanted).mean()
    if errors[best] > 0.5 * upright or np.sqrt(upright) - np.sqrt(errors[best]) < _EXCHANGE_GAIN:
        return seen
    findings.add(f"{best}, beside the noisy blocks", numbers)
    return _TURNS[best](seen)


def _partly_reversed(seen: np.ndarray, target: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Of each block, whether red and blue are swapped, in all of its image or in it alone."""
    whole = _reversed(seen, target, images, 1)
    seen = np.where(whole[:, None, None, None], seen[..., ::-1], seen)
    return whole ^ _reversed(seen, target, np.arange(len(images)), 2)


def _reversed(seen: np.ndarray, target: np.ndarray, groups: np.ndarray, level: int) -> np.ndarray:
    """Of each block, whether red and blue are swapped in its group.

    They are where R - B falls as the noisy block's R - B rises. Where there is no colour this says nothing:
    faint colours count only over many blocks.
    """
    as_they_are = _slopes_down(seen, target, groups, _COLOURED[level])
    structure = _slopes_down(_structure(seen), _structure(target), groups, _COLOURED_STRUCTURE[level])
    return as_they_are | structure


def _slopes_down(seen: np.ndarray, target: np.ndarray, groups: np.ndarray, coloured: float) -> np.ndarray:
    found = (seen[..., 0] - seen[..., 2]).astype(np.float64)
    wanted = (target[..., 0] - target[..., 2]).astype(np.float64)
    strength = np.maximum(np.sqrt(np.square(wanted).mean(axis=(1, 2))), 1e-9)
    slope_times_strength = (wanted * found).mean(axis=(1, 2)) / strength
    _, group, counts = np.unique(groups, return_inverse=True, return_counts=True)
    total = np.bincount(group, strength)
    slope = np.bincount(group, slope_times_strength) / total
    return ((total / counts > coloured) & (slope < _REVERSED))[group]


def _exchanged(
    findings: Findings, seen: np.ndarray, target: np.ndarray, numbers: np.ndarray, layout: Layout
) -> np.ndarray:
    """Blocks in one another's places: where another assignment to places fits far better.

    The best assignment of all blocks at once is looked for. It is the identity also where a network shifts
    all blocks alike or flattens them, however alike their neighbours are: the sum of <D_i, N_p(i)> over the
    blocks is largest for p(i) = i if D = a N + b with a > 0. Looking for each block's nearest would mistake
    a shift of brightness for a neighbour.
    """
    found, wanted = _features(seen), _features(target)
    squares = np.square(found).sum(axis=1)[:, None] + np.square(wanted).sum(axis=1)
    errors = np.maximum(squares - 2 * found @ wanted.T, 0)
    places = linear_sum_assignment(errors)[1]
    moved = np.zeros(len(numbers), bool)
    for cycle in _cycles(places):
        here, there = errors[cycle, cycle], errors[cycle, places[cycle]]
        gain = np.sqrt(here.mean()) - np.sqrt(there.mean())
        if there.mean() < 0.25 * here.mean() and gain > _EXCHANGE_GAIN:
            moved[cycle] = there < 0.25 * here
    _say_moved(findings, numbers[moved], numbers[places[moved]], layout)
    return moved


def _say_moved(findings: Findings, numbers: np.ndarray, shown: np.ndarray, layout: Layout) -> None:
    offsets, group, counts = np.unique(shown - numbers, return_inverse=True, return_counts=True)
    shared = counts >= max(_TOGETHER, _TOGETHER_PART * len(numbers))
    together = shared[group]
    for offset in offsets[shared]:
        where = f"{abs(offset)} {'after' if offset > 0 else 'before'}"
        findings.add(f"not in its place: shows the block {where}", numbers[shown - numbers == offset])
    pairs = list(zip(numbers[~together].tolist(), shown[~together].tolist(), strict=True))
    text = ", ".join(f"{layout.label(number)} shows {layout.label(other)}" for number, other in pairs)
    findings.add(f"not in its place: {text}", [number for number, _ in pairs])


def _features(means: np.ndarray) -> np.ndarray:
    """Structure, and at half its weight colour, which networks shift; squared distances are means."""
    shapes, colours = _structure(means).reshape(len(means), -1), means.mean(axis=(1, 2))
    return np.concatenate([shapes / CELLS, colours / 2], axis=1).astype(np.float64) / np.sqrt(3)


def _cycles(places: np.ndarray) -> list[np.ndarray]:
    """The cycles of a permutation, those of one element left out."""
    left, cycles = set(np.flatnonzero(places != np.arange(len(places))).tolist()), []
    while left:
        cycle = [left.pop()]
        while (after := int(places[cycle[-1]])) in left:
            left.remove(after)
            cycle.append(after)
        cycles.append(np.array(cycle))
    return cycles


def _unlike(seen: np.ndarray, target: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Blocks of another structure or another colour than theirs, by more than denoising explains."""
    shapes, wanted = _structure(seen), _structure(target)
    energy, faint = _energy(wanted), 3 * noise + _FAINT**2
    product = np.multiply(shapes, wanted, dtype=np.float64).mean(axis=(1, 2, 3))
    correlation = product / np.maximum(np.sqrt(_energy(shapes) * energy), 1e-9)
    other_shape = (_energy(shapes - wanted) > 0.5 * energy + faint) & (correlation < 0.5)
    colours, right = seen.mean(axis=(1, 2)), target.mean(axis=(1, 2))
    shift = np.abs(colours - right).max(axis=1)
    brightness = (colours * right).sum(axis=1) / np.maximum(np.square(right).sum(axis=1), 1e-9)
    # A shift of colours leaves structure as it is; a scale moves both alike.
    contrast = product / np.maximum(energy, 1e-9)
    other_scale = (shift > _BLOCK_SHIFT) & _is_outside(brightness) & _is_outside(contrast)
    limit = np.where((energy > faint) & (correlation > 0.8), *_COLOUR_SHIFTS)
    return other_shape | other_scale | (shift > limit)


def _is_outside(scale: np.ndarray) -> np.ndarray:
    return (scale < _SCALE[0]) | (scale > _SCALE[1])
