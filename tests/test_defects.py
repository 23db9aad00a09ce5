"""Every known defect of the original has a test of its name, or a line in docs/reliability.md why not."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [*ROOT.glob("*.py"), *(ROOT / "src").rglob("*.py")]
# C: command line and configuration; F: files; K: checkpoints; T: training; E: evaluation; D: datasets;
# M: maskers; L: losses; U: networks; P: preparation; S: submission; PD: the trainer with pixel shuffle.
COUNTS = {
    "c": 18, "f": 17, "k": 25, "t": 15, "e": 20, "d": 18, "m": 18, "l": 5, "u": 7, "p": 11, "s": 5, "pd": 4
}  # fmt: skip
DEFECTS = [f"{letter}{number}" for letter, count in COUNTS.items() for number in range(1, count + 1)]


def names_in_tests():
    names = [
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"def test_(\w+)", path.read_text(encoding="utf-8"))
    ]
    return {part for name in names for part in re.match(r"((?:[a-z]{1,2}\d+_)*)", name)[1].split("_")}


def explained():
    return set(
        re.findall(r"^\| ([a-z]{1,2}\d+) \|", (ROOT / "docs" / "reliability.md").read_text().lower(), re.M)
    )


def test_every_known_defect_has_a_test_or_a_reason_why_it_cannot_occur():
    assert [name for name in DEFECTS if name not in names_in_tests() | explained()] == []


def test_no_reason_is_given_for_what_has_a_test():
    assert sorted(explained() & names_in_tests()) == []
    assert explained() <= set(DEFECTS)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_e1_s1_s5_no_device_by_name_no_bare_except_nothing_of_the_users_wiped(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None), f"line {node.lineno}"
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            assert not name.endswith(".cuda"), f"line {node.lineno}"
            if name.endswith("rmtree"):  # of what this process has just made under a name of its own
                assert ast.unparse(node.args[0]) == "temporary", f"line {node.lineno}"
