"""Read exported weights. They are in safetensors, a format that cannot contain code."""

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from src.util.config.yaml_document import parse_yaml


def is_exported(path: Path) -> bool:
    """Whether a file begins like safetensors: 8 bytes for the length of the header, then JSON."""
    with open(path, "rb") as file:
        return file.read(10)[8:] == b'{"'


def read_exported(path: Path, device: torch.device | str) -> dict[str, Any]:
    """Read a file of `src.trainer.inference.export` as the content of a checkpoint.

    Parameters
    ----------
    path : Path
        The file to read.
    device : torch.device or str
        Device of the weights. 16-bit weights become float32.

    Returns
    -------
    dict
        `epoch`, `model_weights`, and, if they are in the file, `config` and `white`, the data range.

    Raises
    ------
    ValueError, ConfigError, SafetensorError
        If the file is damaged or its metadata cannot be parsed.
    """
    with safe_open(path, "pt", device=str(device)) as file:
        metadata = file.metadata() or {}
        weights = {name: file.get_tensor(name) for name in file.keys()}
    half = (torch.float16, torch.bfloat16)
    weights = {name: value.float() if value.dtype in half else value for name, value in weights.items()}
    content: dict[str, Any] = {"epoch": int(metadata.get("epoch", 0)), "model_weights": weights}
    if "config" in metadata:
        content["config"] = parse_yaml(metadata["config"], str(path)).data
    if "white" in metadata:
        content["white"] = float(metadata["white"])
    return content
