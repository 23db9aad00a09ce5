"""Read the views of an earlier page, so that a new page need not make them again."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

_VIEWS = 1
"""Version of the views. Raise it when they change, so that earlier pages are not reused."""

_ROW = re.compile(r'^<tr id="r(\d+)" data-key="(\w+)">.*?<img src="(data:image/[^"]*)"', re.MULTILINE)
_DATA = re.compile(r'^<script type="application/json" id="d(\d+)">([^<]*)</script>', re.MULTILINE)


class Kept(NamedTuple):
    """An image on an earlier page: its `thumbnail` and its `data`, as in `Entry`."""

    thumbnail: str
    data: dict[str, Any]

    @property
    def bytes(self) -> int:
        """Number of bytes of its views before base64."""
        return sum(3 * len(uri.partition(",")[2].rstrip("=")) // 4 for uri in self.data["files"].values())


def key_of(files: Sequence[Path], *how: object) -> str:
    """Return a digest of the files' content and of `how` views are made; empty if a file is missing."""
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
    """Return the images of a page of ours, by their keys; none if the page is missing or damaged."""
    try:
        text = page.read_text(encoding="utf-8")
        rows = {number: (key, thumbnail) for number, key, thumbnail in _ROW.findall(text)}
        found = {number: json.loads(data) for number, data in _DATA.findall(text)}
    except (OSError, ValueError):
        return {}
    kept = {rows[n][0]: Kept(rows[n][1], data) for n, data in found.items() if n in rows}
    return {key: each for key, each in kept.items() if {"files", "whole"} <= each.data.keys()}
