"""Typed configuration blocks: schemas derived from constructors, and error reports for YAML files."""

import difflib
import functools
import inspect
import re
import types
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, create_model, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from src.util.config.yaml_document import Document, KeyPath


class Block(BaseModel):
    """A mapping in the configuration; refuses unknown keys, infinities and `true` for a number."""

    model_config = ConfigDict(
        extra="forbid",
        allow_inf_nan=False,
        frozen=True,
        protected_namespaces=(),
        use_attribute_docstrings=True,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_bool_for_number(cls, value: Any, info: Any) -> Any:
        if _has_bool_for_number(value, cls.model_fields[info.field_name].annotation):
            raise PydanticCustomError("bool_for_number", "expected a number")
        return value


AnyBlock = TypeVar("AnyBlock", bound=Block)


@functools.lru_cache
def arguments_model(*constructors: Callable[..., Any], partial: bool = False) -> type[Block]:
    """Return the schema of a YAML block that holds the arguments of constructors.

    Parameters
    ----------
    *constructors : callable
        Classes or functions with parameters annotated as `Annotated[type, Field(...)]`.
    partial : bool
        Whether required parameters may be missing from the block.

    Returns
    -------
    type of Block
        With one field for each parameter.

    Raises
    ------
    TypeError
        When two constructors have a parameter of the same name.
    """
    fields: dict[str, Any] = {}
    for constructor in constructors:
        for name, parameter in inspect.signature(constructor).parameters.items():
            if name in fields:
                raise TypeError(f"{name} is a parameter of more than one of {constructors}")
            missing = None if partial else ...
            default = missing if parameter.default is parameter.empty else parameter.default
            fields[name] = (parameter.annotation, default)
    return create_model("_".join(c.__name__ for c in constructors), __base__=Block, **fields)


def arguments(data: dict[str, Any], *constructors: Callable[..., Any]) -> dict[str, Any]:
    """Return typed arguments for constructors from a YAML block."""
    block = arguments_model(*constructors).model_validate(data)
    return {name: getattr(block, name) for name in type(block).model_fields}


def validate(
    schema: type[AnyBlock], data: Any, document: Document, path: KeyPath = ()
) -> tuple[AnyBlock | None, list[str]]:
    """Check the block at `path` of a document.

    Parameters
    ----------
    schema : type of Block
        The schema to check against.
    data : Any
        The block's value.
    document : Document
        The document, for the lines of the messages.
    path : tuple
        The block's place in the document.

    Returns
    -------
    block : Block or None
        None when there are problems.
    problems : list of str
        One line each, with key path, expected and found value, file and line, and the nearest valid name.
    """
    if data is None:
        data = {}
    try:
        return schema.model_validate(data), []
    except ValidationError as error:
        details = _deepest(schema, error.errors(include_url=False))
        lines = [_problem(schema, detail, document, path) for detail in details]
        return None, list(dict.fromkeys(lines))


def problem(path: KeyPath, message: str, document: Document) -> str:
    """Return one line of a report: `training.batch_size: expected ... (FILE, line N)`."""
    return f"{'.'.join(map(str, path))}: {message} ({document.place(path)})"


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a hint such as `; did you mean 'batch_size'?`, or all choices if none is similar."""
    choices = sorted(names)
    close = difflib.get_close_matches(name, choices, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; choose from {', '.join(choices)}"


def _deepest(schema: type[Block], details: list[ErrorDetails]) -> list[ErrorDetails]:
    """Keep the most specific errors of each key; a union yields one for each of its branches."""
    depths: dict[KeyPath, int] = {}
    paths = [_resolve(schema, detail["loc"])[0] for detail in details]
    for path, detail in zip(paths, details, strict=True):
        depths[path] = max(depths.get(path, 0), len(detail["loc"]))
    return [d for path, d in zip(paths, details, strict=True) if len(d["loc"]) == depths[path]]


def _problem(schema: type[Block], detail: ErrorDetails, document: Document, prefix: KeyPath) -> str:
    path, field, owner = _resolve(schema, detail["loc"])
    where = (*prefix, *path)
    if detail["type"] == "extra_forbidden":
        return problem(where, f"unknown key{nearest(str(path[-1]), owner.model_fields)}", document)
    if detail["type"] == "missing" and len(path) == len(detail["loc"]):  # otherwise a list is too short
        meaning = field.description if field and field.description else "it has no default"
        return problem(where, f"missing: {meaning}", document)
    if detail["type"] == "value_error":
        message = str(detail["ctx"]["error"])
        inner = owner if field is None else _block_in(field.annotation)
        key = message.partition(": ")[0]
        if inner is not None and key in inner.model_fields:  # a block's validator named one of its keys
            return problem((*where, key), message.removeprefix(f"{key}: "), document)
        return problem(where, message.removeprefix(f"{where[-1]}: "), document)
    expected = describe(field.annotation, field.metadata) if field else "keys and values"
    found = detail["input"]
    hint = ""
    is_text = field and {str, Path} & {*_plain_types(field.annotation)}
    if is_text and str(where[-1]).endswith(("folder", "_dir")) and isinstance(found, bool | int | float):
        hint = "; if this is the name of a folder, write ./ before it"
    if expected == "keys and values" and isinstance(found, str) and re.match(r"\w+:\S", found):
        hint = "; add a space after the key's colon"
    return problem(where, f"expected {expected}, got {_shown(found)}{hint}", document)


def _resolve(
    schema: type[Block], location: tuple[int | str, ...]
) -> tuple[KeyPath, FieldInfo | None, type[BaseModel]]:
    """Return key path, field and block of an error; its location may end in branches of a union."""
    path: KeyPath = ()
    field: FieldInfo | None = None
    owner: type[BaseModel] = schema
    for part in location:
        inner = owner if field is None else _block_in(field.annotation)
        if inner is None:
            break
        path, owner = (*path, part), inner
        field = inner.model_fields.get(str(part))
        if field is None:
            break
    return path, field, owner


def _block_in(annotation: Any) -> type[BaseModel] | None:
    blocks = (t for t in _plain_types(annotation) if isinstance(t, type) and issubclass(t, BaseModel))
    return next(blocks, None)


def _plain_types(annotation: Any) -> list[Any]:
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return [kind for part in get_args(annotation) for kind in _plain_types(part)]
    if origin is Annotated:
        return _plain_types(get_args(annotation)[0])
    return [annotation]


def _has_bool_for_number(value: Any, annotation: Any) -> bool:
    kinds = _plain_types(annotation)
    if isinstance(value, bool):
        return bool not in kinds and (int in kinds or float in kinds)
    if not isinstance(value, (list, tuple)):
        return False
    parts = [part for kind in kinds if get_origin(kind) in (list, tuple) for part in get_args(kind)]
    return any(_has_bool_for_number(item, part) for item in value for part in parts)


def describe(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """Describe a type and its range, such as `an integer of at least 1` or `one of 'H', 'V', 'Q'`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return describe(arguments[0], [*arguments[1:], *metadata])
    if origin in (Union, types.UnionType):
        return " or ".join(describe(part, metadata) for part in arguments)
    if origin is Literal:
        return "one of " + ", ".join(map(repr, arguments)) if len(arguments) > 1 else repr(arguments[0])
    if origin in (list, tuple, set) or annotation in (list, tuple):
        inner = [part for part in arguments if part is not Ellipsis]
        count = f"{len(inner)} values" if origin is tuple and Ellipsis not in arguments else "values"
        return f"a list of {count}" + (f", each {describe(inner[0])}" if inner else "")
    names = {int: "an integer", float: "a number", bool: "true or false", str: "text", type(None): "None"}
    names[Path] = "a path"
    name = names.get(annotation, "keys and values")
    return name + (_range(metadata) if annotation in (int, float) else "")


def _range(metadata: Sequence[Any]) -> str:
    words = {"ge": "of at least", "gt": "above", "le": "of at most", "lt": "below"}
    nested = [item.metadata if isinstance(item, FieldInfo) else [item] for item in metadata]
    bounds = [bound for items in nested for bound in items]
    found = [f" {words[k]} {getattr(b, k)}" for b in bounds for k in words if getattr(b, k, None) is not None]
    return " and".join(found)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
