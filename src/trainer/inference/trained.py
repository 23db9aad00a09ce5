"""Load a trained network from a checkpoint and its configuration."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from src.masker import NonLocalMasker
from src.trainer.checkpoints.checkpoint import CheckpointStore, load_verified
from src.trainer.config.build import build_masker, build_model, outline
from src.trainer.config.components import with_settings
from src.trainer.config.names import expect_network, find_checkpoint, named_run
from src.trainer.config.reading import check_config, read_config
from src.trainer.config.run_config import RunConfig
from src.trainer.finish import Parts
from src.trainer.network.masked import Masked
from src.trainer.network.network import Network
from src.trainer.network.whole_image import WholeImage
from src.trainer.objective import OBJECTIVES
from src.util.config.yaml_document import Document, override, read_yaml
from src.util.device import computes_bf16
from src.util.errors import CheckpointError, ConfigError
from src.util.file_manager import FileManager, run_around
from src.util.logger import LOG


@dataclass(frozen=True)
class Trained:
    """A loaded checkpoint.

    Parameters
    ----------
    path : Path
        The checkpoint's file.
    epoch : int
        Number of epochs it was trained for.
    config : RunConfig
        The given configuration, or the checkpoint's own.
    network : Network
        The network with its weights.
    run : FileManager or None
        The run that was named, or in whose folder the checkpoint lies. None if another output folder was
        given, or there is no run.
    data_range : float or None
        Data range of the training images; None if the checkpoint does not contain it.
    masked : Masked or None
        Denoises whole images with hidden pixels; None to use the network directly.
    """

    path: Path
    epoch: int
    config: RunConfig
    network: Network
    run: FileManager | None
    data_range: float | None = None
    masked: Masked | None = None

    @property
    def whole(self) -> WholeImage:
        """The way to denoise whole images: `masked`, or the network directly."""
        return self.masked or self.network

    def with_masked(self) -> "Trained":
        """Return a copy that hides the pixels that the network predicts.

        Raises
        ------
        ConfigError
            If the network was not trained with hidden regions.
        """
        objective = self.config.training.objective
        if not OBJECTIVES[objective].hides:
            raise ConfigError(
                f"--masked: {self.path} was trained with `objective: {objective}`, which hides nothing from"
                " it: leave --masked out"
            )
        masker = build_masker(self.config)
        if not isinstance(masker, NonLocalMasker):
            raise ConfigError(
                f"--masked: {self.path} was trained with `masker_type: {self.config.masker.masker_type}`,"
                " which hides no regions (Masker does): leave --masked out"
            )
        return replace(self, masked=Masked(self.network, masker))

    def with_finish(self, parts: Parts | None, strength: float | None) -> "Trained":
        """Return a copy with another finish; see `Finish.chosen`."""
        test = self.config.test.model_copy(update={"finish": self.config.test.finish.chosen(parts, strength)})
        return replace(self, config=self.config.model_copy(update={"test": test}))


def load_trained(
    device: torch.device, settings: Sequence[str], config: str | Sequence[str] | None, session: str | None,
    epoch: int | None, pretrained: str | None,
) -> Trained:  # fmt: skip
    """Find a checkpoint and build its network.

    Parameters
    ----------
    device : torch.device
        Device of the network.
    settings : sequence of str
        Overrides `KEY=VALUE` of the configuration.
    config : str, sequence of str or None
        Names or paths of configurations, see `read_config`. None takes the checkpoint's own.
    session : str or None
        Name of a run.
    epoch : int or None
        Epoch of a checkpoint of that run. None takes its newest. Ignored if `pretrained` is given.
    pretrained : str or None
        A checkpoint's path, its name in the run, or `general`, which is the default without a run.

    Raises
    ------
    CheckpointError
        If there is no such checkpoint, or it does not fit the network of the configuration.
    """
    expect_network(config, session, epoch, pretrained)
    given = None if config is None else read_config(config, settings)
    run = None
    if session is not None:
        run = FileManager(given.output_folder, session) if given else named_run(session, settings)
    path, content = _checkpoint(run, find_checkpoint(run, epoch, pretrained), device)
    if given is None:
        given = _own_config(path, content, run, settings)
        if run is None and "output_folder" not in override(Document({}, {}, ""), settings).data:
            run = run_around(path)
    try:
        # Checked before memory is allocated: a small configuration can describe a network of any size.
        outline(given).load_state_dict(content["model_weights"], assign=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise CheckpointError(f"{path}: does not fit the configuration's network: {reason}") from None
    network = build_model(given, device)
    if network.precision == "bf16" and not computes_bf16(device):
        network.precision = "fp32"
    network.module.load_state_dict(content["model_weights"])
    LOG.info("checkpoint %s, after epoch %d", path, content["epoch"])
    data_range = content.get("white")
    if not isinstance(data_range, int | float | None):
        raise CheckpointError(f"{path}: expected 'white' to be a number, got {data_range!r:.60}")
    return Trained(
        path, content["epoch"], given, network, run, None if data_range is None else float(data_range)
    )


def _checkpoint(
    run: FileManager | None, path: Path | None, device: torch.device
) -> tuple[Path, dict[str, Any]]:
    if path is not None:
        return path, load_verified(path, device)
    assert run is not None
    return CheckpointStore(run).newest(device)


def _own_config(
    path: Path, content: dict[str, Any], run: FileManager | None, settings: Sequence[str]
) -> RunConfig:
    if isinstance(content.get("config"), dict):
        # A checkpoint may come from elsewhere: its output folder must not decide where to write.
        data = {key: value for key, value in content["config"].items() if key != "output_folder"}
        document = Document(data, {}, f"configuration in {path}")
    elif run is not None and run.config_file.is_file():
        document = read_yaml(run.config_file)
    else:
        raise ConfigError(f"{path}: carries no configuration (as the original's); give one with -c")
    return check_config(with_settings(document, settings))
