"""The parts of a configuration that have a type: network, masker, datasets, optimiser, scheduler.

Each type stands for a constructor, whose signature is the schema of the type's arguments.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from src.data_handlers import DATASETS
from src.data_handlers.samples.view import View
from src.masker import MASKERS
from src.model import MODELS, NETWORKS
from src.trainer.config.run_config import RunConfig
from src.trainer.optim import OPTIMIZERS, SCHEDULERS
from src.util.config.schema import Block, arguments_model, nearest, problem, validate
from src.util.config.yaml_document import Document, KeyPath, moved, overlay, override, value_at, without
from src.util.errors import ConfigError
from src.util.logger import LOG

# Arguments that override those of an earlier part's dataset when its images are scored.
FOR_SCORING = {"augmentations": None}


class Kind(NamedTuple):
    """A part of the configuration that has a type.

    Attributes
    ----------
    type_key : key path
        Key of the type.
    arguments_key : key path
        Key of the arguments; None in it stands for the type's name: `optimizer: {type: Adam, Adam: {...}}`.
    choices : mapping
        The constructor of each type.
    """

    type_key: KeyPath
    arguments_key: tuple[str | None, ...]
    choices: Mapping[str, Callable[..., Any]]

    @property
    def is_dataset(self) -> bool:
        """Whether it is a dataset, which a part without one takes from the part before it."""
        return self.choices is DATASETS

    def type_in(self, data: dict[str, Any]) -> Any:
        """Return the type that is written in `data`, or the default."""
        default = value_at(RunConfig().model_dump(), self.type_key)
        return value_at(data, self.type_key, default)

    def arguments_path(self, chosen: str) -> KeyPath:
        """Return the key path of a type's arguments."""
        return tuple(chosen if key is None else key for key in self.arguments_key)

    def makers(self, chosen: str) -> tuple[Callable[..., Any], ...]:
        """Return what takes a type's arguments: the constructor and, for a dataset, the view."""
        return (self.choices[chosen], View) if self.is_dataset else (self.choices[chosen],)


KINDS = (
    Kind(("model", "type"), ("model", "kwargs"), MODELS),
    Kind(("masker", "masker_type"), ("masker", "masker_args"), MASKERS),
    Kind(("training", "dataset"), ("training", "dataset_args"), DATASETS),
    Kind(("validation", "dataset"), ("validation", "dataset_args"), DATASETS),
    Kind(("test", "dataset"), ("test", "dataset_args"), DATASETS),
    Kind(("training", "optimizer", "type"), ("training", "optimizer", None), OPTIMIZERS),
    Kind(("training", "scheduler", "type"), ("training", "scheduler", None), SCHEDULERS),
)
# The network inside `NL_BSN` shares that block, and sets the defaults of some arguments in it.
_NETWORK = Kind(("model", "kwargs", "bsn"), ("model", "kwargs"), NETWORKS)


class Component(NamedTuple):
    """The constructors of a component, with all arguments.

    Attributes
    ----------
    makers : tuple of callables
        What takes the arguments.
    arguments : dict
        Complete, with defaults.
    named : bool
        False for a dataset that was taken from an earlier part.
    sound : bool
        Whether each argument is valid by itself.
    """

    makers: tuple[Callable[..., Any], ...]
    arguments: dict[str, Any]
    named: bool
    sound: bool


def laid_over(below: Document, above: Document) -> Document:
    """Override a configuration with another; see `overlay`, and `_revised` for types that change."""
    return _revised(below, lambda document: overlay(document, above))


def with_settings(below: Document, settings: Sequence[str]) -> Document:
    """Override a configuration with settings `KEY=VALUE`; see `override` and `_revised`."""
    return _revised(below, lambda document: override(document, settings))


def _revised(below: Document, lay: Callable[[Document], Document]) -> Document:
    """Change a document; where that changes a type, drop the arguments that belong to the old type.

    Arguments that both types take stay, unless they have the old type's default: the configuration of a run
    lists all defaults. A warning names the arguments that the user chose and that the new type does not take.
    """
    below = nested(below)
    after = nested(lay(below))
    kept = below
    for kind in (*KINDS, _NETWORK):
        before, now = kind.type_in(below.data), kind.type_in(after.data)
        if before != now and _is_choice(before, kind) and _is_choice(now, kind):
            kept = _without_stale(kept, kind, before, now)
    return nested(lay(kept))


def _is_choice(name: Any, kind: Kind) -> bool:
    return isinstance(name, str) and name in kind.choices


def _without_stale(document: Document, kind: Kind, before: str, now: str) -> Document:
    """Keep only the arguments of the old type that were chosen and that the new type takes."""
    path = kind.arguments_path(before)
    arguments = value_at(document.data, path)
    if not isinstance(arguments, dict):
        return document
    old, known = (arguments_model(*kind.makers(name)).model_fields for name in (before, now))
    own = {key: value for key, value in arguments.items() if key in old}  # unknown keys are reported later
    chosen = {key for key, value in own.items() if not _is_default(kind.makers(before), key, value)}
    if lost := sorted(chosen - known.keys()):
        listed = ", ".join(f"{key} ({document.place((*path, key))})" for key in lost)
        LOG.warning("%s: dropped, %s does not take: %s", ".".join(map(str, path)), now, listed)
    kept = without(document, [(*path, key) for key in own if key not in chosen & known.keys()])
    target = kind.arguments_path(now)
    return kept if target == path else moved(kept, path, target)


def _is_default(makers: tuple[Callable[..., Any], ...], key: str, value: Any) -> bool:
    schema = arguments_model(*makers, partial=True)
    try:
        given = schema.model_validate({key: value})
    except ValidationError:
        return False
    return given.model_dump(mode="json") == schema().model_dump(mode="json")


def nested(document: Document) -> Document:
    """Move arguments that stand beside their type, `{type: step, step_size: 15}`, into the type's block.

    Raises
    ------
    ConfigError
        When a file gives an argument in both places.
    """
    for kind in KINDS:
        if None not in kind.arguments_key:
            continue
        path, chosen = kind.type_key[:-1], kind.type_in(document.data)
        block = value_at(document.data, path)
        if not isinstance(block, dict) or not _is_choice(chosen, kind):
            continue
        if not isinstance(block.get(chosen, {}), dict | None):
            continue  # reported by `check_components`
        for key in block.keys() - {kind.type_key[-1], *kind.choices}:
            flat, inner = (*path, key), (*kind.arguments_path(chosen), key)
            _refuse_both(document, flat, inner)
            document = moved(document, flat, inner)
    return document


def _refuse_both(document: Document, flat: KeyPath, inner: KeyPath) -> None:
    places = [document.places.get(path, "") for path in (flat, inner)]
    file, other = (place.partition(", line ")[0] for place in places)
    if file and file == other:
        key = ".".join(map(str, flat))
        raise ConfigError(f"{key}: given twice, also as {'.'.join(map(str, inner))}: keep one ({places[0]})")


def check_components(document: Document) -> tuple[dict[KeyPath, Component], list[str]]:
    """Check the arguments of all components.

    Parameters
    ----------
    document : Document
        From `nested`.

    Returns
    -------
    components : dict
        Components of known type, by the key path of their arguments.
    problems : list of str
        One line for each problem with a type or argument.
    """
    components: dict[KeyPath, Component] = {}
    problems: list[str] = []
    dataset: Component | None = None  # the latest one, for a part without a dataset
    for kind in KINDS:
        name = kind.type_in(document.data)
        if isinstance(name, str) and name not in kind.choices:
            hint = nearest(name, kind.choices)
            problems.append(problem(kind.type_key, f"unknown name '{name}'{hint}", document))
            dataset = None
            continue
        if isinstance(name, str):
            path = kind.arguments_path(name)
            component, found = _named(kind, name, path, document)
            found += _block_problems(kind, name, document)
        elif name is None and kind.is_dataset and dataset is not None:
            path = kind.arguments_path("")
            component, found = _inherited(dataset, path, document)
        else:
            continue
        problems += found
        components[path] = component
        dataset = component if kind.is_dataset else None
    return components, problems


def _named(kind: Kind, name: str, path: KeyPath, document: Document) -> tuple[Component, list[str]]:
    makers = kind.makers(name)
    own, checked, problems = _check_args(arguments_model(*makers), document, path)
    complete = own if checked is None else checked.model_dump(mode="json")
    return Component(makers, complete, named=True, sound=checked is not None), problems


def _inherited(dataset: Component, path: KeyPath, document: Document) -> tuple[Component, list[str]]:
    own, checked, problems = _check_args(arguments_model(*dataset.makers, partial=True), document, path)
    complete, sound = dataset.arguments | FOR_SCORING | own, dataset.sound and checked is not None
    return Component(dataset.makers, complete, named=False, sound=sound), problems


def _block_problems(kind: Kind, name: str, document: Document) -> Iterator[str]:
    """Yield what `RunConfig` cannot check: arguments that are no mapping, or of a type not chosen."""
    if None not in kind.arguments_key:
        return
    for other in kind.choices:
        path = kind.arguments_path(other)
        given = value_at(document.data, path)
        if other != name and given is not None:
            key = ".".join(map(str, kind.type_key))
            yield problem(path, f"arguments of {other}, but {key} is {name}: keep one of them", document)
        elif not isinstance(given, dict | None):
            yield problem(path, f"expected keys and values, got {given!r:.60}", document)


def _check_args(
    schema: type[Block], document: Document, path: KeyPath
) -> tuple[dict[str, Any], Block | None, list[str]]:
    """Return a block's known keys as written, the same checked, and the problems of all keys.

    Known keys are checked even beside unknown ones, so that one report lists every mistake.
    """
    given = value_at(document.data, path)
    own = given if isinstance(given, dict) else {}
    checked, problems = validate(schema, own, document, path)
    known = {key: value for key, value in own.items() if key in schema.model_fields}
    return known, checked or validate(schema, known, document, path)[0], problems
