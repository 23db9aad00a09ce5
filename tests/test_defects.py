"""Every known defect of the original has a test with its name, or a reason in docs/reliability.md."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
# C: command line and configuration; F: files; K: checkpoints; T: training; E: evaluation; D: datasets;
# M: maskers; L: losses; U: networks; P: preparation; S: submission; PD: the trainer with pixel shuffle.
COUNTS = {
    "c": 18, "f": 17, "k": 25, "t": 15, "e": 20, "d": 18, "m": 18, "l": 5, "u": 7, "p": 11, "s": 5, "pd": 4
}  # fmt: skip
DEFECTS = [f"{letter}{number}" for letter, count in COUNTS.items() for number in range(1, count + 1)]


def names_in_tests():
    """Return the defects named at the beginning of test names, such as `test_k2_k3_...`."""
    texts = (path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    names = [name for text in texts for name in re.findall(r"def test_(\w+)", text)]
    return {part for name in names for part in re.match(r"((?:[a-z]{1,2}\d+_)*)", name)[1].split("_")}


def explained():
    """Return the defects in the table of docs/reliability.md."""
    return set(
        re.findall(r"^\| ([a-z]{1,2}\d+) \|", (ROOT / "docs" / "reliability.md").read_text().lower(), re.M)
    )


def test_every_known_defect_has_either_a_test_or_a_reason():
    tested, reasons = names_in_tests(), explained()
    assert [name for name in DEFECTS if name not in tested | reasons] == []
    assert sorted(reasons & tested) == []
    assert reasons <= set(DEFECTS)
