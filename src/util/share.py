"""The share of a batch that one process computes."""

from typing import NamedTuple


class Share(NamedTuple):
    """Images `first` to `first + images` (exclusive) of a batch of `total`; `images` may be 0."""

    first: int
    images: int
    total: int

    @property
    def slice(self) -> slice:
        """The images' slice of the batch."""
        return slice(self.first, self.first + self.images)


def share_of(total: int, rank: int, processes: int) -> Share:
    """Return the contiguous share of `rank` in a batch; shares differ by at most one image.

    Examples
    --------
    >>> share_of(5, 0, 2), share_of(5, 1, 2)
    (Share(first=0, images=2, total=5), Share(first=2, images=3, total=5))
    """
    first = total * rank // processes
    return Share(first, total * (rank + 1) // processes - first, total)
