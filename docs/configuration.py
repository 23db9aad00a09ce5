"""Write docs/configuration.md: every key of a configuration, read from the schema that checks it.

python -m docs.configuration
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from src.data_handlers import DATASETS
from src.data_handlers.datasets.camera_noise import CameraNoise
from src.data_handlers.datasets.noise import NoiseOptions
from src.data_handlers.samples.view import View
from src.masker import MASKERS
from src.model import NL_BSN
from src.trainer.config.run_config import AdaptBlock, RunConfig
from src.trainer.optim import OPTIMIZERS, SCHEDULERS
from src.util.config.schema import arguments_model, describe

Row = tuple[str, FieldInfo]
PAGE = Path(__file__).with_suffix(".md")

_CHOICES: dict[str, Mapping[str, Callable[..., Any]]] = {
    "training.optimizer.type": OPTIMIZERS,
    "training.scheduler.type": SCHEDULERS,
}
_CAMERA = "Ranges of `camera` are [least, most]; shares are 0 to 1."
_HEAD = """\
# Configuration

For whoever changes a setting. This page is made from the program's own schema by `python -m
docs.configuration`.

A YAML file contains what differs from the defaults, which are the published values. `-c FIRST -c SECOND`
lays one file over another, and `--set KEY=VALUE` changes a single key. Everything is checked before
anything is written, and all problems are reported at once, with line and nearest name. The original's files
load unchanged. Top-level keys that begin with `x-` are yours, for YAML anchors. When a type changes, such
as `masker.masker_type`, arguments that the new type does not have are dropped, and those that you had
chosen are named. A resumed run may change its masker, never its network.
"""


def page() -> str:
    """Return the text of docs/configuration.md."""
    return "\n".join(
        [
            _HEAD,
            _section("A run", "", _run()),
            _section("Network: `model.kwargs`", "Of `NL_BSN`:", _arguments(NL_BSN)),
            _section("Maskers: `masker.masker_args`", "", _of_types(MASKERS)),
            _section("Datasets: `dataset_args`", "All datasets take:", _datasets()),
            _section("Simulated noise: `dataset_args.add_noise`", _CAMERA, _noise()),
        ]
    )


def _section(heading: str, text: str, rows: Iterator[Row]) -> str:
    head = [f"## {heading}\n", *([f"{text}\n"] if text else [])]
    table = ["| key | default | values | meaning |", "|---|---|---|---|", *map(_row, rows)]
    return "\n".join([*head, *table, ""])


def _row(row: Row) -> str:
    key, field = row
    default = "" if field.is_required() else f"`{_yaml(field.get_default(call_default_factory=True))}`"
    values = describe(field.annotation, field.metadata)
    meaning = " ".join((field.description or "").split())
    assert meaning, f"{key} has no description"
    cells = [f"`{key}`", default, values, meaning]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |".replace("None", "null")


def _yaml(default: Any) -> str:
    if isinstance(default, BaseModel):
        default = default.model_dump(mode="json", exclude_none=True)
    if isinstance(default, tuple | Path):
        default = list(default) if isinstance(default, tuple) else str(default)
    if isinstance(default, float):
        return f"{default:g}"
    return yaml.safe_dump(default, default_flow_style=True, width=1000).replace("\n...", "").strip()


def _run() -> Iterator[Row]:
    """Rows of `RunConfig`, the keys of its blocks and those of the types of its choices."""
    for key, field in _keys(RunConfig):
        yield key, field
        if key == "adapt":
            yield from _keys(AdaptBlock, "adapt.")
        if key in _CHOICES:
            for name, constructor in _CHOICES[key].items():
                yield from _arguments(constructor, f"{key.removesuffix('type')}{name}.")


def _keys(block: type[BaseModel], prefix: str = "") -> Iterator[Row]:
    """Rows of a block and of the blocks inside it."""
    for name, field in block.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _keys(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def _arguments(constructor: Callable[..., Any], prefix: str = "") -> Iterator[Row]:
    return _keys(arguments_model(constructor), prefix)


def _of_types(types: Mapping[str, Callable[..., Any]]) -> Iterator[Row]:
    """Rows of the arguments of several types; one for an argument that some of them share."""
    shared: dict[tuple[str, str], tuple[list[str], FieldInfo]] = {}
    for name, constructor in types.items():
        for key, field in _arguments(constructor):
            shared.setdefault((key, field.description or ""), ([], field))[0].append(name)
    for (key, _), (names, field) in shared.items():
        yield f"{key}` of `{'`, `'.join(names)}", field


def _datasets() -> Iterator[Row]:
    yield from _arguments(View)
    yield from _of_types(DATASETS)


def _noise() -> Iterator[Row]:
    yield from _keys(NoiseOptions)
    yield from _keys(CameraNoise, "camera.")


if __name__ == "__main__":
    (Path(sys.argv[1]) if sys.argv[1:] else PAGE).write_text(page(), encoding="utf-8")
