"""When something is to be done: the last step, a validation, a checkpoint."""

from src.trainer.checkpoints.state import TrainingState
from src.trainer.config.run_config import RunConfig


def last_step(config: RunConfig, state: TrainingState, batches: int) -> int:
    """Number of the training's last step; an epoch has so many batches from here on."""
    left = (config.training.max_epochs - state.epoch) * batches - min(state.batch, batches)
    return state.step + max(0, left)


def validation_is_due(config: RunConfig, epoch: int) -> bool:
    """By `validation.val`, `start_epoch` and `interval_epoch`; the last epoch always."""
    block = config.validation
    last = epoch == config.training.max_epochs
    return block.val and (last or is_due(epoch, block.start_epoch, block.interval_epoch))


def validation_is_missing(config: RunConfig, state: TrainingState) -> bool:
    """Whether the latest epoch should have been validated, but the run was stopped before.

    Only as long as the weights are that epoch's: a run that was stopped inside the next one has others.
    """
    at_its_end = state.epoch > 0 and state.batch == 0
    return at_its_end and state.validated_epoch < state.epoch and validation_is_due(config, state.epoch)


def is_due(epoch: int, start: int, interval: int) -> bool:
    """Whether an epoch is the first one, or a multiple of the interval later."""
    return epoch >= start and (epoch - start) % interval == 0
