"""Weights as safetensors, a format in which nothing can be executed: read as a checkpoint is."""

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from src.util.config.yaml_document import parse_yaml

_BEGIN = slice(8, 10)


def is_exported(path: Path) -> bool:
    """Whether a file begins as one of safetensors does: behind the length of its header, which is JSON."""
    with open(path, "rb") as file:
        return file.read(10)[_BEGIN] == b'{"'


def read_exported(path: Path, device: torch.device | str) -> dict[str, Any]:
    """What `src.trainer.inference.export` wrote, as the content of a checkpoint.

    Parameters
    ----------
    path : Path
        The file.
    device : torch.device or str
        Where the weights go; those of 16 bits become float32.

    Returns
    -------
    dict
        `epoch` and `model_weights`, and as far as the file says them `config` and `data_range`.

    Raises
    ------
    ValueError, ConfigError, SafetensorError
        When the file is damaged, or its text is none of ours.
    """
    with safe_open(path, "pt", device=str(device)) as file:
        about = file.metadata() or {}
        weights = {name: file.get_tensor(name) for name in file.keys()}
    half = (torch.float16, torch.bfloat16)
    weights = {name: value.float() if value.dtype in half else value for name, value in weights.items()}
    content: dict[str, Any] = {"epoch": int(about.get("epoch", 0)), "model_weights": weights}
    if "config" in about:
        content["config"] = parse_yaml(about["config"], str(path)).data
    if "white" in about:
        content["white"] = float(about["white"])
    return content
