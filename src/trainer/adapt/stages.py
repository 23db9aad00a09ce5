"""A network adapted to noisy images in stages: a teacher that learns from them, targets, a student.

Each stage is whole by itself. The teacher is a run of its own in the folder of the student's, and resumes as
any run does; targets are made anew unless all of them are there, undamaged, and would come out the same.
"""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import torch

from src.data_handlers.datasets.adapted import LIST, Adapted, Shares, Targets, open_targets
from src.data_handlers.samples.samples import EPOCH_CROPS, Samples
from src.data_handlers.samples.view import View
from src.masker import NonLocalMasker
from src.trainer.adapt.targets import TargetMaker
from src.trainer.adapt.work import work_of
from src.trainer.checkpoints.general import NAME, SHA256
from src.trainer.config.build import build_masker, noisy_images
from src.trainer.config.reading import check_config, to_yaml
from src.trainer.config.run_config import AdaptBlock, RunConfig
from src.trainer.inference.trained import load_trained
from src.trainer.network.masked import Masked, passes
from src.trainer.network.network import Network
from src.trainer.training.reporter import Stage
from src.trainer.training.session import train
from src.util.atomic_file import write_atomically
from src.util.config.yaml_document import Document
from src.util.errors import ConfigError, DataError
from src.util.file_manager import FileManager, made_folder
from src.util.logger import LOG

TEACHER = "teacher"
TARGETS = "targets"
_SMALLEST = 16


def adapt(
    config: RunConfig, files: FileManager, device: torch.device, workers: int, resume: bool = False
) -> Network:
    """Adapt a network to the training images, stage by stage.

    Parameters
    ----------
    config : RunConfig
        With an `adapt` block.
    files : FileManager
        Names the run; nothing is on disk yet, unless it is resumed.
    device : torch.device
        Where the networks are trained.
    workers : int
        Processes that load images.
    resume : bool
        Go on where the run was stopped, in whichever stage.

    Returns
    -------
    Network
        The student's.
    """
    block = config.adapt
    assert block is not None
    images = noisy_images(config)
    size = min(block.size, _smallest(images))
    teacher = teacher_of(config, images.channels)
    masker = None if teacher is None else _masker_of(teacher)
    if not resume:
        files.create()
        with write_atomically(files.config_file) as file:
            file.write(to_yaml(config).encode())
        files.close()
    hidden, count = None, 2
    if teacher is not None and masker is not None:
        LOG.info("stage 1 of 3: a teacher learns from the images")
        run, count = FileManager(files.folder, TEACHER), 3
        stage = Stage("1 of 3, teacher", _later(config, size, teacher, masker, images.pictures))
        network = train(teacher, run, device, workers, resume=run.folder.is_dir(), stage=stage)
        hidden = Masked(network, masker)
    LOG.info("stage %d of %d: what the student is to make of each image", count - 1, count)
    targets = _targets(config, images, hidden, made_folder(files.folder / TARGETS), device)
    LOG.info("stage %d of %d: the student", count, count)
    student = config
    if images.channels not in (1, 3):  # scored as they are they do not fit the network
        unscored = config.validation.model_copy(update={"val": False})
        student = config.model_copy(update={"validation": unscored})
    crops = _crops(targets, config, block, size, images.white)
    stage = Stage(f"{count} of {count}, student", 0)
    return train(student, files, device, workers, resume=True, pictures=crops, stage=stage)


def teacher_of(config: RunConfig, channels: int) -> RunConfig | None:
    """The teacher's configuration; None where there is to be none, or the images are of too many channels."""
    assert config.adapt is not None
    if config.adapt.teacher is None:
        return None
    if channels not in (1, 3):
        LOG.info("images of %d channels are adapted to without a teacher", channels)
        return None
    own: dict[str, Any] = config.model_dump(mode="json")
    given = config.adapt.teacher
    training = given.get("training") or {}
    dataset_args = own["training"]["dataset_args"] | (training.get("dataset_args") or {})
    epochs = max(1, round(config.adapt.teacher_length * config.training.max_epochs))
    common = {"objective": "hide", "init": None, "freeze_norm": None, "max_epochs": epochs}
    own |= {key: value for key, value in given.items() if key != "training"}
    own |= {
        "adapt": None,
        "validation": {"val": False},
        "training": own["training"] | common | training | {"dataset_args": dataset_args},
    }
    return check_config(Document(own, {}, "adapt.teacher"))


def _later(config: RunConfig, size: int, teacher: RunConfig, masker: NonLocalMasker, images: int) -> float:
    """Work after the teacher's training, in parts of it."""
    repeated = teacher.training.dataset_args["repeat_times"] or math.ceil(EPOCH_CROPS / images)
    work = work_of(config, size, teacher, images * repeated, passes(masker))
    return (work.targets + work.student) / work.teacher


def _masker_of(config: RunConfig) -> NonLocalMasker:
    masker = build_masker(config)
    if not isinstance(masker, NonLocalMasker):
        kind = config.masker.masker_type
        raise ConfigError(
            f"adapt.teacher.masker.masker_type: expected Masker, which hides regions, got {kind}"
        )
    return masker


def _targets(
    config: RunConfig, images: Samples, teacher: Masked | None, folder: Path, device: torch.device
) -> Targets:
    assert config.adapt is not None
    made_by = {
        "general": SHA256,
        "teacher": None if teacher is None else _digest(teacher.module),
        "finish": config.test.finish.model_dump(mode="json"),
        "adapt": config.adapt.model_dump(mode="json", include={"teacher_share", "megapixels"}),
        "images": [images.source.origin(number) for number in images.used.numbers],
    }
    try:
        if json.loads((folder / LIST).read_bytes())["made_by"] == json.loads(json.dumps(made_by)):
            return open_targets(folder)
    except (OSError, ValueError, KeyError, TypeError, DataError):
        LOG.info("they are made anew")
    general = load_trained(device, [], None, None, None, NAME).network
    pixels = round(config.adapt.megapixels * 1e6)
    maker = TargetMaker(general, teacher, config.adapt.teacher_share, config.test.finish, pixels)
    maker.write(images, folder, made_by)
    return open_targets(folder)


def _digest(module: torch.nn.Module) -> str:
    values = (value.cpu().contiguous().numpy().tobytes() for value in module.state_dict().values())
    return hashlib.sha256(b"".join(values)).hexdigest()


def _smallest(images: Samples) -> int:
    """The shortest side of all images, px."""
    sides = {}
    for number in images.used.numbers:
        info = images.source.inspect(number)
        sides[number] = min(info.height, info.width)
    smallest = min(sides, key=sides.__getitem__)
    if sides[smallest] < _SMALLEST:
        place = images.place(smallest)
        raise DataError(f"{place}: expected an image of at least {_SMALLEST} px, got {sides[smallest]}")
    return sides[smallest]


def _crops(targets: Targets, config: RunConfig, block: AdaptBlock, size: int, white: float) -> Samples:
    source = Adapted(targets, block.crops, size, Shares(block.real, block.own))
    view = View(augmentations=["flip", "rotate"])
    channels = config.model.kwargs["in_channels"]
    crops = Samples(source, view, channels=channels, seed=config.seed, training=True, data_range=1.0)
    crops.white = white  # of the images themselves, for the checkpoint
    return crops
