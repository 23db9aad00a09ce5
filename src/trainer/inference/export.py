"""A trained network as safetensors, a format in which nothing can be executed."""

from pathlib import Path

from safetensors.torch import save

from src.trainer.config.reading import to_yaml
from src.trainer.inference.trained import Trained
from src.util.atomic_file import write_atomically
from src.util.file_manager import expect_free
from src.util.logger import LOG


def export_weights(trained: Trained, path: Path, overwrite: bool = False) -> None:
    """Write the weights, and as metadata what is needed to use them.

    Parameters
    ----------
    trained : Trained
        The network.
    path : Path
        A new file in an existing folder. Its metadata, all text: `config` (YAML), `epoch`, and `white`, the
        data range, where it is known.
    overwrite : bool
        Whether a file that is there is replaced.

    Raises
    ------
    ConfigError
        When there is a file already.
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
