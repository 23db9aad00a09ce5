"""Initial weights from a checkpoint."""

import os
from pathlib import Path

from src.trainer.checkpoints.checkpoint import load_verified
from src.trainer.checkpoints.general import NAME, PATH
from src.trainer.network.network import Network
from src.util.errors import CheckpointError


def start_from(network: Network, init: str) -> None:
    """Load a checkpoint's weights into a network.

    Parameters
    ----------
    network : Network
        With the same layers.
    init : str
        `training.init`: a checkpoint's path, or `general`.

    Raises
    ------
    CheckpointError
        When there is no such checkpoint, or with the first layer that differs when it has another network.
    """
    path = PATH if init == NAME and not os.path.lexists(init) else Path(init)
    given = load_verified(path, network.device)["model_weights"]
    own = network.module.state_dict()
    for name in dict.fromkeys([*own, *given]):
        here, there = (str(list(w[name].shape)) if name in w else "none" for w in (own, given))
        if here != there:
            raise CheckpointError(
                f"training.init: {path}: another network: {name} has shape {there} there, {here} here"
            )
    network.module.load_state_dict(given)
