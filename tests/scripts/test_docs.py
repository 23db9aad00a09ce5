"""README.md and docs promise nothing that does not exist, and leave out nothing that does."""

import argparse
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs import configuration
from src.data_handlers import DATASETS
from src.trainer.config.reading import read_config
from src.util.errors import UserError
from src.util.script import INTERRUPTED

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ENDED = 143  # by SIGTERM
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md")), ROOT / "datasets" / "README.md"]
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
FLAG = re.compile(r"(?<![\w-])--?[a-z][\w-]*")
HARMLESS = ("python3 -m venv", ". .venv/bin/activate", "git clone", "cd ", "tensorboard --logdir")
LONGEST = {
    "denoise": 80, "training": 120, "configuration": 185, "datasets": 100, "method": 120, "output": 50,
    "python": 50, "differences": 70, "results": 80,
}  # fmt: skip


def read(name):
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def first_cells(text, heading):
    """The words in backticks of the first column of all tables whose first column has this heading."""
    tables = re.findall(rf"^\| {heading} \|[^\n]*\n\|[-|: ]+\n((?:\|[^\n]*\n)+)", text, re.MULTILINE)
    assert tables, f"no table of '{heading}'"
    rows = "".join(tables).splitlines()
    return {word for row in rows for word in re.findall(r"`([^`]+)`", row.split(" | ")[0])}


def commands():
    """Every command of the shell blocks, and the ones named within a sentence."""
    blocks = re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    blocks = [block for block in blocks if "#SBATCH" not in block]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    prose = re.sub(r"^```.*?^```", "", TEXT, flags=re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`]+)`", prose)
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


def helped(call, *scripts):
    """The flags of scripts, as their help lists them."""
    usages = [call(script, "--help", device=(), workers=()).out for script in scripts]
    flags = {
        flag for usage in usages for flag in FLAG.findall(usage.split("options:")[1].split("example:")[0])
    }
    return flags - {"-h", "--help"}


def flags_listed(*names):
    cells = (cell for name in names for cell in first_cells(read(name), "flag"))
    return {flag for cell in cells for flag in FLAG.findall(cell)}


def test_the_pages_list_each_flag(call):
    listed = {
        flag
        for name in ("training", "denoise")
        for cell in first_cells(read(name), "flag")
        for flag in FLAG.findall(cell)
    }
    assert listed == helped(call, "main", "test")
    listed = {flag for cell in first_cells(read("datasets"), "flag") for flag in FLAG.findall(cell)}
    assert listed == helped(call, "prep_SIDD", "prep_DND", "prep_submission_SIDD", "prep_submission_DND")


@pytest.mark.parametrize("name", ["training", "reliability"])
def test_the_exit_codes_are_those_of_the_errors(name):
    line = re.search(r"^(?:Exit codes: )?(0 done, .*?\.)$", read(name), re.MULTILINE | re.DOTALL)[1]
    codes = {error.exit_code for error in UserError.__subclasses__()}
    assert {int(code) for code in re.findall(r"(?:^|,\s)(\d+) ", line)} == {0, INTERRUPTED, ENDED} | codes


def test_the_table_of_configurations_lists_each():
    assert first_cells(read("training"), "configuration") == {
        path.stem for path in (ROOT / "configs").glob("*.yaml")
    }


def test_the_table_of_datasets_lists_each():
    assert first_cells(read("datasets"), "name") == DATASETS.keys()


def test_the_page_of_the_configuration_is_current():
    assert read("configuration") == configuration.page(), "run `python -m docs.configuration`"


@pytest.mark.parametrize("name", LONGEST)
def test_a_page_is_short_and_begins_with_whom_it_is_for(name):
    lines = read(name).splitlines()
    assert len(lines) <= LONGEST[name]
    assert lines[0].startswith("# ") and lines[2].startswith("For ")


def test_readme_is_read_in_five_minutes():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 130 and max(map(len, lines)) <= 110


def anchors(path):
    """What the headings of a page are linked by."""
    headings = re.findall(r"^#+ (.*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_somewhere():
    for page in PAGES:
        for link, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", page.read_text(encoding="utf-8")):
            target = page.parent / link if link else page
            if "://" not in link:
                assert target.exists(), (page, link)
                assert not anchor or anchor in anchors(target), (page, link, anchor)
