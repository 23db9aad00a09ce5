"""Export a trained network as safetensors, a format that cannot hold code."""

from pathlib import Path

from safetensors.torch import save

from src.trainer.config.reading import to_yaml
from src.trainer.inference.trained import Trained
from src.util.atomic_file import write_atomically
from src.util.file_manager import expect_free
from src.util.logger import LOG


def export_weights(trained: Trained, path: Path, overwrite: bool = False) -> None:
    """Write the weights, with the configuration as metadata.

    Parameters
    ----------
    trained : Trained
        The network.
    path : Path
        A new file in an existing folder. Its metadata are texts: `config` (YAML), `epoch`, and `white`, the
        data range, if known.
    overwrite : bool
        Whether to replace an existing file.

    Raises
    ------
    ConfigError
        If the file exists and `overwrite` is not set.
    """
    if not overwrite:
        expect_free(path, "--export")
    weights = {name: value.cpu().contiguous() for name, value in trained.network.module.state_dict().items()}
    about = {"format": "pt", "config": to_yaml(trained.config), "epoch": str(trained.epoch)}
    if trained.data_range is not None:
        about["white"] = str(trained.data_range)
    data = save(weights, metadata=about)
    with write_atomically(path, size=len(data)) as file:
        file.write(data)
    LOG.info("exported %s: %d tensors, %s bytes", path, len(weights), f"{len(data):,}")
