"""Compare denoised with noisy blocks by the means of small cells, in which noise averages out."""

import numpy as np

CELLS = 16
RESEMBLES = 0.5  # a concordance; a fifth of the contrast or half the brightness gives about this, or less
_FAINT = 8.0  # grey levels (0 to 255); smaller differences carry no information


class Signatures:
    """The cell means of blocks.

    Parameters
    ----------
    count : int
        The number of blocks of the benchmark.

    Attributes
    ----------
    present : ndarray of bool, shape (count,)
        The blocks that were added.
    means : ndarray of float32, shape (count, CELLS, CELLS, 3)
        Grey levels, 0 to 255.
    noise : ndarray of float32, shape (count,)
        The largest variance of the means that noise explains.
    """

    def __init__(self, count: int) -> None:
        self.present = np.zeros(count, bool)
        self.means = np.zeros((count, CELLS, CELLS, 3), np.float32)
        self.noise = np.zeros(count, np.float32)

    def add(self, number: int, block: np.ndarray) -> None:
        """Add a block: (H, W, 3), H and W multiples of `CELLS`, uint8 or float of data range 1."""
        height, width = block.shape[0] // CELLS, block.shape[1] // CELLS
        values = block.astype(np.float32) * np.float32(1 if block.dtype == np.uint8 else 255)
        rows = values.reshape(CELLS, height, -1)
        sums = rows.sum(axis=1), np.einsum("chx,chx->cx", rows, rows)  # without large copies
        means, squares = (s.reshape(CELLS, CELLS, width, 3).sum(axis=2) / (height * width) for s in sums)
        # Noise of neighbouring pixels is correlated in sRGB, so its mean falls 3 to 8 times more slowly.
        self.noise[number] = 5 * (squares - means**2).mean() / (height * width)
        self.means[number] = means
        self.present[number] = True


def concordance(seen: np.ndarray, target: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return Lin's concordance correlation coefficient of each denoised block with its noisy block.

    A loss of structure, contrast, colour or brightness lowers it; differences that are faint or explained by
    noise do not, so a flat block may stay flat.

    Parameters
    ----------
    seen, target : ndarray of float32, shape (blocks, CELLS, CELLS, 3)
        Means of the denoised blocks and of their noisy blocks.
    noise : ndarray of float32, shape (blocks,)
        Of the noisy blocks, see `Signatures`.

    Returns
    -------
    ndarray of float64, shape (blocks,)
        1 if they are equal, about 0 or less if they are unrelated.
    """
    seen, target = (means.reshape(len(means), -1) for means in (seen, target))
    error = np.square(seen - target, dtype=np.float64).mean(axis=1)
    shift = np.square(seen.mean(axis=1) - target.mean(axis=1))
    return 1 - error / (seen.var(axis=1) + target.var(axis=1) + shift + 3 * noise + _FAINT**2)


def structure(means: np.ndarray) -> np.ndarray:
    """Return the means without the block's mean colour, which networks shift."""
    return means - means.mean(axis=(1, 2), keepdims=True)


def structural_concordance(seen: np.ndarray, target: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return the concordance of each denoised block's structure with each noisy block's.

    Returns
    -------
    ndarray of float64, shape (blocks, blocks)
        Row i is of denoised block i; see `concordance` for the arguments and values.
    """
    shapes, wanted = (structure(means).reshape(len(means), -1).astype(np.float64) for means in (seen, target))
    floor = 3 * noise + _FAINT**2
    covariance = shapes @ wanted.T / shapes.shape[1]
    return (2 * covariance + floor) / (shapes.var(axis=1)[:, None] + wanted.var(axis=1) + floor)
