"""The general network, whose weights come with the program."""

import hashlib
from pathlib import Path

from src.util.errors import CheckpointError

NAME = "general"
"""Its name in `--pretrained` and `training.init`."""

PATH = Path(__file__).resolve().parents[2] / "model" / "general.safetensors"
SHA256 = "35c8f88033bc2b679357b8756a5a63ee5ea619b790573fbfa82fe49965862dae"
"""SHA-256 of the file at `PATH`; `docs/general.md` describes how it was made."""


def check_general() -> None:
    """Raise CheckpointError if the file is missing, or is not the one of this version."""
    if not PATH.is_file():
        raise CheckpointError(f"{PATH}: the general network is missing; install the program again")
    if hashlib.sha256(PATH.read_bytes()).hexdigest() != SHA256:
        raise CheckpointError(f"{PATH}: damaged (its SHA-256 is not the published one); install it again")
