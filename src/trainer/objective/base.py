"""What every objective is.

Shape letters: B images, C channels, H rows, W columns.
"""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from src.masker import Masker
from src.util.share import Share

Images = Mapping[str, Tensor]
"""A batch: `noisy` and, where the objective asks for it, `clean`, (B, C, H, W) in [0, 1] or uint8; `missing`,
(B, 1, H, W) bool, if any: pixels that were filled in, of which the loss counts none."""


class Task(NamedTuple):
    """What the network is given in a step, and what its output is compared with.

    Attributes
    ----------
    input : Tensor
        (B, C, H, W), floating point in [0, 1].
    target : Tensor
        Of the same shape.
    mask : Tensor
        (B, 1, H, W): 1 = counted by the loss, 0 = not counted.
    """

    input: Tensor
    target: Tensor
    mask: Tensor


class Objective(Protocol):
    """Makes a task of each batch.

    Attributes
    ----------
    images : tuple of str
        What of a batch it needs: `noisy` and perhaps `clean`.
    terms : str
        How the names of the loss terms begin that suit it.
    hides : bool
        Whether it makes use of the masker.
    """

    images: ClassVar[tuple[str, ...]]
    terms: ClassVar[str]
    hides: ClassVar[bool]

    def __init__(self, masker: Masker) -> None:
        """Take the masker of the configuration, of use or not."""

    def task(self, images: Images, generator: torch.Generator, share: Share) -> Task:
        """Make the task of a step.

        Parameters
        ----------
        images : mapping of str to Tensor
            The images that it needs, on the network's device. Not modified.
        generator : torch.Generator
            Of the CPU, source of the randomness.
        share : Share
            Which images of the whole batch these are.
        """
        ...
