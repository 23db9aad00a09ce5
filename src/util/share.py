"""The part of a batch that one of several processes has."""

from typing import NamedTuple


class Share(NamedTuple):
    """Images `first` to `first + images` of a batch of `total`; `images` may be 0."""

    first: int
    images: int
    total: int

    @property
    def slice(self) -> slice:
        """Where they stand in the batch."""
        return slice(self.first, self.first + self.images)


def share_of(total: int, rank: int, processes: int) -> Share:
    """Cut a batch into contiguous parts, which differ by one image at most.

    Parameters
    ----------
    total : int
        Images of the whole batch.
    rank : int
        Number of the process, from 0.
    processes : int
        How many share the batch.

    Returns
    -------
    Share

    Examples
    --------
    >>> share_of(5, 0, 2), share_of(5, 1, 2)
    (Share(first=0, images=2, total=5), Share(first=2, images=3, total=5))
    """
    first = total * rank // processes
    return Share(first, total * (rank + 1) // processes - first, total)
