"""README.md and docs promise nothing that is not there, and leave out nothing that is."""

import argparse
import inspect
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from src.data_handlers import DATASETS
from src.data_handlers.datasets.camera_noise import CameraNoise
from src.data_handlers.datasets.noise import NoiseOptions
from src.data_handlers.samples.view import View
from src.masker import MASKERS
from src.model import NL_BSN
from src.trainer.config.reading import read_config
from src.trainer.config.run_config import RunConfig
from src.trainer.finish import Finish
from src.trainer.optim import OPTIMIZERS, SCHEDULERS
from src.util.errors import UserError
from src.util.script import INTERRUPTED
from tests.trainer.conftest import config

ROOT = Path(__file__).parents[2]
ENDED = 143  # by SIGTERM
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "datasets" / "README.md"]
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
FLAG = re.compile(r"(?<![\w-])--?[a-z][\w-]*")
HARMLESS = ("python3 -m venv", ". .venv/bin/activate", "git clone", "cd ", "tensorboard --logdir")


def section(heading):
    """The text from a heading to the next of its level or above."""
    found = re.search(rf"^(#+) {heading}[^\n]*\n(.*?)(?=^#{{1,6}} |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found is not None, f"README.md has no section '{heading}'"
    return found[2]


def table(text, first):
    """Rows of the table whose first column is named so; a row is a dict of its cells."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith(f"| {first} |"):
            break
    else:
        raise AssertionError(f"no table of '{first}' in: {text[:200]}")
    names, _ = cells(line), next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append(dict(zip(names, cells(line), strict=True)))
    return rows


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def quoted(cell):
    return re.findall(r"`([^`]+)`", cell)


def value(cell):
    """A default as YAML reads it, in any spelling of a number."""
    text = cell.strip("`")
    return float(text) if re.fullmatch(r"[\d.]+e-?\d+", text) else yaml.safe_load(text)


def defaults(constructor):
    parameters = inspect.signature(constructor).parameters
    return {name: parameter.default for name, parameter in parameters.items()}


def commands():
    """Every command of the shell blocks, and the ones named within a sentence."""
    blocks = re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    blocks = [block for block in blocks if "#SBATCH" not in block]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    inline = quoted(re.sub(r"^```.*?^```", "", TEXT, flags=re.MULTILINE | re.DOTALL))
    lines += [word for word in inline if re.match(r"make \w|python \w+(/\w+)?\.py -", word)]
    parts = [part.strip().removeprefix("$ ") for line in lines for part in line.split("&&")]
    parts = [re.sub(r"^torchrun .* main\.py", "python main.py", part) for part in parts]
    return sorted({part for part in parts if part and not part.startswith("#")})


def said(start, part=""):
    found = [command for command in commands() if command.startswith(start) and re.search(part, command)]
    assert found, f"no command {start} in README.md and docs"
    return pytest.mark.parametrize("command", found)


def words(command):
    return shlex.split(command, comments=True)


@said(("python main.py", "python test.py"))
def test_each_call_of_a_script_has_its_flags_and_its_configuration(command, scripts, monkeypatch):
    script, *arguments = words(command)[1:]
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    flags = scripts[script.removesuffix(".py")]._flags()
    if flags.config is not None:
        read_config(flags.config, flags.settings)


@said(("python prep_",))
def test_each_call_of_a_benchmarks_script_has_its_flags(command, scripts, monkeypatch):
    script, *arguments = words(command)[1:]
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    flags = scripts[script.removesuffix(".py")]._flags()
    if isinstance(flags, argparse.ArgumentParser):
        flags.parse_args()


@said(("python main.py", "python test.py"), "--print-config|--help")
def test_the_quick_calls_run(command, call):
    script, *arguments = words(command)[1:]
    assert call(script.removesuffix(".py"), *arguments, device=(), workers=()).code == 0


@said(("python -m benchmarks",))
def test_each_benchmark_has_its_flags(command):
    module, *arguments = words(command)[2:]
    source = source_of(module)
    source += "".join(
        source_of(other) for other in re.findall(r"from (benchmarks\.\w+) import .*flags", source)
    )
    assert all(f'"{word}"' in source for word in arguments if word.startswith("-"))


def source_of(module):
    return (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")


@said(("make",))
@pytest.mark.skipif(shutil.which("make") is None, reason="make is not here")
def test_each_make_target_is_there(command):
    ended = subprocess.run(["make", "-n", *words(command)[1:]], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


@said(("pip install", ".venv/bin/pip install"))
def test_each_requirements_file_is_there(command):
    for word in words(command):
        assert not word.endswith(".txt") or (ROOT / word).is_file()


def test_no_command_is_left_unchecked():
    checked = (
        "python main.py",
        "python test.py",
        "python prep_",
        "python -m benchmarks",
        "make",
        "pip install",
    )
    assert [c for c in commands() if not c.startswith((*checked, ".venv/bin/pip", *HARMLESS))] == []


def test_the_tables_of_flags_name_each_flag(call):
    def helped(script):
        usage = call(script, "--help", device=(), workers=()).out
        return set(FLAG.findall(usage.split("options:")[1].split("example:")[0]))

    parts = section("Command line").split("| flag | meaning |")
    assert len(parts) == 6, "tables for both scripts, main.py, test.py, prep_*.py and prep_submission_*.py"
    both, main, test, prepare, submit = (
        {flag for row in table("| flag | meaning |" + part, "flag") for flag in FLAG.findall(row["flag"])}
        for part in parts[1:]
    )
    none = {"-h", "--help"}
    assert (both | main, both | test) == (helped("main") - none, helped("test") - none)
    assert prepare == (helped("prep_SIDD") | helped("prep_DND")) - none
    assert submit == (helped("prep_submission_SIDD") | helped("prep_submission_DND")) - none


def test_the_exit_codes_are_those_of_the_errors():
    line = re.search(r"^Exit codes: (.*)", section("Command line"), re.MULTILINE)[1]
    codes = {error.exit_code for error in UserError.__subclasses__()}
    assert {int(code) for code in re.findall(r"(?:^|, )(\d+) ", line)} == {0, INTERRUPTED, ENDED} | codes


def test_the_table_of_files_names_each_shipped_configuration():
    named = [name for row in table(section("Configuration"), "file") for name in quoted(row["file"])]
    assert sorted(named) == sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))


@pytest.mark.parametrize("masker", MASKERS)
def test_the_tables_of_maskers_name_each_argument_and_its_default(masker):
    text = section("The maskers")
    rows = table(text[text.index(f"\n`{masker}` is") :], "key")
    expected = defaults(MASKERS[masker])
    shown = {quoted(row["key"])[0]: value(row["default"]) for row in rows}
    assert shown == {name: "none" if default is None else default for name, default in expected.items()}


def flat(block, prefix=""):
    """Dotted key -> default; the blocks within `training` count as one key, as in the table."""
    found = {}
    for name, default in block:
        nested = isinstance(default, BaseModel) and not prefix
        found |= flat(default, f"{name}.") if nested else {f"{prefix}{name}": default}
    return found


def test_the_table_of_keys_names_each_key_and_its_default():
    expected, shown = flat(RunConfig()), {}
    for row in table(section("The other keys"), "key"):
        keys = quoted(row["key"])
        block = keys[0].rpartition(".")[0]
        keys = [f"{block}{key}" if key.startswith(".") else key for key in keys]
        values = row["default"].split(", ") if len(keys) > 1 else [row["default"]]
        shown |= dict(zip(keys, values + [""] * (len(keys) - len(values)), strict=True))
    assert shown.keys() == expected.keys()
    plain = {k: str(d) if isinstance(d, Path) else d for k, d in expected.items()}
    plain = {k: d for k, d in plain.items() if isinstance(d, bool | int | float | str)}
    assert {key: value(shown[key]) for key in plain} == plain


@pytest.mark.parametrize(("block", "types"), [("scheduler", SCHEDULERS), ("optimizer", OPTIMIZERS)])
def test_the_row_of_a_nested_block_names_its_types_and_writes_the_default_one(block, types):
    (row,) = (r for r in table(section("The other keys"), "key") if f"training.{block}" in r["key"])
    default = getattr(config("{}").training, block)
    assert yaml.safe_load(quoted(row["meaning"])[0]) == default.model_dump(mode="json")
    assert row["default"].strip("`") == default.type
    assert [name for name in types if f"type: {name}" not in row["meaning"]] == []


def test_the_row_of_the_network_names_its_arguments():
    (row,) = (r for r in table(section("The other keys"), "key") if "model.kwargs" in r["key"])
    assert set(inspect.signature(NL_BSN).parameters) <= set(quoted(row["meaning"]))


def test_the_table_of_the_finish_names_each_key_and_its_default():
    shown = {quoted(row["key"])[0]: row["default"] for row in table(section("Light and detail"), "key")}
    defaults = {name: "none" if default is None else default for name, default in Finish()}
    assert {name: value(default) for name, default in shown.items()} == defaults


def test_the_table_of_datasets_names_each_and_its_arguments():
    shown = {}
    for row in table(section("Datasets"), "name"):
        names = quoted(row["name"])
        arguments = {a for name in names for a in inspect.signature(DATASETS[name]).parameters}
        assert set(quoted(row["arguments"])) == arguments, names
        shown |= dict.fromkeys(names)
    assert shown.keys() == DATASETS.keys()


def test_the_table_of_views_names_each_argument_and_its_default():
    shown = {quoted(row["key"])[0]: row["default"] for row in table(section("Datasets"), "key")}
    expected = defaults(View)
    assert shown.keys() == expected.keys()
    for name, default in expected.items():
        assert shown[name] in (("none", "all") if default is None else (str(default),)), name


def test_the_text_on_noise_names_each_option_and_its_default():
    (text,) = re.findall(r"^`add_noise` holds (.*?)\n\n", section("Datasets"), re.MULTILINE | re.DOTALL)
    shown = {name: value(default) for name, default in re.findall(r"`(\w+)` \((\w+(?:\.\d+)?)\)", text)}
    assert shown == {name: field.default for name, field in NoiseOptions.model_fields.items()}


def test_the_text_on_noise_of_cameras_names_each_option_and_its_default():
    (text,) = re.findall(r"^`add_noise: \{camera(.*?)\n\n", section("Datasets"), re.MULTILINE | re.DOTALL)
    shown = {name: yaml.safe_load(default) for name, default in re.findall(r"`(\w+)` \((.*?)\)", text)}
    defaults = {name: field.default for name, field in CameraNoise.model_fields.items()}
    assert shown == {n: list(d) if isinstance(d, tuple) else d for n, d in defaults.items()}


def test_what_is_linked_is_there():
    for page in PAGES:
        links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
        assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == [], page
