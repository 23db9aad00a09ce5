"""From YAML to a checked configuration: every key, name and argument, before anything is built."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
import yaml

from src.trainer.config.components import Component, check_components, laid_over, nested, with_settings
from src.trainer.config.names import find_config, named_run
from src.trainer.config.run_config import DEAD_ANYWHERE, DEAD_KEYS, FLAGS, RENAMED, RunConfig
from src.trainer.parallel.distributed import Processes
from src.util.config.schema import arguments, problem, validate
from src.util.config.yaml_document import Document, KeyPath, read_yaml, value_at, without
from src.util.errors import ConfigError
from src.util.file_manager import FileManager
from src.util.logger import LOG


def read_config(name: str | Sequence[str], settings: Sequence[str] = ()) -> RunConfig:
    """Read a configuration by its name in `configs/` (with or without `.yaml`) or by its path.

    Parameters
    ----------
    name : str or sequence of str
        Each of several overrides those before it.
    settings : sequence of str
        Overrides `KEY=VALUE`.

    Raises
    ------
    ConfigError
        When a file is missing, or with one line for each problem in them.
    """
    documents = [read_yaml(find_config(one)) for one in ([name] if isinstance(name, str) else name)]
    return check_config(with_settings(functools.reduce(laid_over, documents), settings))


def run_config(session: str, settings: Sequence[str]) -> RunConfig:
    """Read the configuration that a run was started with, and apply overrides."""
    files = named_run(session, settings)
    if not files.config_file.is_file():
        raise ConfigError(f"-s {session}: {files.folder} holds no run with a configuration; name one with -c")
    config = check_config(with_settings(read_yaml(files.config_file), settings))
    if config.output_folder.resolve() == files.folder.parent.resolve():
        return config
    return config.model_copy(update={"output_folder": files.folder.parent})  # the run was moved


def demo_config(first: FileManager, settings: Sequence[str]) -> RunConfig:
    """Read the configuration that a demo began with from its first run, and apply overrides."""
    stored = read_yaml(first.config_file)
    masker = read_config("demo").masker.model_dump(mode="json")  # the first run has the other method's
    own = {"masker": masker, "output_folder": str(first.folder.parent)}
    return check_config(with_settings(Document(stored.data | own, stored.places, stored.name), settings))


def agreed_config(processes: Processes, read: Callable[[], RunConfig]) -> RunConfig:
    """Return the configuration that the first process reads; files on other machines may differ."""
    if processes.alone:
        return read()
    text = processes.broadcast(to_yaml(read()) if processes.first else None)
    return check_config(Document(yaml.safe_load(text), {}, "the first process"))


def check_config(document: Document) -> RunConfig:
    """Check a document and fill in every default.

    Parameters
    ----------
    document : Document
        From a YAML file or a checkpoint.

    Returns
    -------
    RunConfig
        With all arguments of its components.

    Raises
    ------
    ConfigError
        With one line for each problem in the document.
    """
    document, problems = _without_dead_keys(nested(document))
    config, found = validate(RunConfig, document.data, document)
    problems += found
    components, found = check_components(document)
    problems += found + _cross_checks(components, document)
    if problems or config is None:
        raise ConfigError(problems)
    complete = config.model_dump()
    for path, component in components.items():
        if component.named:
            value_at(complete, path[:-1])[path[-1]] = component.arguments
    return RunConfig.model_validate(complete)


def to_yaml(config: RunConfig) -> str:
    """Return the complete configuration as YAML that loads to an equal one."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, default_flow_style=None, width=100)


def _without_dead_keys(document: Document) -> tuple[Document, list[str]]:
    """Drop keys of the original that have no effect, with one warning; refuse keys that belong elsewhere."""
    dropped: dict[KeyPath, str] = {}
    problems: dict[KeyPath, str] = {}

    def look(block: dict[str, Any], above: tuple[str, ...]) -> None:
        for key, value in block.items():
            path = (*above, key)
            if reason := DEAD_KEYS.get(path) or DEAD_ANYWHERE.get(key):
                dropped[path] = f"{'.'.join(path)} ({reason})"
            elif path in RENAMED:
                problems[path] = problem(path, f"unknown key; its name is {RENAMED[path]}", document)
            elif not above and key in FLAGS:
                problems[path] = problem(path, f"is no key; use the command line flag {FLAGS[key]}", document)
            elif isinstance(value, dict):
                look(value, path)

    look(document.data, ())
    if dropped:
        LOG.warning("%s: keys without effect: %s", document.name, "; ".join(dropped.values()))
    return without(document, [*dropped, *problems]), list(problems.values())


def _cross_checks(components: dict[KeyPath, Component], document: Document) -> list[str]:
    """Return problems of keys together: build each component on the meta device, and check the crop size."""
    problems: list[str] = []

    def attempt(path: KeyPath, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except ValueError as error:
            key, _, message = str(error).partition(": ")
            problems.append(problem((*path, key), message, document))
        except (OverflowError, RuntimeError, TypeError) as error:  # from sizes that no tensor can have
            if "overflow" not in str(error).lower():
                raise
            problems.append(problem(path, "one of its sizes is too large for any network", document))

    made: dict[KeyPath, Any] = {}
    for path, component in components.items():
        if component.sound:
            values = arguments(component.arguments, *component.makers)
            maker = component.makers[-1]  # for a dataset only the view: images are checked later
            values = {name: values[name] for name in inspect.signature(maker).parameters}
            with torch.device("meta"):
                made[path] = attempt(path, functools.partial(maker, **values))
    masker, view = made.get(("masker", "masker_args")), made.get(("training", "dataset_args"))
    if masker is not None and view is not None and view.crop is not None:
        attempt(("masker", "masker_args"), functools.partial(masker.check_size, *view.crop))
    return problems
