"""Adapt a network to noisy images in stages: first students, a teacher if noise is left, a student.

Each stage is a run and can be resumed. The student's folder is the run's folder; it contains the folders of
the other stages, and all targets. Targets are made again if they are incomplete, damaged, or depend on what
has changed since.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import NamedTuple

import torch

from src.data_handlers.datasets.adapted import LIST, Adapted, Shares, Targets, open_targets
from src.data_handlers.samples.samples import Samples
from src.data_handlers.samples.view import View
from src.trainer.adapt.plan import Plan, masker_of, plan_of
from src.trainer.adapt.targets import TargetMaker
from src.trainer.checkpoints.general import NAME
from src.trainer.config.build import build_model, noisy_images
from src.trainer.config.reading import to_yaml
from src.trainer.config.run_config import AdaptBlock, RunConfig
from src.trainer.inference.trained import load_trained
from src.trainer.network.masked import Masked
from src.trainer.network.network import Network
from src.trainer.training.session import train
from src.trainer.training.stage import Stage
from src.trainer.training.start import start_from
from src.util.atomic_file import write_atomically
from src.util.errors import DataError
from src.util.file_manager import FileManager, made_folder
from src.util.logger import LOG

FIRST = "first"
TEACHER = "teacher"
TARGETS = "targets"
"""Folder of the targets: `1` are made by the initial network, `2` by the first student, and so on."""
WITH_TEACHER = "with_teacher"
"""Folder in it, of the targets that the teacher has a part in."""
GROWTH = 1.05
"""A first student that removes at least this multiple of what the network before it removed is followed by
another one. Under noise that the network knows, none is."""


def adapt(
    config: RunConfig, files: FileManager, device: torch.device, workers: int, resume: bool = False
) -> Network:
    """Adapt a network to the training images, stage by stage.

    Parameters
    ----------
    config : RunConfig
        With an `adapt` block.
    files : FileManager
        The run's paths. Its folder must not exist unless the run is resumed.
    device : torch.device
        Where the networks are trained.
    workers : int
        Processes that load images.
    resume : bool
        Continue the stage in which the run was stopped.

    Returns
    -------
    Network
        The last student.

    Raises
    ------
    CheckpointError, ConfigError, DataError
        If the initial weights do not fit the network, the teacher's configuration is wrong, or an image is
        too small. Nothing is written then.
    """
    images = noisy_images(config)
    plan = plan_of(config, images)
    init = config.training.init
    if init is not None:
        start_from(build_model(config, torch.device("cpu")), init)  # raises if a layer differs
    if not resume:
        files.expect_free()
    stages = _Stages(plan, images, device, workers)
    _begin(files, config)
    before, goes_on = load_trained(device, [], None, None, None, init or NAME).network, init is not None
    LOG.info("stage %s: making its targets", plan.title(next(iter(plan.stages.values()))))
    made = stages.first_students(files, _Made(before, goes_on, stages.targets(files, "1", before)))
    if stages.leaves_noise(made.targets):
        made = stages.with_teacher(files, made)
    return stages.train(stages.plan.student, files, made)


def _begin(files: FileManager, config: RunConfig) -> None:
    """Make the folder of a run and its configuration file, which `-r` needs, unless they exist."""
    if not files.folder.is_dir():
        files.create()
        files.close()
    if not files.config_file.is_file():
        with write_atomically(files.config_file) as file:
            file.write(to_yaml(config).encode())


class _Made(NamedTuple):
    """What a stage gets from those before it: a network, whether training goes on with it, and targets."""

    network: Network
    goes_on: bool
    targets: Targets


@dataclass
class _Stages:
    """The stages of one run. The plan grows with first students and the teacher."""

    plan: Plan
    images: Samples
    device: torch.device
    workers: int

    def first_students(self, files: FileManager, made: _Made) -> _Made:
        """Train first students until one removes hardly more than the network before it."""
        most = self._block.first_students
        for number in range(1, most + 1):
            config = self.plan.firsts[-1]
            run = FileManager(files.folder, FIRST if number == 1 else f"{FIRST}_{number}")
            _begin(run, config)
            network = self.train(config, run, made)
            LOG.info("stage %s: measuring what it removes", self.plan.title(config))
            targets = self.targets(files, f"{number + 1}", network)
            growth = _removed(targets) / max(_removed(made.targets), 1e-9)
            LOG.info("it removes %.1f %% of what the network before it removed", 100 * growth)
            made = _Made(network, True, targets)
            if growth < GROWTH:
                break
            if number < most:
                self.plan = self.plan.with_another_first()
        return made

    def leaves_noise(self, targets: Targets) -> bool:
        """Return whether the network that made targets leaves noise that a teacher can remove."""
        if self._block.teacher is None:
            return False
        ratio = targets.noise_ratio
        if ratio is not None:
            LOG.info("in flat places, the noise has %.2f times the variance of what is removed", ratio)
            if ratio <= self._block.teacher_above:
                return False
        if self.plan.possible_teacher is None:
            LOG.info("no teacher is trained: the images have %d channels, not 1 or 3", self.images.channels)
        return self.plan.possible_teacher is not None

    def with_teacher(self, files: FileManager, made: _Made) -> _Made:
        """Train the teacher; return the same network with targets in which the teacher has a part."""
        self.plan = self.plan.with_teacher()
        config, run = self.plan.teacher, FileManager(files.folder, TEACHER)
        assert config is not None
        stage = Stage(self.plan.title(config), self.plan.later_work(config))
        network = train(config, run, self.device, self.workers, resume=run.folder.is_dir(), stage=stage)
        LOG.info("stage %s: making its targets", self.plan.title(self.plan.student))
        hidden = Masked(network, masker_of(config))
        return made._replace(targets=self.targets(files, WITH_TEACHER, made.network, hidden))

    def train(self, config: RunConfig, run: FileManager, made: _Made) -> Network:
        """Train a student, from the network before it on or anew."""
        weights = None
        if made.goes_on:  # a copy, because training may change them
            weights = {key: value.clone() for key, value in made.network.module.state_dict().items()}
        crops = self._crops(config, made.targets)
        stage = Stage(self.plan.title(config), self.plan.later_work(config), crops, weights)
        return train(config, run, self.device, self.workers, resume=True, stage=stage)

    @property
    def _block(self) -> AdaptBlock:
        block = self.plan.student.adapt
        assert block is not None
        return block

    def targets(
        self, files: FileManager, name: str, before: Network, hidden: Masked | None = None
    ) -> Targets:
        """Return the targets that networks make, from their files if these are intact."""
        folder, block = made_folder(files.folder / TARGETS / name), self._block
        finish = self.plan.student.test.finish
        made_by = {
            "before": _digest(before),
            "teacher": None if hidden is None else _digest(hidden.network),
            "finish": finish.model_dump(mode="json"),
            "adapt": block.model_dump(mode="json", include={"teacher_half", "megapixels"}),
            "images": [list(self.images.source.origin(number)) for number in self.images.used.numbers],
        }
        try:
            if json.loads((folder / LIST).read_bytes())["made_by"] == made_by:
                return open_targets(folder)
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, DataError) as error:
            LOG.warning("%s: making the targets again (%s)", folder, error)
        maker = TargetMaker(before, hidden, block.teacher_half, finish, round(block.megapixels * 1e6))
        maker.write(self.images, folder, made_by)
        return open_targets(folder)

    def _crops(self, config: RunConfig, targets: Targets) -> Samples:
        block = config.adapt
        assert block is not None
        shares = Shares(block.real, block.own)
        finish = config.test.finish
        if finish.denoises and finish.coarse is not None:
            shares = shares._replace(half=block.half, coarse=finish.coarse / 255)
        source = Adapted(targets, block.crops, self.plan.size, shares)
        crops = Samples(
            source, View(augmentations=["flip", "rotate"]), channels=config.model.kwargs["in_channels"],
            seed=config.seed, training=True, data_range=1.0,
        )  # fmt: skip
        crops.data_range = self.images.data_range  # the checkpoint stores that of the original images
        return crops


def _removed(targets: Targets) -> float:
    """Return what the targets lack of the noisy images: the sum of the standard deviations."""
    return sum(image.removed for image in targets.images)


def _digest(network: Network) -> str:
    values = (value.cpu().contiguous().numpy().tobytes() for value in network.module.state_dict().values())
    return hashlib.sha256(b"".join(values)).hexdigest()
