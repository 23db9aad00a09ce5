"""Plan the stages of an adaptation: the configuration of each, and its amount of work."""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from src.data_handlers.samples.samples import EPOCH_CROPS, Samples
from src.masker import NonLocalMasker
from src.trainer.config.build import build_masker, build_model
from src.trainer.config.reading import check_config
from src.trainer.config.run_config import RunConfig
from src.trainer.finish import SIZES
from src.trainer.network.masked import passes
from src.util.config.yaml_document import Document
from src.util.errors import ConfigError, DataError

MIN_SIDE = 16
"""Smallest allowed side of an image, px."""

_EDGE = 64
_PASSES = 3  # forward, backward to the inputs, backward to the weights


@dataclass(frozen=True)
class Plan:
    """The stages of an adaptation that are certain.

    Attributes
    ----------
    firsts : tuple of RunConfig
        Configurations of the first students; at most one at first.
    teacher : RunConfig or None
        Configuration of the teacher; None at first.
    possible_teacher : RunConfig or None
        Configuration of the teacher if one is needed; None if there can be none.
    student : RunConfig
        Configuration of the last stage.
    size : int
        Edge of the students' crops, px.
    images : int
        Number of the noisy images.
    """

    firsts: tuple[RunConfig, ...]
    teacher: RunConfig | None
    possible_teacher: RunConfig | None
    student: RunConfig
    size: int
    images: int

    def with_another_first(self) -> "Plan":
        """Return a plan with one more first student, like the last one."""
        return replace(self, firsts=(*self.firsts, self.firsts[-1].model_copy()))

    def with_teacher(self) -> "Plan":
        """Return a plan with the teacher."""
        return replace(self, teacher=self.possible_teacher)

    @property
    def stages(self) -> dict[str, RunConfig]:
        """Configurations of the stages by name, in their order."""
        several = len(self.firsts) > 1
        named = {
            f"first student {number}" if several else "first student": config
            for number, config in enumerate(self.firsts, start=1)
        }
        if self.teacher is not None:
            named["teacher"] = self.teacher
        return named | {"student": self.student}

    def title(self, config: RunConfig) -> str:
        """Return number and name of a stage, such as `2 of 3, teacher`."""
        index = self._index(config)
        return f"{index + 1} of {len(self.stages)}, {list(self.stages)[index]}"

    def later_work(self, config: RunConfig) -> float:
        """Return the work of all stages after one, as a multiple of this one's training."""
        later = list(self.stages.values())[self._index(config) + 1 :]
        return sum(self._stage_work(each) for each in later) / self._training_work(config)

    def _index(self, config: RunConfig) -> int:
        return next(index for index, each in enumerate(self.stages.values()) if each is config)

    def _stage_work(self, config: RunConfig) -> float:
        """Count the floating-point operations of a stage, with those that make its targets."""
        if config.adapt is None:
            return self._training_work(config)
        per_pixel = operations(config)
        if config.test.finish.denoises:
            per_pixel *= 1 + sum(0.25**size for size in range(1, SIZES + 1))
        if config is self.student and self.teacher is not None:
            per_pixel += passes(masker_of(self.teacher)) * operations(self.teacher)
        return self._training_work(config) + per_pixel * config.adapt.megapixels * 1e6

    def _training_work(self, config: RunConfig) -> float:
        if config.adapt is not None:
            crops, edge = config.adapt.crops, self.size
        else:
            arguments = config.training.dataset_args
            crops = self.images * (arguments["repeat_times"] or math.ceil(EPOCH_CROPS / self.images))
            edge = arguments["crop_size"] or self.size
        return _PASSES * operations(config) * config.training.max_epochs * crops * edge**2


def plan_of(config: RunConfig, images: Samples) -> Plan:
    """Plan the stages of a configuration.

    Parameters
    ----------
    config : RunConfig
        With an `adapt` block.
    images : Samples
        The noisy images. The header of each is read.

    Raises
    ------
    ConfigError
        If the teacher's configuration is wrong.
    DataError
        If an image is too small.
    """
    block = config.adapt
    assert block is not None
    changes = {"first_students": 0, "teacher": None, "real": 0.0, "own": block.real + block.own}
    first = {"adapt": block.model_copy(update=changes), "validation": _without_scores(config)}
    shorter = _shortened(config, block.first_length)
    firsts = (shorter.model_copy(update=first),) if block.first_students else ()
    student = config
    if images.channels not in (1, 3):  # the network sees single channels, so it cannot validate these images
        student = config.model_copy(update={"validation": _without_scores(config)})
    size = min(block.size, _shortest_side(images))
    return Plan(firsts, None, _teacher(config, images.channels), student, size, images.images)


def masker_of(teacher: RunConfig) -> NonLocalMasker:
    """Build the masker with which the teacher trains and denoises."""
    masker = build_masker(teacher)
    if not isinstance(masker, NonLocalMasker):
        key, kind = "adapt.teacher.masker.masker_type", teacher.masker.masker_type
        raise ConfigError(f"{key}: expected Masker, which hides regions, got {kind}")
    return masker


def operations(config: RunConfig) -> float:
    """Count a network's floating-point operations per pixel. A multiply-add counts as two."""
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
    if block.teacher is None or channels not in (1, 3):
        return None
    own: dict[str, Any] = config.model_dump(mode="json")
    training: dict[str, Any] = block.teacher.get("training") or {}
    dataset_args = own["training"]["dataset_args"] | (training.get("dataset_args") or {})
    epochs = _shortened(config, block.teacher_length).training.max_epochs
    fixed = {"objective": "hide", "init": None, "freeze_norm": None, "max_epochs": epochs}
    own |= {key: value for key, value in block.teacher.items() if key != "training"}
    own |= {
        "adapt": None,
        "validation": {"val": False},
        "training": own["training"] | fixed | training | {"dataset_args": dataset_args},
    }
    teacher = check_config(Document(own, {}, "adapt.teacher"))
    masker_of(teacher)
    return teacher


def _shortest_side(images: Samples) -> int:
    """Return the shortest side of all images, px."""
    infos = ((images.source.inspect(number), number) for number in images.used.numbers)
    side, number = min((min(info.height, info.width), number) for info, number in infos)
    if side < MIN_SIDE:
        raise DataError(f"{images.place(number)}: expected an image of at least {MIN_SIDE} px, got {side}")
    return side
