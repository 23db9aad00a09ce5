"""docs/formats.md says what becomes of all that comes with an image."""

import re

import pytest

from docs.formats.files import missing
from docs.formats.page import PAGE, written


@pytest.fixture(scope="module")
def page():
    return written()


def test_the_page_is_as_the_program_makes_it(page):
    """But for formats that cannot be tried here."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    assert page.splitlines() == [
        line for line in lines if not line.startswith(tuple(f"| {name} |" for name in missing()))
    ]


def test_nothing_is_lost_without_a_word(page):
    cells = re.findall(r"(?<=\| )[^|\n]*(?= \|)", page.partition("\n## ")[2])
    assert {"kept", "upright", "RGB, said", "lost, said", "refused"} <= set(cells)
    assert {"lost", "RGB", "8 bits", "the first", "as stored"} & set(cells) == set()
