"""Restore a run from its newest checkpoint."""

from typing import Any

import torch

from src.trainer.checkpoints.checkpoint import CheckpointStore
from src.trainer.checkpoints.environment import changes_of_environment, environment
from src.trainer.checkpoints.state import TrainingState
from src.trainer.config.reading import check_config
from src.trainer.config.run_config import RunConfig
from src.trainer.network.network import Network
from src.trainer.optim import WeightMean
from src.trainer.parallel.distributed import Processes
from src.util.config.yaml_document import Document
from src.util.errors import CheckpointError
from src.util.logger import LOG
from src.util.memory import is_out_of_memory


def restore_newest(
    config: RunConfig, network: Network, optimizer: torch.optim.Optimizer, mean: WeightMean | None,
    store: CheckpointStore, processes: Processes,
) -> TrainingState | None:  # fmt: skip
    """Load the newest whole checkpoint, which the first process reads for all; None if nothing was saved.

    Raises
    ------
    CheckpointError
        When no checkpoint is whole, or it has another network or an unknown layout.
    """
    found = None if not processes.first or store.is_empty() else store.newest(network.device)
    found = processes.broadcast(found and (str(found[0]), found[1]), network.device)
    if found is None:
        return None
    path, content = found
    try:
        state = _restore(config, network, optimizer, mean, content, processes)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        raise CheckpointError(f"-r: {path}: its training state has an unknown layout ({error})") from None
    LOG.info("resumed %s after epoch %d, step %d", path, state.epoch, state.step)
    return state


def _restore(
    config: RunConfig, network: Network, optimizer: torch.optim.Optimizer, mean: WeightMean | None,
    content: dict[str, Any], processes: Processes,
) -> TrainingState:  # fmt: skip
    """Load a checkpoint into network and optimiser; refuse another network, and warn of other changes."""
    if "state" not in content:
        raise CheckpointError("-r: this checkpoint has no training state; only runs of this program resume")
    before = _flat(check_config(Document(content["config"], {}, "the checkpoint")).model_dump(mode="json"))
    now = _flat(config.model_dump(mode="json"))
    # Keys that only `before` has belong to a type that has changed, and the type itself is listed.
    changes = [
        f"{key}: {before[key]} -> {value}" if key in before else f"{key}: {value}"
        for key, value in sorted(now.items())
        if key not in before or before[key] != value
    ]
    if any(change.startswith("model.") for change in changes):
        listed = "; ".join(change for change in changes if change.startswith("model."))
        raise CheckpointError(f"-r: the checkpoint is of another network ({listed}); start a new run for it")
    if changes:
        LOG.warning("resumed with changed settings: %s", "; ".join(changes))
    now_here = environment(network.device, processes.count)
    if other := changes_of_environment(content.get("environment", {}), now_here):
        LOG.warning("resumed with %s: the last digits may differ from those of an unbroken run", other)
    network.module.load_state_dict(content.get("raw_weights", content["model_weights"]))
    if mean is not None:
        mean.load_state_dict(content["model_weights"])
    _restore_moments(optimizer, content["optimizer_weights"])
    state = TrainingState.from_plain(content["state"])
    if any(change.startswith(("training.loss:", "training.tmp_info:")) for change in changes):
        state.recent.clear()  # they have other terms
    # A changed batch size: skip as many images of a broken epoch as were seen.
    state.batch = state.batch * before["training.batch_size"] // config.training.batch_size
    return state


def _restore_moments(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Restore the optimiser's moments, but keep its settings: the configuration may have changed them."""
    groups = [
        own | {key: before[key] for key in ("params", "lr")}  # the rate is set before each step
        for own, before in zip(optimizer.param_groups, saved["param_groups"], strict=True)
    ]
    optimizer.load_state_dict({**saved, "param_groups": groups})


def _flat(block: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in block.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
