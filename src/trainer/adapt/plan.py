"""Which stages there are, the configuration of each, and how much work each of them is."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from src.data_handlers.samples.samples import EPOCH_CROPS, Samples
from src.masker import NonLocalMasker
from src.trainer.config.build import build_masker, build_model
from src.trainer.config.reading import check_config
from src.trainer.config.run_config import RunConfig
from src.trainer.network.masked import passes
from src.util.config.yaml_document import Document
from src.util.errors import ConfigError, DataError
from src.util.logger import LOG

SMALLEST = 16
"""Shortest side of the images, px, at least."""

_EDGE = 64
# Forward, then backward to inputs and to weights.
_TRAINING = 3


@dataclass(frozen=True)
class Plan:
    """The stages of an adaptation.

    Attributes
    ----------
    first, teacher : RunConfig or None
        Of the stages before the student, which may be left out.
    student : RunConfig
        Of the last one.
    size : int
        Edge of the students' crops, px.
    images : int
        Number of the noisy images.
    """

    first: RunConfig | None
    teacher: RunConfig | None
    student: RunConfig
    size: int
    images: int

    @property
    def stages(self) -> dict[str, RunConfig]:
        """In their order, by name."""
        found = {"first student": self.first, "teacher": self.teacher, "student": self.student}
        return {name: config for name, config in found.items() if config is not None}

    def name(self, config: RunConfig) -> str:
        """Of a stage, such as `2 of 3, teacher`."""
        for number, (name, its_config) in enumerate(self.stages.items(), 1):
            if its_config is config:
                return f"{number} of {len(self.stages)}, {name}"
        raise ValueError("no stage of this plan")

    def later(self, config: RunConfig) -> float:
        """Work of the stages after one, in parts of its own training."""
        configs = list(self.stages.values())
        place = next(number for number, each in enumerate(configs) if each is config)
        return sum(self._whole(each) for each in configs[place + 1 :]) / self._training(config)

    def _whole(self, config: RunConfig) -> float:
        """Floating-point operations of a stage with the targets that it needs."""
        if config.adapt is None:
            return self._training(config)
        pixel = operations(config)
        if config is self.student and self.teacher is not None:
            pixel += passes(masker_of(self.teacher)) * operations(self.teacher)
        return self._training(config) + pixel * config.adapt.megapixels * 1e6

    def _training(self, config: RunConfig) -> float:
        if config.adapt is not None:
            crops, edge = config.adapt.crops, self.size
        else:
            arguments = config.training.dataset_args
            crops = self.images * (arguments["repeat_times"] or math.ceil(EPOCH_CROPS / self.images))
            edge = arguments["crop_size"] or self.size
        return _TRAINING * operations(config) * config.training.max_epochs * crops * edge**2


def plan_of(config: RunConfig, images: Samples) -> Plan:
    """The stages by a configuration.

    Parameters
    ----------
    config : RunConfig
        With an `adapt` block.
    images : Samples
        The noisy images, each looked at.

    Raises
    ------
    ConfigError
        When the teacher's part of it is wrong.
    DataError
        When an image is too small.
    """
    block = config.adapt
    assert block is not None
    first = None
    if block.first_length is not None:
        its_block = {"first_length": None, "teacher": None, "real": 0.0, "own": block.real + block.own}
        first = _shortened(config, block.first_length).model_copy(
            update={"adapt": block.model_copy(update=its_block), "validation": _without_scores(config)}
        )
    student = config
    if images.channels not in (1, 3):  # as they are they do not fit the network, which sees single channels
        student = config.model_copy(update={"validation": _without_scores(config)})
    size = min(block.size, _smallest(images))
    return Plan(first, _teacher(config, images.channels), student, size, images.images)


def masker_of(teacher: RunConfig) -> NonLocalMasker:
    """The masker that the teacher learns and denoises with."""
    masker = build_masker(teacher)
    if not isinstance(masker, NonLocalMasker):
        key, kind = "adapt.teacher.masker.masker_type", teacher.masker.masker_type
        raise ConfigError(f"{key}: expected Masker, which hides regions, got {kind}")
    return masker


def operations(config: RunConfig) -> float:
    """Floating-point operations of a network for each pixel; a multiplication and its addition are two."""
    module = build_model(config, torch.device("cpu")).module.eval()
    images = torch.zeros(1, config.model.kwargs["in_channels"], _EDGE, _EDGE)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(images)
    return float(counter.get_total_flops()) / _EDGE**2


def _shortened(config: RunConfig, length: float) -> RunConfig:
    epochs = max(1, round(length * config.training.max_epochs))
    return config.model_copy(update={"training": config.training.model_copy(update={"max_epochs": epochs})})


def _without_scores(config: RunConfig) -> Any:
    return config.validation.model_copy(update={"val": False})


def _teacher(config: RunConfig, channels: int) -> RunConfig | None:
    block = config.adapt
    assert block is not None
    if block.teacher is None:
        return None
    if channels not in (1, 3):
        LOG.info("images of %d channels are adapted to without a teacher", channels)
        return None
    own: dict[str, Any] = config.model_dump(mode="json")
    training: dict[str, Any] = block.teacher.get("training") or {}
    dataset_args = own["training"]["dataset_args"] | (training.get("dataset_args") or {})
    epochs = _shortened(config, block.teacher_length).training.max_epochs
    common = {"objective": "hide", "init": None, "freeze_norm": None, "max_epochs": epochs}
    own |= {key: value for key, value in block.teacher.items() if key != "training"}
    own |= {
        "adapt": None,
        "validation": {"val": False},
        "training": own["training"] | common | training | {"dataset_args": dataset_args},
    }
    teacher = check_config(Document(own, {}, "adapt.teacher"))
    masker_of(teacher)
    return teacher


def _smallest(images: Samples) -> int:
    """The shortest side of all images, px."""
    sides = {}
    for number in images.used.numbers:
        info = images.source.inspect(number)
        sides[number] = min(info.height, info.width)
    smallest = min(sides, key=sides.__getitem__)
    if sides[smallest] < SMALLEST:
        place = images.place(smallest)
        raise DataError(f"{place}: expected an image of at least {SMALLEST} px, got {sides[smallest]}")
    return sides[smallest]
