"""Which run, and with which configuration: by its name, from its folder, or as the first process reads it."""

from collections.abc import Callable, Sequence

import yaml

from src.trainer.config.reading import check_config, to_yaml
from src.trainer.config.run_config import RunConfig
from src.trainer.parallel.distributed import Processes
from src.util.config.schema import validate
from src.util.config.yaml_document import Document, override, read_yaml
from src.util.errors import ConfigError
from src.util.file_manager import FileManager


def named_run(session: str, settings: Sequence[str]) -> FileManager:
    """A run by its name alone: in the default output folder, or that of an override."""
    document = override(Document({}, {}, ""), settings)
    folder = {key: value for key, value in document.data.items() if key == "output_folder"}
    config, problems = validate(RunConfig, folder, document)
    if config is None:
        raise ConfigError(problems)
    return FileManager(config.output_folder, session)


def run_config(session: str, settings: Sequence[str]) -> RunConfig:
    """The configuration that a run was started with, and overrides."""
    files = named_run(session, settings)
    if not files.config_file.is_file():
        raise ConfigError(f"-s {session}: {files.folder} holds no run with a configuration; say which by -c")
    config = check_config(override(read_yaml(files.config_file), settings))
    if config.output_folder.resolve() == files.folder.parent.resolve():
        return config
    return config.model_copy(update={"output_folder": files.folder.parent})  # the run was moved


def agreed_config(processes: Processes, read: Callable[[], RunConfig]) -> RunConfig:
    """The configuration as the first process reads it: files on other machines may differ, or be missing."""
    if processes.alone:
        return read()
    text = processes.of_first(to_yaml(read()) if processes.first else None)
    return check_config(Document(yaml.safe_load(text), {}, "the first process"))
