"""What an earlier page shows of images, for a new page that shows them again."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

_VIEWS = 1
"""To be raised when views are made in another way: those of earlier pages are of no use then."""

_ROW = re.compile(r'^<tr id="r(\d+)" data-key="(\w+)">.*?<img src="(data:image/[^"]*)"', re.MULTILINE)
_DATA = re.compile(r'^<script type="application/json" id="d(\d+)">([^<]*)</script>', re.MULTILINE)


class Kept(NamedTuple):
    """An image on an earlier page.

    Attributes
    ----------
    thumbnail : str
        As in `Entry`.
    data : dict
        As in `Entry`.
    """

    thumbnail: str
    data: dict[str, Any]

    @property
    def bytes(self) -> int:
        """Length of its views before they became text."""
        return sum(3 * len(uri.partition(",")[2].rstrip("=")) // 4 for uri in self.data["files"].values())


def key_of(files: Sequence[Path], *how: object) -> str:
    """What views are made from: the files' content and all else that decides them; empty if one is gone."""
    digest = hashlib.blake2b(repr((_VIEWS, *how)).encode(), digest_size=12)
    try:
        for file in files:
            with open(file, "rb") as stream:
                while part := stream.read(2**20):
                    digest.update(part)
    except OSError:
        return ""
    return digest.hexdigest()


def kept_images(page: Path) -> dict[str, Kept]:
    """The images of a page, each by its key; none where there is no page, or a damaged one.

    Parameters
    ----------
    page : Path
        Of our own making.
    """
    try:
        text = page.read_text(encoding="utf-8")
        rows = {number: (key, thumbnail) for number, key, thumbnail in _ROW.findall(text)}
        found = {number: json.loads(data) for number, data in _DATA.findall(text)}
    except (OSError, ValueError):
        return {}
    kept = {rows[n][0]: Kept(rows[n][1], data) for n, data in found.items() if n in rows}
    return {key: each for key, each in kept.items() if {"files", "whole"} <= each.data.keys()}
