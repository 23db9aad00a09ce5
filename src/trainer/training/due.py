"""When to validate, save and end."""

from src.trainer.checkpoints.state import TrainingState
from src.trainer.config.run_config import RunConfig


def last_step(config: RunConfig, state: TrainingState, batches: int) -> int:
    """Return the number of the training's last step, with `batches` in each epoch from now on."""
    left = (config.training.max_epochs - state.epoch) * batches - min(state.batch, batches)
    return state.step + max(0, left)


def validation_is_due(config: RunConfig, epoch: int) -> bool:
    """Return whether an epoch ends with a validation; the last one does whenever `validation.val` is true."""
    block = config.validation
    last = epoch == config.training.max_epochs
    return block.val and (last or is_due(epoch, block.start_epoch, block.interval_epoch))


def validation_is_missing(config: RunConfig, state: TrainingState) -> bool:
    """Return whether a run was stopped between its latest epoch and that epoch's validation.

    A run that was stopped inside the next epoch cannot make up for it: its weights have changed.
    """
    at_its_end = state.epoch > 0 and state.batch == 0
    return at_its_end and state.validated_epoch < state.epoch and validation_is_due(config, state.epoch)


def is_due(epoch: int, start: int, interval: int) -> bool:
    """Return whether an epoch is the first one, or a multiple of the interval later."""
    return epoch >= start and (epoch - start) % interval == 0
