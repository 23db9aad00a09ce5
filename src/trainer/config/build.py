"""From a checked configuration to the parts of a run."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from src.data_handlers import DATASETS, build_samples
from src.data_handlers.samples.checks import check_images
from src.data_handlers.samples.samples import Samples
from src.data_handlers.samples.view import View
from src.loss import Loss
from src.masker import MASKERS, Masker
from src.model import MODELS, DenoisingNetwork
from src.trainer.config.components import FOR_SCORING
from src.trainer.config.run_config import RunConfig
from src.trainer.network.network import Network
from src.trainer.objective import OBJECTIVES, Objective
from src.trainer.optim import OPTIMIZERS, SCHEDULERS, Scheduler
from src.util.config.schema import arguments
from src.util.errors import ConfigError
from src.util.images.folder import raise_together
from src.util.seed import derive_seed


def build_model(config: RunConfig, device: torch.device) -> Network:
    """Build the denoiser; its initial weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(config.seed, "weights"))
        module = _model(config)
    training = config.training
    return Network(
        module, device, training.precision, training.channels_last, training.compile, training.cudnn_benchmark
    )


def outline(config: RunConfig) -> DenoisingNetwork:
    """Build the denoiser on the meta device, where it takes no memory."""
    with torch.device("meta"):
        return _model(config)


def build_masker(config: RunConfig) -> Masker:
    """Build the masker of `masker.masker_type`."""
    constructor = MASKERS[config.masker.masker_type]
    return constructor(**arguments(config.masker.masker_args, constructor))


def build_objective(config: RunConfig) -> Objective:
    """Build the objective of `training.objective`."""
    return OBJECTIVES[config.training.objective](build_masker(config))


def build_loss(config: RunConfig) -> Loss:
    """Build the loss of `training.loss`."""
    return Loss(config.training.loss, config.training.tmp_info)


def build_optimizer(config: RunConfig, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Build the optimiser of `training.optimizer`."""
    block = config.training.optimizer
    constructor = OPTIMIZERS[block.type]
    return constructor(**arguments(block.arguments, constructor))(parameters, config.training.init_lr)


def build_scheduler(config: RunConfig) -> Scheduler:
    """Build the learning rate schedule of `training.scheduler`."""
    block = config.training.scheduler
    constructor = SCHEDULERS[block.type]
    return constructor(**arguments(block.arguments, constructor))


def dataset_of(config: RunConfig, part: str) -> tuple[str, dict[str, Any]]:
    """Return the dataset of `training`, `validation` or `test`, and the arguments given for it.

    A part without a dataset takes the dataset of the part before it; its own arguments override that part's.
    """
    order = ["test", "validation", "training"]
    blocks = [getattr(config, name) for name in order[order.index(part) :]]
    named = next(i for i, block in enumerate(blocks) if block.dataset is not None)
    own: dict[str, Any] = {}
    for block in reversed(blocks[: named + 1]):
        own |= FOR_SCORING | block.dataset_args
    return blocks[named].dataset, own


def noisy_images(config: RunConfig) -> Samples:
    """Return the training images, each once and whole; unless they have 1 or 3 channels, with all channels.

    Raises
    ------
    DataError
        As `build_images`.
    """
    scored = config.validation.model_copy(update={"dataset": None, "dataset_args": {"crop_size": None}})
    samples = _samples(config.model_copy(update={"validation": scored}), "validation")
    own = samples.source.inspect(0).channels
    if own not in (1, 3):
        samples.channels = own
    check_images(samples)
    return samples


def build_images(config: RunConfig, part: str) -> Samples:
    """Return the images of `training`, `validation` or `test`, after a check of every header.

    A part without a dataset takes the one before it, without augmentation.

    Raises
    ------
    ConfigError
        When the objective needs clean images and the training set has none.
    DataError
        When images are missing, damaged, too small or of the wrong kind: one line for each.
    """
    objective, training = OBJECTIVES[config.training.objective], part == "training"
    samples = _samples(config, part)
    check_images(samples, config.training.batch_size if training else 1)
    if training and "clean" in objective.images and "clean" not in samples[1, 0]:
        raise ConfigError(
            f"training.objective: {config.training.objective} needs clean images,"
            f" {config.training.dataset} has none here:"
            " name their folder (clean_folder) or add noise to clean images (add_noise)"
        )
    if training and objective.hides and samples.view.crop is None:
        _check_sizes(samples, build_masker(config))
    return samples


def _samples(config: RunConfig, part: str) -> Samples:
    dataset, own = dataset_of(config, part)
    training = part == "training"
    return build_samples(
        dataset, arguments(own, DATASETS[dataset], View),
        channels=config.model.kwargs["in_channels"], seed=config.seed, training=training,
        data_range=config.data_range, nan=config.nan,
        clean=not training or "clean" in OBJECTIVES[config.training.objective].images,
    )  # fmt: skip


def _check_sizes(samples: Samples, masker: Masker) -> None:
    """Raise DataError for sizes that cannot be masked; whole images, without a crop, may have several."""
    sizes: dict[tuple[int, int], int] = {}
    for number in samples.used.numbers:
        info = samples.source.inspect(number)
        sizes.setdefault((info.height, info.width), number)
    problems = []
    for size, number in sizes.items():
        try:
            masker.check_size(*size)
        except ValueError as error:
            problems.append(f"{samples.place(number)}: {error}")
    raise_together(problems)


def _model(config: RunConfig) -> DenoisingNetwork:
    constructor = MODELS[config.model.type]
    return constructor(**arguments(config.model.kwargs, constructor))
