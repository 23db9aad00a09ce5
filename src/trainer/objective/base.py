"""The interface of training objectives.

Shape letters: B images, C channels, H rows, W columns.
"""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from src.masker import Masker
from src.util.share import Share

Images = Mapping[str, Tensor]
"""A batch: `noisy` and, if the objective needs it, `clean`, (B, C, H, W) in [0, 1] or uint8. Optionally
`missing`, (B, 1, H, W) bool: pixels that were filled in and that the loss does not count."""


class Task(NamedTuple):
    """The input of the network in a step, and the target of its output."""

    input: Tensor
    """(B, C, H, W), floating point in [0, 1]."""
    target: Tensor
    """The same shape."""
    mask: Tensor
    """(B, 1, H, W), 1 = counted by the loss, 0 = not counted."""


class Objective(Protocol):
    """Turns each batch into a task for the network.

    Attributes
    ----------
    images : tuple of str
        Keys of the images it needs: `noisy`, optionally `clean`.
    terms : str
        Prefix of the loss terms it accepts.
    hides : bool
        Whether it uses the masker.
    """

    images: ClassVar[tuple[str, ...]]
    terms: ClassVar[str]
    hides: ClassVar[bool]

    def __init__(self, masker: Masker) -> None:
        """Store the masker of the configuration, if the objective uses it."""

    def task(self, images: Images, generator: torch.Generator, share: Share) -> Task:
        """Make the task of a step.

        Parameters
        ----------
        images : mapping of str to Tensor
            The images it needs, on the network's device. Not modified.
        generator : torch.Generator
            CPU generator.
        share : Share
            The position of these images in the whole batch.
        """
        ...
