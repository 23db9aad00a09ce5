"""Find the configuration or run that the flags name, without imports that take seconds."""

import functools
import os
from collections.abc import Sequence
from pathlib import Path

from src.trainer.checkpoints.general import NAME, PATH
from src.util.config.schema import Block, nearest, validate
from src.util.config.yaml_document import Document, overlay, override, read_yaml
from src.util.errors import CheckpointError, ConfigError
from src.util.file_manager import FileManager, expect_free

CONFIGS = Path(__file__).resolve().parents[3] / "configs"


class OutputBlock(Block):
    """The folder of all runs."""

    output_folder: Path = Path("output")
    """Folder that holds the runs."""


def find_config(name: str) -> Path:
    """Return the file of a configuration.

    Parameters
    ----------
    name : str
        A name in `configs/`, with or without `.yaml`, or a path.

    Raises
    ------
    ConfigError
        When there is no such file.
    """
    path = Path(name)
    candidates = [path] if path.name != name or path.suffix else []
    if path.name == name:
        stem = name.removesuffix(".yaml")
        candidates += [CONFIGS / name, CONFIGS / f"{stem}.yaml"]
    for candidate in candidates:
        if os.path.isfile(candidate):  # Path.is_file raises for invalid file names
            return candidate
    known = sorted(file.stem for file in CONFIGS.glob("*.yaml"))
    raise ConfigError(f"-c {name}: there is no such configuration{nearest(name, known)}")


def named_run(session: str, settings: Sequence[str], configs: Sequence[str] | None = None) -> FileManager:
    """Return a run by its name.

    Parameters
    ----------
    session : str
        The run's folder in the output folder.
    settings : sequence of str
        Overrides `KEY=VALUE`, which may set another output folder.
    configs : sequence of str, optional
        Names or paths of configurations, which may set another one, too.

    Raises
    ------
    ConfigError
        When a name is invalid, or there is no such configuration.
    """
    document = _document(configs, settings)
    given = {key: value for key, value in document.data.items() if key in OutputBlock.model_fields}
    block, problems = validate(OutputBlock, given, document)
    if block is None:
        raise ConfigError(problems)
    return FileManager(block.output_folder, session)


def _document(configs: Sequence[str] | None, settings: Sequence[str]) -> Document:
    documents = [read_yaml(find_config(name)) for name in configs or ()]
    return override(functools.reduce(overlay, documents or [Document({}, {}, "")]), settings)


def demo_runs(output_folder: Path, name: str) -> dict[str, FileManager]:
    """Return the runs of a demo by method, in the order of their training."""
    names = {"N2V": f"{name}_n2v", "NL-N2V": f"{name}_nl_n2v", "adapted": f"{name}_adapted"}
    return {method: FileManager(output_folder, run) for method, run in names.items()}


def begun_demo(name: str, settings: Sequence[str]) -> FileManager | None:
    """Return the first run of a demo of this name; None if there is none, or the name belongs to a run."""
    run = named_run(name, settings)
    first = demo_runs(run.folder.parent, name)["N2V"]
    return first if first.config_file.is_file() and not run.folder.is_dir() else None


def find_checkpoint(run: FileManager | None, epoch: int | None, pretrained: str | None) -> Path | None:
    """Return the file of a checkpoint, without opening it.

    Parameters
    ----------
    run : FileManager or None
        The run that the flags name.
    epoch : int or None
        Epoch of the checkpoint in that run.
    pretrained : str or None
        A checkpoint's path, its name in the run, or `general`; overrides `epoch`.

    Returns
    -------
    Path or None
        None for the newest checkpoint of the run, which its manifest lists; the file of the general network
        if all arguments are None.

    Raises
    ------
    CheckpointError
        When there is no such file.
    """
    if pretrained is None and run is None:
        pretrained = NAME
    if run is not None and pretrained is None and epoch is None:
        if not run.folder.is_dir():
            raise CheckpointError(f"-s {run.run_name}: there is no run {run.folder}")
        return None
    if pretrained is not None:
        path = (run.find_checkpoint(pretrained) if run else None) or Path(pretrained)
        if pretrained == NAME and not os.path.lexists(path):
            path = PATH
    else:
        assert run is not None and epoch is not None
        path = run.checkpoint_file(epoch)
    if not os.path.lexists(path):
        raise CheckpointError(f"{path}: there is no such checkpoint")
    return path


def check_training_names(
    configs: Sequence[str] | None, session: str | None, settings: Sequence[str], begins: bool, resume: bool
) -> None:
    """Check the names that the flags of `main.py` give, in the first process.

    Parameters
    ----------
    configs, session, settings
        See `named_run`.
    begins : bool
        Whether a training begins: its run must not exist.
    resume : bool
        Whether a training is resumed: its run must exist.

    Raises
    ------
    ConfigError, RunExistsError
        When a name is invalid, or what it names is missing or already exists.
    """
    if os.environ.get("RANK", "0") != "0":  # only the first process reads configurations
        return
    if session is None:
        _document(configs, settings)
        return
    run = named_run(session, settings, configs)
    if resume and (configs is not None or begun_demo(session, settings) is None):
        run.expect_run()
    elif begins and configs and "RANK" not in os.environ:  # torchrun may restart a run
        run.expect_free()


def check_image_name(path: Path, flag: str) -> None:
    """Raise ConfigError when the PNG that a flag names has another ending, exists, or has no folder."""
    if path.suffix.lower() != ".png":
        raise ConfigError(f"{flag} {path}: expected the name of a PNG to write, such as noise.png")
    if os.environ.get("RANK", "0") != "0":  # the first process may have written it by now
        return
    expect_free(path, flag, "remove it, or choose another name")
    if not path.parent.is_dir():
        raise ConfigError(f"{flag} {path}: there is no folder {path.parent}; make it first")


def expect_network(
    configs: Sequence[str] | str | None, session: str | None, epoch: int | None, pretrained: str | None
) -> None:
    """Raise ConfigError when the flags name a configuration or an epoch, but no network."""
    if session is None and pretrained is None and (configs or epoch is not None):
        raise ConfigError("name a network: --pretrained CKPT (a .pth file) or -s RUN (its newest one)")


def check_testing_names(
    configs: Sequence[str] | None, session: str | None, settings: Sequence[str],
    epoch: int | None, pretrained: str | None,
) -> None:  # fmt: skip
    """Check the names that the flags of `test.py` give; see `expect_network` and `find_checkpoint`."""
    expect_network(configs, session, epoch, pretrained)
    _document(configs, settings)
    run = None if session is None else named_run(session, settings, configs)
    find_checkpoint(run, epoch, pretrained)
