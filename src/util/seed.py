"""Counted randomness: a generator is a function of what it is for, never of what was drawn before."""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # it takes seconds to load, and what cuts images into pieces has no use for it
    import torch


def derive_seed(seed: int, purpose: str, *counters: int) -> int:
    """Mix the run's seed, a purpose and counters into one 63-bit seed.

    Parameters
    ----------
    seed : int
        The run's seed (`seed` in the configuration).
    purpose : str
        What the numbers are for ("crop", "noise", "mask", ...), so that uses never share a stream.
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
    """A CPU generator seeded by `derive_seed` of the same arguments."""
    import torch

    return torch.Generator().manual_seed(derive_seed(seed, purpose, *counters))


def numpy_generator(seed: int) -> np.random.Generator:
    """A generator of NumPy's for what needs its distributions; the seed is one of `derive_seed`."""
    return np.random.Generator(np.random.PCG64(seed))
