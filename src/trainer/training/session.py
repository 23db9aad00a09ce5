"""Train a run from its configuration to its last epoch: make its folder, build its parts, resume it."""

from contextlib import nullcontext

import torch

from src.data_handlers.loading.sampling import Loader, build_loader, kill_workers, worker_error
from src.trainer.checkpoints.checkpoint import CheckpointStore
from src.trainer.checkpoints.state import TrainingState
from src.trainer.config.build import (
    build_images,
    build_loss,
    build_model,
    build_objective,
    build_optimizer,
    build_scheduler,
)
from src.trainer.config.reading import to_yaml
from src.trainer.config.run_config import RunConfig
from src.trainer.evaluation.masked_loss import masked_loss_of
from src.trainer.evaluation.sanity import came_to_nothing
from src.trainer.network.network import Network
from src.trainer.optim import WeightMean
from src.trainer.parallel.distributed import ALONE, Processes
from src.trainer.parallel.shared_norm import share_batch_norm
from src.trainer.training.bystander import NoReporter, NoStore
from src.trainer.training.due import last_step, validation_is_missing
from src.trainer.training.file_list import keep_own_images
from src.trainer.training.reporter import Reporter
from src.trainer.training.resuming import restore_newest
from src.trainer.training.stage import Stage
from src.trainer.training.start import start_from
from src.trainer.training.step import TrainingStep
from src.trainer.training.stopping import StopRequest
from src.trainer.training.stopwatch import Stopwatch
from src.trainer.training.trainer import Trainer
from src.util.atomic_file import write_atomically
from src.util.cores import usable_cores
from src.util.errors import ConfigError, DataError, OutOfMemoryError
from src.util.file_manager import FileManager
from src.util.images.conversion import as_float
from src.util.logger import LOG, log_file, without_repeats
from src.util.memory import is_out_of_memory

# A small network hardly learns the colours of its images in fewer steps.
FEW_STEPS = 500
# Images that are denoised at the end to see whether the network learned anything.
LOOKED_AT = 4


def train(
    config: RunConfig, files: FileManager, device: torch.device, workers: int, resume: bool = False,
    processes: Processes = ALONE, stage: Stage | None = None,
) -> Network:  # fmt: skip
    """Train a run to its last epoch.

    Parameters
    ----------
    config : RunConfig
        Checked configuration.
    files : FileManager
        Paths of the run; they do not exist yet, unless the run is resumed.
    device : torch.device
        Device of the network.
    workers : int
        Processes that load images; 0 = load them in this one.
    resume : bool
        Continue from the newest whole checkpoint.
    processes : Processes
        The processes that train together; each calls this function, and the first writes the run's folder.
    stage : Stage, optional
        What this training takes from earlier ones; None = it is the only one.

    Returns
    -------
    Network
        With the weights that were saved last.
    """
    # Images are checked before a folder is made. Validation often checks the training images again.
    with without_repeats():
        loader, validation = _build_loaders(config, device.type == "cuda", workers, processes, stage)
    try:
        network = build_model(config, device)  # too little memory for it leaves no folder behind
        if not resume:
            _set_initial_weights(network, config, stage)
        if processes.first and resume:
            files.open()
        elif processes.first:
            files.create()
            processes.note_begun(files.folder)
        with log_file(files.log_file) if processes.first else nullcontext():
            trainer = _prepare(config, files, network, loader, validation, resume, processes, stage)
            if trainer is not None:
                trainer.fit()
                if trainer.step.mean is not None:
                    network.module.load_state_dict(trainer.step.mean.state_dict())
                if processes.first:
                    _warn_if_nothing_learned(trainer)
                LOG.info("finished; the run is in %s", files.folder)
        return network
    except Exception as error:
        if lost := worker_error(error, loader.samples.source.where):
            raise DataError(f"{lost}; -r resumes from the last checkpoint") from None
        if is_out_of_memory(error):
            raise OutOfMemoryError(
                f"out of memory on {device}: lower training.batch_size or training.dataset_args.crop_size, or"
                f" model.kwargs.features{_how_to_resume(files)}"
            ) from None
        raise
    finally:
        loader.close()
        kill_workers()
        files.close()


def _how_to_resume(files: FileManager) -> str:
    """Return what `-r` does after an error that the settings caused."""
    if not files.folder.is_dir():
        return ""
    if any(files.checkpoints.glob("*.pth")):
        return "; -r resumes from the last checkpoint"
    return "; nothing was saved before, so -r starts from the beginning"


def _build_loaders(
    config: RunConfig, on_gpu: bool, workers: int, processes: Processes, stage: Stage | None
) -> tuple[Loader, Loader | None]:
    """Return loaders of the training batches, or this process's shares of them, and of validation images."""
    batch = config.training.batch_size
    if batch % processes.count:
        raise ConfigError(
            f"training.batch_size: expected a multiple of the {processes.count} processes, which share each"
            f" batch, got {batch}"
        )
    workers = min(workers, max(1, usable_cores() // processes.local_count))
    given = None if stage is None else stage.images
    training = build_images(config, "training") if given is None else given
    loader = build_loader(training, batch, workers, on_gpu, processes.rank, processes.count)
    validation = None
    if config.validation.val:
        # One image for each process in a batch.
        scored, rank, count = build_images(config, "validation"), processes.rank, processes.count
        validation = build_loader(scored, count, workers, on_gpu, rank, count)
    counts = [len(training), len(validation.samples) if validation else 0]
    if counts != (theirs := processes.broadcast(counts)):
        raise DataError(
            f"{training.source.where}: {counts[0]} crops for training and {counts[1]} images for validation"
            f" here, {theirs[0]} and {theirs[1]} where the first process runs; all need the same images"
        )
    return loader, validation


def _prepare(
    config: RunConfig, files: FileManager, network: Network,
    loader: Loader, validation: Loader | None, resume: bool, processes: Processes, stage: Stage | None,
) -> Trainer | None:  # fmt: skip
    """Build the trainer and restore its state; return None if no epoch is left."""
    loaders = {"training": loader} | ({} if validation is None else {"validation": validation})
    keep_own_images(loaders, config, files, resume, processes)
    if config.training.sync_bn:
        share_batch_norm(network.module, processes)
    optimizer = build_optimizer(config, network.module.parameters())
    mean = None if config.training.ema is None else WeightMean(network.module, config.training.ema)
    store = CheckpointStore(files) if processes.first else NoStore(files)
    state = restore_newest(config, network, optimizer, mean, store, processes) if resume else TrainingState()
    if state is None:
        if stage is None:
            LOG.info("nothing was saved before: from the beginning")
        _set_initial_weights(network, config, stage)
        state = TrainingState()
    if not processes.alone:  # machines of different kinds may have drawn different weights
        network.module.load_state_dict(processes.broadcast(network.module.state_dict(), network.device))
    if mean is not None and not state.step:
        mean.load_state_dict(network.module.state_dict())
    if processes.first:
        with write_atomically(files.config_file) as file:
            file.write(to_yaml(config).encode())
    _describe(config, network, loader, state.step, processes, stage)
    if state.epoch >= config.training.max_epochs and not validation_is_missing(config, state):
        LOG.info("already finished: %d epochs; raise training.max_epochs to train on", state.epoch)
        if mean is not None:
            network.module.load_state_dict(mean.state_dict())
        return None
    stopwatch = Stopwatch(network.device)
    steps = last_step(config, state, len(loader))
    reporter = Reporter(files, stopwatch, state.step, steps, stage) if processes.first else NoReporter()
    step = TrainingStep(
        network, build_objective(config), build_loss(config), optimizer, stopwatch,
        config.training.grad_clip, processes, mean,
    )  # fmt: skip
    return Trainer(
        config, store, reporter, step, build_scheduler(config), loader, validation, masked_loss_of(config),
        state, StopRequest(), processes,
    )  # fmt: skip


def _set_initial_weights(network: Network, config: RunConfig, stage: Stage | None) -> None:
    if stage is not None and stage.weights is not None:
        network.module.load_state_dict(stage.weights)
    elif config.training.init is not None:
        start_from(network, config.training.init)


def _warn_if_nothing_learned(trainer: Trainer) -> None:
    """Warn if the network cannot denoise a few of its images; a failed training ends without an error."""
    images = (trainer.validation or trainer.loader).samples
    samples = (images[0, place] for place in range(min(LOOKED_AT, images.images)))
    noisy = (as_float(sample["noisy"]) for sample in samples if "noisy" in sample)
    if reason := came_to_nothing(trainer.network, noisy, trainer.masked_loss):
        hint = "try a smaller training.init_lr, or more epochs"
        LOG.warning("the network has not learned to denoise: %s; %s", reason, hint)


def _describe(
    config: RunConfig, network: Network, loader: Loader, done: int, processes: Processes, stage: Stage | None
) -> None:
    """Log what is trained, and how."""
    parameters = sum(p.numel() for p in network.module.parameters())
    training, steps = config.training, len(loader) * config.training.max_epochs
    LOG.info(
        "%s %s, %s parameters; %s, %d images; %d epochs of %d steps, batch %d; %s; seed %d",
        config.model.type, config.model.kwargs["bsn"], f"{parameters:,}", training.dataset,
        loader.samples.images, training.max_epochs, len(loader), training.batch_size,
        config.masker.masker_type, config.seed,
    )  # fmt: skip
    if stage is None and not done and training.init is not None:
        LOG.info("initial weights: %s", training.init)
    elif stage is None and not done and steps < FEW_STEPS:
        hint = "raise training.dataset_args.repeat_times or training.max_epochs"
        LOG.info("note: %d steps are few for a network with random initial weights: %s", steps, hint)
    if not processes.alone:
        own = "" if training.sync_bn else ", but not batch norm: the network depends on their number"
        LOG.info("%d processes share each batch%s", processes.count, own)
