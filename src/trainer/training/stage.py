"""A training that is one of several in a row."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from src.data_handlers.samples.samples import Samples


@dataclass(frozen=True)
class Stage:
    """What a training has from those before it, and what comes after it.

    Attributes
    ----------
    name : str
        For messages, such as `2 of 3, teacher`.
    later : float
        Work that is left after it, in parts of its own.
    images : Samples or None
        What is trained on; None = the configuration's training images.
    weights : mapping of str to Tensor, or None
        What the network begins with; None = as `training.init` says.
    """

    name: str
    later: float = 0.0
    images: Samples | None = None
    weights: Mapping[str, Tensor] | None = None
