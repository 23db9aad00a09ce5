"""The training loop."""

import math
import signal
import time
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch

from src.data_handlers.loading.sampling import Loader
from src.data_handlers.samples.samples import Sample
from src.trainer.checkpoints.checkpoint import CheckpointStore
from src.trainer.checkpoints.environment import environment
from src.trainer.checkpoints.state import Best, TrainingState
from src.trainer.config.run_config import RunConfig
from src.trainer.evaluation.evaluate import Evaluated, evaluate, score_all
from src.trainer.evaluation.masked_loss import MaskedLoss
from src.trainer.optim import Scheduler, freeze_norm
from src.trainer.parallel.data_errors import agreed
from src.trainer.parallel.distributed import ALONE, Processes
from src.trainer.parallel.shared_norm import average_statistics
from src.trainer.training.best import is_best, measure_of
from src.trainer.training.due import is_due, last_step, validation_is_due, validation_is_missing
from src.trainer.training.loss_record import LossRecord
from src.trainer.training.reporter import BOARD_IMAGES, Reporter
from src.trainer.training.step import TrainingStep
from src.trainer.training.stopping import StopRequest
from src.util.errors import NonFiniteError, Stopped
from src.util.images.io import as_float
from src.util.logger import LOG
from src.util.seed import make_generator


class Trainer:
    """Trains one network; `src.trainer.config.build` builds its parts.

    Parameters
    ----------
    config : RunConfig
        The run's configuration.
    store : CheckpointStore
        Saves checkpoints.
    reporter : Reporter
        Reports progress.
    step : TrainingStep
        Updates the network from one batch.
    scheduler : Scheduler
        Schedule of the learning rate.
    loader : Loader
        Training batches.
    validation : Loader or None
        Images to score, one at a time; None = no validation.
    masked_loss : MaskedLoss or None
        Scores images without ground truth; None if the objective hides nothing.
    state : TrainingState
        Where training starts or resumes.
    stop : StopRequest
        Checked after each step and each validated image.
    processes : Processes
        The processes that train together. Each has a trainer of its own, with its share of every batch and of
        the validation images; only the first has a reporter and a store that write.
    """

    def __init__(
        self, config: RunConfig, store: CheckpointStore, reporter: Reporter, step: TrainingStep,
        scheduler: Scheduler, loader: Loader, validation: Loader | None, masked_loss: MaskedLoss | None,
        state: TrainingState, stop: StopRequest, processes: Processes = ALONE,
    ) -> None:  # fmt: skip
        self.config = config
        self.store = store
        self.reporter = reporter
        self.step = step
        self.network = step.network
        self.scheduler = scheduler
        self.loader = loader
        self.validation = validation
        self.masked_loss = masked_loss
        self.state = state
        self.stop = stop
        self.processes = processes
        self.total_steps = last_step(config, state, len(loader))
        self._losses = LossRecord(min(config.log.iter_interval, len(loader)))
        self._saved = (-1, Path())  # step and file of the latest checkpoint

    def fit(self) -> None:
        """Train to the last epoch, saving and validating when due.

        Raises
        ------
        Stopped
            After a signal; the state is saved.
        DataError
            When images are lost and `unreadable` is `stop`; the state is saved.
        NonFiniteError
            When a loss, gradient or weight is not finite; earlier checkpoints stay.
        """
        with self.stop, self.reporter:
            if validation_is_missing(self.config, self.state):
                self.validate(self.state.epoch)
                self.save_if_due(self.state.epoch)
            for epoch in range(self.state.epoch + 1, self.config.training.max_epochs + 1):
                self.train_epoch(epoch)
                self.save_if_due(epoch)
                self.stop_if_asked(epoch)
                if validation_is_due(self.config, epoch):
                    self.validate(epoch)
                    self.save_if_due(epoch)  # now with its scores

    def train_epoch(self, epoch: int) -> None:
        """Train on the batches of an epoch that are left."""
        self.loader.set_epoch(epoch, self.state.batch)
        self.network.module.train()
        if self.state.batch >= len(self.loader):
            LOG.warning(
                "epoch %d ends without another step: it has only %d batches now, all of them seen before",
                epoch, len(self.loader),
            )  # fmt: skip
        batches = agreed(iter(self.loader), self.loader, self.processes, partial(self._save_now, epoch))
        while self.state.batch < len(self.loader):
            with self.step.stopwatch.part("data", host=True):
                batch = next(batches)
            self.train_batch(epoch, batch)
            self.state.batch += 1
            if self.state.batch < len(self.loader):
                self.save_inside_if_due(epoch)
        self._read_losses(epoch)
        self.state.epoch, self.state.batch = epoch, 0

    def train_batch(self, epoch: int, batch: Sample) -> None:
        """Train on one batch, and report when due."""
        share = self.loader.share(self.state.batch)
        wanted = {*self.step.objective.images, "missing"} & batch.keys()
        images = {
            name: batch[name][: share.images].to(self.network.device, non_blocking=True) for name in wanted
        }
        # Steps done would be wrong here: a resumed run may have changed its batch size.
        seen = (epoch - 1) * len(self.loader) + self.state.batch
        progress = seen / (self.config.training.max_epochs * len(self.loader))
        rate = self.config.training.init_lr * self.scheduler(epoch, progress)
        for group in self.step.optimizer.param_groups:
            group["lr"] = rate
        frozen_from = self.config.training.freeze_norm
        if frozen := frozen_from is not None and progress >= frozen_from:
            freeze_norm(self.network.module)
        generator = make_generator(self.config.seed, "mask", self.state.step)
        self.state.step += 1
        where = partial(self._where, epoch, batch)
        shared = None if self.processes.alone else share
        self._losses.add(self.step(images, progress, generator, where, shared))
        if not (self.config.training.sync_bn or frozen):
            average_statistics(self.network.module, share, self.processes)
        if self.step.mean is not None:
            self.step.mean.update(self.state.step)
        self.reporter.step(share.total)
        if self.state.step % self.config.log.iter_interval == 0 or self.state.step == self.total_steps:
            self._read_losses(epoch)
            self.reporter.training(self._where(epoch), self.state.step, self.state.running_means(), rate)

    def validate(self, epoch: int) -> None:
        """Score the validation images, save some of them, and keep the best network by each metric."""
        assert self.validation is not None
        began = time.perf_counter()
        saved = epoch in self._image_epochs()
        folder = self.store.files.validation_folder(epoch) if saved and self.processes.first else None
        available = len(self.validation.samples.source)
        with self.step.mean.in_place() if self.step.mean else nullcontext():
            scores = score_all(
                self._evaluated(epoch, self.validation, saved), available,
                lambda result: self.reporter.image(result, self.state.step, folder),
            )  # fmt: skip
        self.reporter.validation(epoch, self.state.step, scores, began)
        self.state.validated_epoch = epoch
        for metric, value in scores.means().items():
            measure = measure_of(metric, self.config, self.validation.samples.data_range, scores)
            if is_best(value, metric, measure, self.state.best, self.store):
                self.state.best[metric] = Best(value, epoch, measure)
                self.store.save_best(self.content(), epoch, metric, value)

    def _evaluated(self, epoch: int, images: Loader, saved: bool) -> Iterator[Evaluated]:
        """Yield the scored images in order: all of them in the first process, none in the others."""
        results = evaluate(self.network, images, self.masked_loss)
        save = partial(self._save_now, epoch)
        for number, result in enumerate(agreed(results, images, self.processes, save)):
            if self.processes.alone:
                yield from [result] if result else []
            else:
                own = None
                if result and images.share(number).images:
                    own = result.to_plain(saved or result.index < BOARD_IMAGES)
                yield from (Evaluated.from_plain(each) for each in self.processes.gather(own) if each)
            self.stop_if_asked(epoch)

    def save_if_due(self, epoch: int) -> None:
        """Save an epoch if the `checkpoint` block says so, and always the last one."""
        block = self.config.checkpoint
        due = block.save and is_due(epoch, block.start_epoch, block.interval_epoch)
        if due or epoch == self.config.training.max_epochs:
            path = self.store.save_last(self.content(), epoch, block.save_all)
            self._saved = (self.state.step, path)

    def save_inside_if_due(self, epoch: int) -> None:
        """Save inside an epoch, every `checkpoint.interval_steps` steps."""
        interval = self.config.checkpoint.interval_steps
        if interval and self.state.step % interval == 0:
            self._save_now(epoch)
        self.stop_if_asked(epoch)

    def stop_if_asked(self, epoch: int) -> None:
        """Save and raise `Stopped` if any process received a signal or has lost torchrun."""
        asked = self.stop.signal or (signal.SIGTERM if self.processes.deserted else 0)
        number = self.processes.all_reduce_max(asked)
        if number:
            path = self._save_now(epoch)
            self.processes.barrier()  # torchrun ends all processes when one ends
            raise Stopped(signal.Signals(number), path)

    def _save_now(self, epoch: int) -> Path:
        step, path = self._saved
        if step != self.state.step:
            self._read_losses(epoch)
            path = self.store.save_interim(self.content(), self.state.epoch, self.state.step)
            self._saved = (self.state.step, path)
        return path

    def content(self) -> dict[str, Any]:
        """Return the content of a checkpoint: plain types and tensors."""
        mean = self.step.mean
        weights = self.network.module.state_dict() if mean is None else mean.state_dict()
        if not all(torch.isfinite(value).all() for value in weights.values() if value.is_floating_point()):
            raise NonFiniteError(f"{self._where(self.state.epoch)}: a weight is not finite; nothing is saved")
        return {
            "epoch": self.state.epoch,
            "model_weights": weights,
            **({} if mean is None else {"raw_weights": mean.latest()}),
            "optimizer_weights": self.step.optimizer.state_dict(),
            "config": self.config.model_dump(mode="json"),
            "white": self.loader.samples.data_range,
            "state": self.state.to_plain(),
            "environment": environment(self.network.device, self.processes.count),
        }

    def _read_losses(self, epoch: int) -> None:
        """Fetch the losses of the latest steps from the device, and check that they are finite."""
        values = self._losses.take()
        if not len(values):
            return
        rows = self.processes.sum(values).tolist()
        self.state.recent.extend(dict(zip(self._losses.names, row, strict=True)) for row in rows)
        if not all(math.isfinite(value) for row in rows for value in row):
            raise NonFiniteError(
                f"{self._where(epoch)}: the loss of one of the last {len(rows)} steps is not finite; try a"
                " smaller init_lr"
            )

    def _image_epochs(self) -> set[int]:
        """Return the epochs whose validation saves images: `num_of_saves`, evenly spread, with the last."""
        block = self.config.validation
        epochs = [
            e for e in range(1, self.config.training.max_epochs + 1) if validation_is_due(self.config, e)
        ]
        saves = min(block.num_of_saves, len(epochs)) if block.save_image else 0
        return {epochs[math.ceil((i + 1) * len(epochs) / saves) - 1] for i in range(saves)}

    def _where(self, epoch: int, batch: Sample | None = None) -> str:
        """Return the epoch and step for messages and, if given, the values and names of a batch."""
        epochs = self.config.training.max_epochs
        where = f"epoch {epoch}/{epochs}, step {self.state.step}/{self.total_steps}"
        if batch is None:
            return where
        noisy, names = as_float(batch["noisy"]), sorted(set(batch["name"]))
        listed = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        return f"{where}, values from {noisy.min():.4g} to {noisy.max():.4g} of {listed}"
