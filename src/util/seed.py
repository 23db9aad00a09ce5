"""Counted randomness: a generator depends on its purpose and counters, never on earlier draws."""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # PyTorch takes seconds to load, and the preparation does not need it
    import torch


def derive_seed(seed: int, purpose: str, *counters: int) -> int:
    """Mix the run's seed, a purpose and counters into one 63-bit seed.

    Parameters
    ----------
    seed : int
        The run's seed (`seed` in the configuration).
    purpose : str
        The use of the numbers ("crop", "noise", "mask", ...); different uses have different streams.
    *counters : int
        For example the epoch and the sample's index.

    Returns
    -------
    int
        In [0, 2**63), the same on every machine.
    """
    text = ":".join([str(seed), purpose, *map(str, counters)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def make_generator(seed: int, purpose: str, *counters: int) -> "torch.Generator":
    """Return a CPU generator seeded by `derive_seed` of the same arguments."""
    import torch

    return torch.Generator().manual_seed(derive_seed(seed, purpose, *counters))


def numpy_generator(seed: int) -> np.random.Generator:
    """Return a NumPy generator, for NumPy's distributions; take the seed from `derive_seed`."""
    return np.random.Generator(np.random.PCG64(seed))
