"""How well denoised blocks resemble their noisy blocks, told from small means that noise hardly reaches."""

from collections import defaultdict

import numpy as np

CELLS = 16
RESEMBLES = 0.5  # concordance; a fifth of the contrast reaches about this, half the brightness less
_FAINT = 8.0  # grey levels of 255; differences below this say nothing


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
        """Take up a block: (H, W, 3), H and W multiples of `CELLS`, uint8 or float of data range 1."""
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


def concordance(seen: np.ndarray, target: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Lin's concordance correlation coefficient of blocks' cells with those of their noisy blocks.

    Structure, contrast, colour and brightness that are lost all lower it. A difference that is faint, or that
    noise explains, does not: so a flat block may stay flat.

    Parameters
    ----------
    seen, target : ndarray of float32, shape (blocks, CELLS, CELLS, 3)
        Means of the denoised blocks and of their noisy ones.
    noise : ndarray of float32, shape (blocks,)
        Of the noisy ones, see `Signatures`.

    Returns
    -------
    ndarray of float64, shape (blocks,)
        1 where they are equal, about 0 or below where one says nothing of the other.
    """
    seen, target = (means.reshape(len(means), -1) for means in (seen, target))
    error = np.square(seen - target, dtype=np.float64).mean(axis=1)
    shift = np.square(seen.mean(axis=1) - target.mean(axis=1))
    return 1 - error / (seen.var(axis=1) + target.var(axis=1) + shift + 3 * noise + _FAINT**2)


def equal_blocks(means: np.ndarray) -> list[np.ndarray]:
    """The indices of blocks that are equal to others, those of one kind together."""
    kinds: dict[bytes, list[int]] = defaultdict(list)
    for index, block in enumerate(means):
        kinds[block.tobytes()].append(index)
    return [np.array(kind) for kind in kinds.values() if len(kind) > 1]
