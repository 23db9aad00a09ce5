"""A training from its configuration to its last epoch: the run's folder, its parts, and resuming."""

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
from src.trainer.evaluation.masked_loss import MaskedLoss, masked_loss_of
from src.trainer.evaluation.sanity import came_to_nothing
from src.trainer.network.network import Network
from src.trainer.optim import WeightMean
from src.trainer.parallel.distributed import ALONE, Processes
from src.trainer.parallel.shared_norm import share_batch_norm
from src.trainer.training.bystander import NoReporter, NoStore
from src.trainer.training.due import last_step, validation_is_missing
from src.trainer.training.file_list import keep_own_images
from src.trainer.training.reporter import Reporter
from src.trainer.training.resuming import newest, restore
from src.trainer.training.stage import Stage
from src.trainer.training.start import start_from
from src.trainer.training.step import TrainingStep
from src.trainer.training.stopping import StopRequest
from src.trainer.training.stopwatch import Stopwatch
from src.trainer.training.trainer import Trainer
from src.util.atomic_file import write_atomically
from src.util.cores import usable_cores
from src.util.errors import CheckpointError, ConfigError, DataError, OutOfMemoryError
from src.util.file_manager import FileManager
from src.util.images.conversion import as_float
from src.util.logger import LOG, log_file, without_repeats
from src.util.memory import is_out_of_memory

# With fewer, a small network has hardly learned the colours of its images.
FEW_STEPS = 500
# Images that tell at the end whether anything was learned.
LOOKED_AT = 4


def train(
    config: RunConfig, files: FileManager, device: torch.device, workers: int, resume: bool = False,
    processes: Processes = ALONE, stage: Stage | None = None,
) -> Network:  # fmt: skip
    """Train a run to its last epoch.

    Parameters
    ----------
    config : RunConfig
        Checked.
    files : FileManager
        Names the run; nothing is on disk yet, unless it is resumed.
    device : torch.device
        Where the network is trained.
    workers : int
        Processes that load images; 0 loads them in this one.
    resume : bool
        Go on from the newest whole checkpoint.
    processes : Processes
        Those that train it together, each of them here; the first alone touches the run's folder.
    stage : Stage, optional
        Where this is one of several trainings in a row: what it has from those before.

    Returns
    -------
    Network
        As it is saved after the last step.
    """
    # All images are looked at before a folder is made; validation often looks at those of the training.
    with without_repeats():
        loader, validation = _build_loaders(config, device.type == "cuda", workers, processes, stage)
    try:
        network = build_model(config, device)  # what does not fit the memory leaves no folder behind
        if not resume:
            _begin(network, config, stage)
        if processes.first and resume:
            files.open()
        elif processes.first:
            files.create()
            processes.note_begun(files.folder)
        with log_file(files.log_file) if processes.first else nullcontext():
            return _fit(config, files, network, loader, validation, resume, processes, stage)
    except Exception as error:
        if lost := worker_error(error, loader.samples.source.where):
            raise DataError(f"{lost}; -r goes on from the last checkpoint") from None
        if is_out_of_memory(error):
            raise OutOfMemoryError(
                f"out of memory on {device}: lower training.batch_size or training.dataset_args.crop_size, or"
                f" model.kwargs.features{_how_to_go_on(files)}"
            ) from None
        raise
    finally:
        loader.close()
        kill_workers()
        files.close()


def _how_to_go_on(files: FileManager) -> str:
    """What is true of a run after an error that its settings caused."""
    if not files.folder.is_dir():
        return ""
    if any(files.checkpoints.glob("*.pth")):
        return "; checkpoints are as they were, -r goes on from the last"
    return "; nothing was saved before: with -r it begins anew"


def _build_loaders(
    config: RunConfig, on_gpu: bool, workers: int, processes: Processes, stage: Stage | None
) -> tuple[Loader, Loader | None]:
    """The training batches, or this process's shares of them, and the validation images."""
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
        # A batch is an image for each process.
        scored, rank, count = build_images(config, "validation"), processes.rank, processes.count
        validation = build_loader(scored, count, workers, on_gpu, rank, count)
    counts = [len(training), len(validation.samples) if validation else 0]
    if counts != (theirs := processes.broadcast(counts)):
        raise DataError(
            f"{training.source.where}: {counts[0]} crops for training and {counts[1]} images for validation"
            f" here, {theirs[0]} and {theirs[1]} where the first process runs; all need the same images"
        )
    return loader, validation


def _fit(
    config: RunConfig, files: FileManager, network: Network,
    loader: Loader, validation: Loader | None, resume: bool, processes: Processes, stage: Stage | None,
) -> Network:  # fmt: skip
    loaders = {"training": loader} | ({} if validation is None else {"validation": validation})
    keep_own_images(loaders, config, files, resume, processes)
    device = network.device
    if config.training.sync_bn:
        share_batch_norm(network.module, processes)
    optimizer = build_optimizer(config, network.module.parameters())
    mean = None if config.training.ema is None else WeightMean(network.module, config.training.ema)
    store = CheckpointStore(files) if processes.first else NoStore(files)
    state = TrainingState()
    if resume and (found := newest(store, device, processes)):
        path, content = found
        try:
            state = restore(config, network, optimizer, mean, content, processes)
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise
            raise CheckpointError(f"-r: {path}: its state is not one of this program ({error})") from None
        LOG.info("resumed %s after epoch %d, step %d", path, state.epoch, state.step)
    elif resume:
        if stage is None:
            LOG.info("nothing was saved before: from the beginning")
        _begin(network, config, stage)
    if not processes.alone:  # machines of different kinds may have drawn other weights
        network.module.load_state_dict(processes.broadcast(network.module.state_dict(), device))
    if mean is not None and not state.step:
        mean.load_state_dict(network.module.state_dict())
    if processes.first:
        with write_atomically(files.config_file) as file:
            file.write(to_yaml(config).encode())
    stopwatch = Stopwatch(device)
    _describe(config, network, loader, state.step, stage)
    if not processes.alone:
        own = "" if config.training.sync_bn else ", but not batch norm: the network depends on their number"
        LOG.info("%d processes share each batch%s", processes.count, own)
    if state.epoch >= config.training.max_epochs and not validation_is_missing(config, state):
        LOG.info("already finished: %d epochs; raise training.max_epochs to train on", state.epoch)
        return _as_saved(network, mean)
    steps = last_step(config, state, len(loader))
    reporter = Reporter(files, stopwatch, state.step, steps, stage) if processes.first else NoReporter()
    step = TrainingStep(
        network, build_objective(config), build_loss(config), optimizer, stopwatch,
        config.training.grad_clip, processes, mean,
    )  # fmt: skip
    masked_loss = masked_loss_of(config)
    with StopRequest() as stop:
        Trainer(
            config, store, reporter, step, build_scheduler(config), loader, validation, masked_loss, state,
            stop, processes,
        ).fit()  # fmt: skip
    _as_saved(network, mean)
    if processes.first:
        _say_what_came_of_it(network, validation or loader, masked_loss)
    LOG.info("finished; the run is in %s", files.folder)
    return network


def _begin(network: Network, config: RunConfig, stage: Stage | None) -> None:
    """The weights before the first step, where they are another network's."""
    if stage is not None and stage.weights is not None:
        network.module.load_state_dict(stage.weights)
    elif config.training.init is not None:
        start_from(network, config.training.init)


def _as_saved(network: Network, mean: WeightMean | None) -> Network:
    """With the mean of the weights, if there is one, in place of the latest step's."""
    if mean is not None:
        network.module.load_state_dict(mean.state_dict())
    return network


def _say_what_came_of_it(network: Network, images: Loader, masked_loss: MaskedLoss | None) -> None:
    """A training that came to nothing ends as any other; a few images tell."""
    samples = (images.samples[0, place] for place in range(min(LOOKED_AT, images.samples.images)))
    noisy = (as_float(sample["noisy"]) for sample in samples if "noisy" in sample)
    if reason := came_to_nothing(network, noisy, masked_loss):
        hint = "try a smaller training.init_lr, or more epochs"
        LOG.warning("the network has not learned to denoise: %s; %s", reason, hint)


def _describe(
    config: RunConfig, network: Network, loader: Loader, done: int, stage: Stage | None
) -> None:  # fmt: skip
    parameters = sum(p.numel() for p in network.module.parameters())
    training, steps = config.training, len(loader) * config.training.max_epochs
    LOG.info(
        "%s %s, %s parameters; %s, %d images; %d epochs of %d steps, batch %d; %s; seed %d",
        config.model.type, config.model.kwargs["bsn"], f"{parameters:,}", training.dataset,
        loader.samples.images, training.max_epochs, len(loader), training.batch_size,
        config.masker.masker_type, config.seed,
    )  # fmt: skip
    if stage is not None:
        return
    if training.init is not None and not done:
        LOG.info("weights to begin with: %s", training.init)
    elif steps < FEW_STEPS and not done:
        hint = "raise training.dataset_args.repeat_times or training.max_epochs"
        LOG.info("note: %d steps are few for a network that starts from nothing: %s", steps, hint)
