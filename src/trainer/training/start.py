"""The weights that a training begins with, where they are those of another."""

import os
from pathlib import Path

from src.trainer.checkpoints.checkpoint import load_verified
from src.trainer.checkpoints.general import NAME, PATH
from src.trainer.network.network import Network
from src.util.errors import CheckpointError


def start_from(network: Network, init: str) -> None:
    """Put a checkpoint's weights into a network.

    Parameters
    ----------
    network : Network
        Of the same layers.
    init : str
        `training.init`: a checkpoint's path, or `general`.

    Raises
    ------
    CheckpointError
        When there is no such checkpoint, or it is of another network: the first layer that differs is named.
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
