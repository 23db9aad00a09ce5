"""Adapt a network to noisy images in stages: first students, a teacher, a student.

Each stage is a run and can be resumed. The student's folder is the run's folder; it contains the folders of
the other stages. Targets are made again if they are incomplete, damaged, or depend on what has changed since.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch

from src.data_handlers.datasets.adapted import LIST, Adapted, Shares, Targets, open_targets
from src.data_handlers.samples.samples import Samples
from src.data_handlers.samples.view import View
from src.trainer.adapt.plan import Plan, masker_of, plan_of
from src.trainer.adapt.targets import TargetMaker
from src.trainer.checkpoints.general import NAME
from src.trainer.config.build import build_model, noisy_images
from src.trainer.config.reading import to_yaml
from src.trainer.config.run_config import RunConfig
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
    hidden = None
    if plan.firsts:
        before, goes_on = stages.first_students(files, before, goes_on), True
    if plan.teacher is not None:
        hidden = stages.teacher(plan.teacher, FileManager(files.folder, TEACHER))
    return stages.student(plan.student, files, before, hidden, goes_on)


def _begin(files: FileManager, config: RunConfig) -> None:
    """Make the folder of a run and its configuration file, which `-r` needs, unless they exist."""
    if not files.folder.is_dir():
        files.create()
        files.close()
    if not files.config_file.is_file():
        with write_atomically(files.config_file) as file:
            file.write(to_yaml(config).encode())


@dataclass
class _Stages:
    """The stages of one run. The plan grows with first students."""

    plan: Plan
    images: Samples
    device: torch.device
    workers: int

    def first_students(self, files: FileManager, before: Network, goes_on: bool) -> Network:
        """Train first students until one removes hardly more than the network before it; return the last."""
        block = self.plan.student.adapt
        assert block is not None
        earlier = None
        for number in range(1, block.first_students + 1):
            run = FileManager(files.folder, FIRST if number == 1 else f"{FIRST}_{number}")
            doing = "making its targets" if earlier is None else "measuring what it removes"
            LOG.info("stage %s: %s", self.plan.title(self.plan.firsts[-1]), doing)
            targets = self._targets(self.plan.firsts[-1], made_folder(run.folder / TARGETS), before, None)
            if earlier is not None:
                growth = _removed(targets) / max(_removed(earlier), 1e-9)
                LOG.info("it removes %.1f %% of what the network before it removed", 100 * growth)
                if growth < GROWTH:
                    break
                self.plan = self.plan.with_another_first()
            config = self.plan.firsts[-1]
            _begin(run, config)
            before, goes_on = self._train(config, run, targets, before if goes_on else None), True
            earlier = targets
        return before

    def teacher(self, config: RunConfig, run: FileManager) -> Masked:
        """Train the teacher; return it with the masker with which it denoises."""
        stage = Stage(self.plan.title(config), self.plan.later_work(config))
        network = train(config, run, self.device, self.workers, resume=run.folder.is_dir(), stage=stage)
        return Masked(network, masker_of(config))

    def student(
        self, config: RunConfig, run: FileManager, before: Network, hidden: Masked | None, goes_on: bool
    ) -> Network:
        """Train a student, from `before` on or anew, by targets that `before` and the teacher make."""
        LOG.info("stage %s: making its targets", self.plan.title(config))
        targets = self._targets(config, made_folder(run.folder / TARGETS), before, hidden)
        return self._train(config, run, targets, before if goes_on else None)

    def _train(self, config: RunConfig, run: FileManager, targets: Targets, start: Network | None) -> Network:
        """Train a student by targets, from the weights of `start` on or anew."""
        weights = None
        if start is not None:  # a copy, because training may change them
            weights = {key: value.clone() for key, value in start.module.state_dict().items()}
        crops = self._crops(config, targets)
        stage = Stage(self.plan.title(config), self.plan.later_work(config), crops, weights)
        return train(config, run, self.device, self.workers, resume=True, stage=stage)

    def _targets(self, config: RunConfig, folder: Path, before: Network, hidden: Masked | None) -> Targets:
        block = config.adapt
        assert block is not None
        made_by = {
            "before": _digest(before),
            "teacher": None if hidden is None else _digest(hidden.network),
            "finish": config.test.finish.model_dump(mode="json"),
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
        pixels = round(block.megapixels * 1e6)
        maker = TargetMaker(before, hidden, block.teacher_half, config.test.finish, pixels)
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
