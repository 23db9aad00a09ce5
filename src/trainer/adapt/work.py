"""How much work the stages are, by which the time that is left of all of them is told."""

from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from src.trainer.config.build import build_model
from src.trainer.config.run_config import RunConfig

_EDGE = 64
# Forward, then backward to inputs and to weights.
_TRAINING = 3


class Work(NamedTuple):
    """Floating-point operations of each stage."""

    teacher: float
    targets: float
    student: float


def operations(config: RunConfig) -> float:
    """Floating-point operations of a network for each pixel, a multiplication with its addition being two."""
    module = build_model(config, torch.device("cpu")).module.eval()
    images = torch.zeros(1, config.model.kwargs["in_channels"], _EDGE, _EDGE)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(images)
    return float(counter.get_total_flops()) / _EDGE**2


def work_of(student: RunConfig, size: int, teacher: RunConfig | None, crops: int, passes: int) -> Work:
    """The work of all stages.

    Parameters
    ----------
    student, teacher : RunConfig
        Of the two trainings; None = there is no teacher.
    size : int
        Edge of the student's crops, px.
    crops, passes : int
        The teacher's crops in an epoch, and in how many passes it denoises an image.
    """
    assert student.adapt is not None
    own, pixels = operations(student), student.adapt.megapixels * 1e6
    learning = _TRAINING * own * student.training.max_epochs * student.adapt.crops * size**2
    if teacher is None:
        return Work(0, own * pixels, learning)
    theirs, edge = operations(teacher), teacher.training.dataset_args["crop_size"] or size
    taught = _TRAINING * theirs * teacher.training.max_epochs * crops * edge**2
    return Work(taught, (own + passes * theirs) * pixels, learning)
