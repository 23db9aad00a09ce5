"""A training that is one of several in a row."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from src.data_handlers.samples.samples import Samples


@dataclass(frozen=True)
class Stage:
    """What a training takes from the trainings before it.

    Attributes
    ----------
    name : str
        For messages, such as `2 of 3, teacher`.
    later : float
        Work of the stages after it, as a multiple of its own work.
    images : Samples or None
        The training set; None = that of the configuration.
    weights : mapping of str to Tensor, or None
        Initial weights; None = those of `training.init`.
    """

    name: str
    later: float = 0.0
    images: Samples | None = None
    weights: Mapping[str, Tensor] | None = None
