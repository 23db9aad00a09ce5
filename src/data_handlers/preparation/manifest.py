"""What a preparation has made, written down as it is made: a second run goes on from it."""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from src.data_handlers.datasets.base import Box
from src.data_handlers.preparation.plan import Frame
from src.util.errors import RunExistsError, StorageError

NAME = ".manifest.jsonl"
"""Hidden, because everything else in the folder is an image."""


class Entry(NamedTuple):
    """A piece that was made.

    Attributes
    ----------
    piece : str
        Its name.
    source : str
        Its frame's path from the data folder on.
    source_size, source_changed : int
        Bytes of the frame's file, and when it was changed, in ns.
    box : Box
        Where it lies in the frame: top, left, height, width in px, counted from 0.
    sha256 : str
        Of the piece's file.
    """

    piece: str
    source: str
    source_size: int
    source_changed: int
    box: Box
    sha256: str


class Manifest:
    """The file `.manifest.jsonl` of a target folder; only lines are added to it.

    The first line is the recipe, written with the second: where nothing was begun, there is no file.
    `{"begun": STEM}` comes before the first piece of a frame is written: from then on files under its
    pieces' names are ours, whether or not a kill lets their own lines follow.

    Parameters
    ----------
    folder : Path
        The target; it exists, and its lock is held.
    recipe : mapping
        How its pieces are made.

    Raises
    ------
    RunExistsError
        When the pieces there were made in another way.
    StorageError
        When the file is damaged or cannot be written.
    """

    def __init__(self, folder: Path, recipe: Mapping[str, object]) -> None:
        self.path = folder / NAME
        self.entries: dict[str, Entry] = {}
        self.begun: set[str] = set()
        self._file: BinaryIO | None = None
        lines = self._whole_lines()
        self._unwritten = [] if lines else [dict(recipe)]
        self._read(lines, recipe)

    def _whole_lines(self) -> list[bytes]:
        """The lines that are complete; what a kill left of one more is cut off."""
        try:
            content = self.path.read_bytes() if self.path.exists() else b""
            whole = content[: content.rfind(b"\n") + 1]
            if len(whole) < len(content):
                os.truncate(self.path, len(whole))
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be read: {error.strerror}") from None
        return whole.splitlines()

    def _read(self, lines: list[bytes], recipe: Mapping[str, object]) -> None:
        for number, line in enumerate(lines, 1):
            try:
                said = json.loads(line)
                if number == 1:
                    self._compare(said, recipe)
                elif "begun" in said:
                    self.begun.add(said["begun"])
                else:
                    entry = Entry(**{**said, "box": Box(*said["box"])})
                    self.entries[entry.piece] = entry
            except (ValueError, TypeError, AttributeError, KeyError):
                raise StorageError(
                    f"{self.path}: line {number} is damaged, and with it the knowledge of what was made here;"
                    " choose another -nf"
                ) from None

    def _compare(self, found: dict[str, Any], recipe: Mapping[str, object]) -> None:
        if found != dict(recipe):
            raise RunExistsError(
                f"{self.path.parent}: its pieces are others ({_words(found)}) than those asked for"
                f" ({_words(recipe)}); choose another -nf"
            )

    def owns(self, piece: str, frame: Frame) -> bool:
        """Whether a file under this name was made by a preparation, to the end or not."""
        return piece in self.entries or frame.stem in self.begun

    def known(self, frame: Frame) -> dict[str, str]:
        """SHA-256 of each piece of a frame that was made from the file as it is now."""
        current = (frame.size, frame.changed)
        found = ((piece, self.entries.get(piece.name)) for piece in frame.pieces)
        return {
            piece.name: entry.sha256
            for piece, entry in found
            if entry and (entry.source_size, entry.source_changed, entry.box) == (*current, piece.box)
        }

    def begin(self, frame: Frame) -> None:
        """Say that pieces of this frame are going to be written."""
        if frame.stem not in self.begun and any(piece.name not in self.entries for piece in frame.pieces):
            self.begun.add(frame.stem)
            self._append([{"begun": frame.stem}])

    def add(self, entries: Iterable[Entry]) -> None:
        """Write down pieces that were made."""
        added = list(entries)
        self.entries.update((entry.piece, entry) for entry in added)
        self._append([entry._asdict() for entry in added])

    def _append(self, lines: list[dict[str, Any]]) -> None:
        try:
            if self._file is None:
                self._file = open(self.path, "ab")
            lines, self._unwritten = [*self._unwritten, *lines], []
            self._file.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
            self._file.flush()
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be written: {error.strerror}") from None

    def close(self) -> None:
        """Nothing more is going to be added."""
        if self._file is not None:
            with suppress(OSError):  # of a full disk, which was said already
                self._file.close()


def _words(recipe: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in recipe.items())
