"""Read YAML together with the file and line of each key, which every error message names."""

import os
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from src.util.config.yaml_errors import WINDOWS_HINT, explained
from src.util.errors import ConfigError

KeyPath: TypeAlias = tuple[str | int, ...]

# A configuration has about 60 entries; nested aliases can multiply into millions.
MAX_ENTRIES = 10_000
MAX_LENGTH = 100_000  # characters; parsing more takes seconds
FREE = "x-"
"""Prefix of top-level keys that are ignored, so that users can define `&anchors` in them."""


@dataclass(frozen=True)
class Document:
    """A mapping read from YAML, and the place of each of its entries.

    Parameters
    ----------
    data : dict
        Plain Python values; `None`, `none` and `null` are None, and `~/` is the home folder.
    places : dict
        Key path -> "FILE, line N".
    name : str
        The file's name, for entries without a line.
    """

    data: dict[str, Any]
    places: dict[KeyPath, str]
    name: str

    def place(self, path: KeyPath) -> str:
        """Return the place of `path`, else of its nearest parent in the file, else the file's name."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.places:
                return self.places[path[:end]]
        return self.name


def read_yaml(path: Path) -> Document:
    """Read a configuration file.

    Raises
    ------
    ConfigError
        When the file cannot be read, is not YAML, is not a mapping, or has a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{path}: cannot be read: {reason}") from None
    if len(text) > MAX_LENGTH:
        raise ConfigError(f"{path}: {len(text):,} characters are too long for a configuration")
    return parse_yaml(text, str(path))


def parse_yaml(text: str, name: str) -> Document:
    """Parse the text of a configuration; see `read_yaml`. Keys that begin with `FREE` are left out."""
    data, places = _Reader(name).read(text)
    if not isinstance(data, dict):
        found = "nothing" if data is None else f"a {type(data).__name__}"
        raise ConfigError(f"{name}: expected keys and values ('training:' and so on), found {found}")
    return Document({key: value for key, value in data.items() if not key.startswith(FREE)}, places, name)


def overlay(document: Document, over: Document) -> Document:
    """Return `document` with the values of `over` in their place; mappings are merged key by key."""
    data, places = _copied(document.data), dict(document.places)

    def lay(below: dict[str, Any], above: dict[str, Any], path: KeyPath) -> None:
        for key, value in above.items():
            if isinstance(value, dict) and isinstance(below.get(key), dict):
                lay(below[key], value, (*path, key))
            else:
                below[key] = _copied(value)
                _move(places, over.places, (*path, key))

    lay(data, over.data, ())
    return Document(data, places, f"{document.name} and {over.name}")


def override(document: Document, settings: Sequence[str]) -> Document:
    """Return a document with `KEY.PATH=VALUE` settings applied; VALUE is YAML, also a list or mapping.

    Raises
    ------
    ConfigError
        When a setting has another form, is not YAML, or sets a key below a plain value.
    """
    data, places = _copied(document.data), dict(document.places)
    for setting in settings:
        key, equals, text = setting.partition("=")
        path = tuple(key.strip().split("."))
        if not equals or not all(path):
            raise ConfigError(f"--set {setting}: expected KEY.PATH=VALUE, such as training.batch_size=4")
        value, _ = _Reader(f"--set {setting}").read(text)
        block = data
        for part in path[:-1]:
            if block.get(part) is None:
                block[part] = {}
            block = block[part]
            if not isinstance(block, dict):
                raise ConfigError(f"--set {setting}: '{part}' is a plain value, it has no keys")
        block[path[-1]] = value
        _move(places, {path: f"--set {setting}"}, path)
    return Document(data, places, document.name)


def without(document: Document, paths: Iterable[KeyPath]) -> Document:
    """Return a document without the entries at `paths`; paths that do not exist are ignored."""
    data, places = _copied(document.data), dict(document.places)
    for path in paths:
        block = value_at(data, path[:-1])
        if isinstance(block, dict) and path[-1] in block:
            del block[path[-1]]
            _move(places, {}, path)
    return Document(data, places, document.name)


def moved(document: Document, old: KeyPath, new: KeyPath) -> Document:
    """Return a document with the entry at `old` moved to `new`, replacing the entry there.

    Parameters
    ----------
    document : Document
        Must have an entry at `old`.
    old, new : key path
        Parents of `new` that do not exist are created; existing ones must be mappings.
    """
    after = without(document, [old])
    block: dict[Any, Any] = after.data
    for key in new[:-1]:
        block = block.setdefault(key, {})
    block[new[-1]] = _copied(value_at(document.data, old))
    length = len(old)
    places = {(*new, *p[length:]): place for p, place in document.places.items() if p[:length] == old}
    _move(after.places, places, new)
    return after


def value_at(data: Any, path: KeyPath, default: Any = None) -> Any:
    """Return the value at a path of nested mappings, or the default."""
    for key in path:
        if not isinstance(data, dict) or key not in data:
            return default
        data = data[key]
    return data


def _move(places: dict[KeyPath, str], others: dict[KeyPath, str], path: KeyPath) -> None:
    """Replace the places of `path` and its children by those in `others`."""
    for known in [known for known in places if known[: len(path)] == path]:
        del places[known]
    places |= {known: place for known, place in others.items() if known[: len(path)] == path}


def _copied(value: Any) -> Any:
    return {key: _copied(item) for key, item in value.items()} if isinstance(value, dict) else value


class _Reader:
    """Turns YAML nodes into values, counts the entries and records their lines."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.places: dict[KeyPath, str] = {}
        self.entries = 0

    def read(self, text: str) -> tuple[Any, dict[KeyPath, str]]:
        loader = None
        try:
            loader = yaml.SafeLoader(text)
            node = loader.get_single_node()
            return (None if node is None else self._value(loader, node, ())), self.places
        except yaml.MarkedYAMLError as error:
            line, reason = explained(error, text)
            raise ConfigError(f"{self.name}, line {line}: not valid YAML: {reason}") from None
        except yaml.YAMLError as error:
            raise ConfigError(f"{self.name}: not valid YAML: {str(error).splitlines()[0]}") from None
        except RecursionError:
            raise ConfigError(f"{self.name}: nested too deeply to be a configuration") from None
        finally:
            if loader is not None:
                loader.dispose()

    def _value(self, loader: yaml.SafeLoader, node: yaml.Node, path: KeyPath) -> Any:
        self._count()
        self.places[path] = self._place(node)
        if isinstance(node, yaml.MappingNode):
            entries = self._entries(node, path)
            return {key: self._value(loader, value, (*path, key)) for key, value in entries.items()}
        if isinstance(node, yaml.SequenceNode):
            return [self._value(loader, item, (*path, i)) for i, item in enumerate(node.value)]
        return self._scalar(loader, node)

    def _entries(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, yaml.Node]:
        """Return the entries of a mapping. Its own keys win over those from `<<: *other`."""
        own: dict[str, yaml.Node] = {}
        merged: dict[str, yaml.Node] = {}
        lines: dict[str, int] = {}
        for key_node, value in node.value:
            self._count()
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(f"{self._place(key_node)}: expected a plain word as a key")
            key, line = key_node.value, key_node.start_mark.line + 1
            if key in lines:
                where = ".".join(map(str, (*path, key)))
                raise ConfigError(
                    f"{where}: given twice, in lines {lines[key]} and {line} of {self.name}; keep one"
                )
            lines[key] = line
            if key_node.tag == "tag:yaml.org,2002:merge":
                merged = self._merged(value, path)
            else:
                own[key] = value
        return merged | own

    def _merged(self, node: yaml.Node, path: KeyPath) -> dict[str, yaml.Node]:
        """Return the entries that `<<` merges: one mapping, or a list of which the first wins."""
        self._count()
        if isinstance(node, yaml.MappingNode):
            return self._entries(node, path)
        if not isinstance(node, yaml.SequenceNode):
            raise ConfigError(f"{self._place(node)}: expected a mapping or a list of mappings after '<<'")
        merged: dict[str, yaml.Node] = {}
        for item in node.value:
            merged = self._merged(item, path) | merged
        return merged

    def _scalar(self, loader: yaml.SafeLoader, node: yaml.Node) -> Any:
        if node.tag == "tag:yaml.org,2002:timestamp":
            return node.value
        try:
            value = loader.construct_object(node)
        except (ValueError, LookupError, ArithmeticError):  # from a tag such as !!bool, or a huge number
            kind = node.tag.rpartition(":")[2]
            raise ConfigError(f"{self._place(node)}: not a value of YAML's type {kind}") from None
        if not isinstance(value, str):
            return value
        if (
            isinstance(node, yaml.ScalarNode)
            and node.style == '"'
            and any(unicodedata.category(char) in ("Cc", "Zl", "Zp") for char in value)
        ):
            raise ConfigError(f"{self._place(node)}: {value!r} holds a control character; {WINDOWS_HINT}")
        if value.startswith("~/"):  # a shell does not expand it after `--set KEY=`
            return os.path.expanduser(value)
        return None if value.lower() == "none" else value

    def _place(self, node: yaml.Node) -> str:
        return f"{self.name}, line {node.start_mark.line + 1}"

    def _count(self) -> None:
        self.entries += 1
        if self.entries > MAX_ENTRIES:
            raise ConfigError(f"{self.name}: expands to over {MAX_ENTRIES:,} entries; check its aliases")
