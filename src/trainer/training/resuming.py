"""What a resumed run takes from its newest checkpoint."""

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


def newest(
    store: CheckpointStore, device: torch.device, processes: Processes
) -> tuple[str, dict[str, Any]] | None:
    """The newest whole checkpoint, read by the first process for all; None where nothing was saved."""
    found: tuple[str, dict[str, Any]] | None = None
    if processes.first and not store.is_empty():
        path, content = store.newest(device)
        found = str(path), content
    agreed: tuple[str, dict[str, Any]] | None = processes.broadcast(found, device)
    return agreed


def restore(
    config: RunConfig, network: Network, optimizer: torch.optim.Optimizer, mean: WeightMean | None,
    content: dict[str, Any], processes: Processes,
) -> TrainingState:  # fmt: skip
    """Put a checkpoint into network and optimiser; a changed network is refused, other changes are said."""
    if "state" not in content:
        raise CheckpointError("-r: this checkpoint has no training state; only runs of this program resume")
    before = _flat(check_config(Document(content["config"], {}, "the checkpoint")).model_dump(mode="json"))
    now = _flat(config.model_dump(mode="json"))
    # What only the configuration before has were arguments of a type that is now another, which is listed.
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
        state.recent.clear()  # of other terms
    # Of an epoch that was left inside, as many images are passed over as were seen.
    state.batch = state.batch * before["training.batch_size"] // config.training.batch_size
    return state


def _restore_moments(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """What the optimiser has seen; its settings are the configuration's, which may be others by now."""
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
