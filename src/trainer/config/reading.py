"""From YAML to a checked configuration: every key, every name, every argument, before anything is made."""

import functools
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml

from src.data_handlers import DATASETS
from src.data_handlers.samples.view import View
from src.masker import MASKERS
from src.model import MODELS
from src.trainer.config.run_config import DEAD_ANYWHERE, DEAD_KEYS, FLAGS, RunConfig
from src.util.config.schema import Block, arguments, arguments_model, nearest, problem, validate
from src.util.config.yaml_document import Document, KeyPath, overlay, override, read_yaml
from src.util.errors import ConfigError
from src.util.logger import LOG

CONFIGS = Path(__file__).resolve().parents[3] / "configs"

# Where a component is named, where its arguments stand, and where its name is looked up.
_COMPONENTS: tuple[tuple[str, str, str, Mapping[str, Callable[..., Any]]], ...] = (
    ("model", "type", "kwargs", MODELS),
    ("training", "masker_type", "masker_args", MASKERS),
    ("training", "dataset", "dataset_args", DATASETS),
    ("validation", "dataset", "dataset_args", DATASETS),
    ("test", "dataset", "dataset_args", DATASETS),
)
# What the dataset of an earlier part is told besides, when its pictures are scored.
FOR_SCORING = {"augmentations": None}


class _Component(NamedTuple):
    """What makes a component, with all its arguments; `named` unless it is the dataset of an earlier part."""

    makers: tuple[Callable[..., Any], ...]
    arguments: dict[str, Any]
    named: bool
    sound: bool


def read_config(name: str | Sequence[str], settings: Sequence[str] = ()) -> RunConfig:
    """Read a configuration by its name in `configs/` (with or without `.yaml`) or by its path.

    Parameters
    ----------
    name : str or sequence of str
        Of several, each is laid over those before it.
    settings : sequence of str
        Overrides `KEY=VALUE`.

    Raises
    ------
    ConfigError
        When there is no such file, or it has problems: all of them, a line each.
    """
    documents = [_found(one) for one in ([name] if isinstance(name, str) else name)]
    return check_config(override(functools.reduce(overlay, documents), settings))


def check_config(document: Document) -> RunConfig:
    """Check a document and fill in every default.

    Parameters
    ----------
    document : Document
        Of a YAML file or of a checkpoint.

    Returns
    -------
    RunConfig
        With the components' arguments complete.

    Raises
    ------
    ConfigError
        With all problems of the document, a line each.
    """
    data, problems = _without_dead_keys(document)
    config, found = validate(RunConfig, data, document)
    problems += found
    components, found = _components(data, document)
    problems += found + _cross_checks(components, document)
    if problems or config is None:
        raise ConfigError(problems)
    for path, component in components.items():
        if component.named:
            config = _replaced(config, path, component.arguments)
    return config


def to_yaml(config: RunConfig) -> str:
    """The resolved configuration as YAML that loads to the same."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, default_flow_style=None, width=100)


def _found(name: str) -> Document:
    path = Path(name)
    candidates = [path] if path.name != name or path.suffix else []
    if path.name == name:
        candidates += [CONFIGS / name, CONFIGS / f"{name}.yaml"]
    for candidate in candidates:
        if os.path.isfile(candidate):  # False, unlike Path's, for what cannot be a file's name
            return read_yaml(candidate)
    known = sorted(file.stem for file in CONFIGS.glob("*.yaml"))
    raise ConfigError(f"-c {name}: there is no such configuration{nearest(name, known)}")


def _without_dead_keys(document: Document) -> tuple[dict[str, Any], list[str]]:
    """Drop keys of the original that mean nothing, with one warning; refuse flags with a hint."""
    dropped: list[str] = []

    def clean(block: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
        kept = {}
        for key, value in block.items():
            reason = DEAD_KEYS.get((*path, key)) or DEAD_ANYWHERE.get(key)
            if reason:
                dropped.append(f"{'.'.join((*path, key))} ({reason})")
            else:
                kept[key] = clean(value, (*path, key)) if isinstance(value, dict) else value
        return kept

    data = clean(document.data, ())
    if dropped:
        LOG.warning("%s: keys without effect: %s", document.name, "; ".join(dropped))
    flags = [key for key in data if key in FLAGS]
    problems = [problem((key,), f"is said on the command line, by {FLAGS[key]}", document) for key in flags]
    return {key: value for key, value in data.items() if key not in flags}, problems


def _components(data: dict[str, Any], document: Document) -> tuple[dict[KeyPath, _Component], list[str]]:
    """The components, by where their arguments stand, and what is wrong with these."""
    components: dict[KeyPath, _Component] = {}
    problems: list[str] = []
    dataset: _Component | None = None  # the latest, for a part that names none
    for block, key, arguments_key, registry in _COMPONENTS:
        name = _get(data, (block, key), getattr(getattr(RunConfig(), block), key))
        if isinstance(name, str) and name not in registry:
            problems.append(problem((block, key), f"no '{name}' is known{nearest(name, registry)}", document))
            dataset = None
            continue
        path = (block, arguments_key)
        given = _get(data, path, None)
        own = given if isinstance(given, dict) else {}
        if isinstance(name, str):
            makers = (registry[name], View) if registry is DATASETS else (registry[name],)
            own, checked, found = _known(arguments_model(*makers), own, document, path)
            complete = own if checked is None else checked.model_dump(mode="json")
            component = _Component(makers, complete, named=True, sound=checked is not None)
        elif name is None and registry is DATASETS and dataset is not None:
            schema = arguments_model(*dataset.makers, partial=True)
            own, checked, found = _known(schema, own, document, path)
            complete, sound = dataset.arguments | FOR_SCORING | own, dataset.sound and checked is not None
            component = _Component(dataset.makers, complete, named=False, sound=sound)
        else:
            continue
        problems += found
        components[path] = component
        dataset = component if registry is DATASETS else None
    return components, problems


def _known(
    schema: type[Block], own: dict[str, Any], document: Document, path: KeyPath
) -> tuple[dict[str, Any], Block | None, list[str]]:
    """A block's known keys, checked, and what is wrong with all: an unknown key hides no other mistake."""
    checked, problems = validate(schema, own, document, path)
    known = {key: value for key, value in own.items() if key in schema.model_fields}
    return known, checked or validate(schema, known, document, path)[0], problems


def _cross_checks(components: dict[KeyPath, _Component], document: Document) -> list[str]:
    """What single keys cannot tell: components are made once, on no device, and the crop is tried on them."""
    problems: list[str] = []

    def attempt(path: KeyPath, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except ValueError as error:
            key, _, message = str(error).partition(": ")
            problems.append(problem((*path, key), message, document))
        except (OverflowError, RuntimeError, TypeError) as error:  # of sizes beyond what a tensor can have
            if "overflow" not in str(error).lower():
                raise
            problems.append(problem(path, "one of its sizes is too large for any network", document))

    made: dict[KeyPath, Any] = {}
    for path, component in components.items():
        if component.sound:
            values = arguments(component.arguments, *component.makers)
            maker = component.makers[-1]  # of a dataset only the view: its pictures are looked at later
            values = {name: values[name] for name in inspect.signature(maker).parameters}
            with torch.device("meta"):
                made[path] = attempt(path, functools.partial(maker, **values))
    masker, view = made.get(("training", "masker_args")), made.get(("training", "dataset_args"))
    if masker is not None and view is not None and view.crop is not None:
        attempt(("training", "masker_args"), functools.partial(masker.check_size, *view.crop))
    return problems


def _get(data: dict[str, Any], path: KeyPath, default: Any) -> Any:
    value: Any = data
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return default
        value = value[key]
    return value


def _replaced(config: RunConfig, path: KeyPath, arguments: dict[str, Any]) -> RunConfig:
    block_name, key = map(str, path)
    block = getattr(config, block_name).model_copy(update={key: arguments})
    return config.model_copy(update={block_name: block})
