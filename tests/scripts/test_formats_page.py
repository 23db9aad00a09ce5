"""docs/formats.md is up to date, and no loss is silent."""

import re

import pytest

from docs.formats.files import missing
from docs.formats.page import PAGE, page_text


@pytest.fixture(scope="module")
def page():
    return page_text()


def test_the_page_is_up_to_date(page):
    """Except for formats that cannot be tried here."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    assert page.splitlines() == [
        line for line in lines if not line.startswith(tuple(f"| {name} |" for name in missing()))
    ]


def test_nothing_is_lost_without_a_message(page):
    cells = re.findall(r"(?<=\| )[^|\n]*(?= \|)", page.partition("\n## ")[2])
    assert {"kept", "upright", "RGB, logged", "lost, logged", "refused"} <= set(cells)
    assert {"lost", "RGB", "8 bits", "the first", "as stored"} & set(cells) == set()
