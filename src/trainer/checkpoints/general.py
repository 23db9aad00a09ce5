"""The general network, whose weights come with the program."""

import hashlib
from pathlib import Path

from src.util.errors import CheckpointError

NAME = "general"
"""By which `--pretrained` and `training.init` ask for it."""

PATH = Path(__file__).resolve().parents[2] / "model" / "general.safetensors"
SHA256 = "ee1fe1ec3043cca7a2e6a45f1b531496ce3107e46d9f71207ced2f21e49a00d9"
"""Of that file; `docs/general.md` says how it was made."""


def check_general() -> None:
    """Raise CheckpointError when the file is not, bit for bit, the one that belongs to this version."""
    if not PATH.is_file():
        raise CheckpointError(f"{PATH}: the general network is missing; install the program again")
    if hashlib.sha256(PATH.read_bytes()).hexdigest() != SHA256:
        raise CheckpointError(f"{PATH}: damaged (its SHA-256 is not the published one); install it again")
