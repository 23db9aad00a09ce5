"""The target folder of pieces: apart from the source, locked, with a record of the frames that were cut."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import filelock

from src.data_handlers.preparation.plan import Frame, Plan
from src.util.atomic_file import write_atomically
from src.util.errors import ConfigError, RunExistsError, StorageError
from src.util.file_manager import made_folder

RECORD = ".manifest.jsonl"
"""The record of a target folder; hidden, because all other files in the folder are images.

Line 1 is the recipe. Each other line names a frame and the size of its file in bytes. The record is written
before the first piece, so files under the names of recorded frames' pieces are known to be ours.
"""
_LEFTOVER = re.compile(r"\.(?P<piece>.+)\.\d+\.tmp")
# A worker holds the lock until it notices that its preparation was killed.
_LOCK_TIMEOUT = 3.0  # seconds


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a target folder; make the folder if it is missing.

    Raises
    ------
    RunExistsError
        If another preparation holds the lock.
    StorageError
        If the folder cannot be made or written to.
    """
    lock = filelock.FileLock(made_folder(folder) / ".lock")
    try:
        lock.acquire(timeout=_LOCK_TIMEOUT)
    except filelock.Timeout:
        raise RunExistsError(f"{folder}: another preparation is writing to it") from None
    except OSError as error:
        raise StorageError(f"{folder}: cannot be written to: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()


def claim_targets(plan: Plan) -> None:
    """Record the frames of a plan in its targets, and remove temporary files of a killed preparation.

    Nothing is written unless all targets, which must be locked, can be claimed.

    Raises
    ------
    RunExistsError
        If a target holds pieces of another recipe or another source file, or files that no preparation made
        under names of the pieces.
    StorageError
        If a record is damaged or cannot be read or written.
    """
    records: dict[Path, bytes] = {}
    leftovers: list[Path] = []
    for folder, recipe in plan.recipes.items():
        frames = plan.frames(folder)
        present = names_in(folder)
        sizes = _recorded(folder / RECORD, recipe)
        _refuse_foreign(folder, present, sizes, frames)
        sizes |= {frame.stem: frame.source.stat().st_size for frame in frames}
        lines = [recipe, *({"begun": stem, "size": size} for stem, size in sorted(sizes.items()))]
        records[folder / RECORD] = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
        pieces = {piece.name for frame in frames for piece in frame.pieces}
        matches = (_LEFTOVER.fullmatch(name) for name in present)
        leftovers += [folder / match[0] for match in matches if match and match["piece"] in pieces]
    for path, content in records.items():
        with write_atomically(path) as file:
            file.write(content)
    for path in leftovers:
        path.unlink(missing_ok=True)


def _recorded(record: Path, recipe: Mapping[str, object]) -> dict[str, int | None]:
    """Return the recorded size of each frame's file; None if only the frame was recorded."""
    try:
        content = record.read_bytes() if record.exists() else b""
        # What follows the last newline is an unfinished line.
        found, *entries = [json.loads(line) for line in content.split(b"\n")[:-1]] or [recipe]
        sizes: dict[str, int | None] = {e["begun"]: e.get("size") for e in entries if "begun" in e}
    except OSError as error:
        raise StorageError(f"{record}: cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, AttributeError):
        raise StorageError(f"{record}: damaged, so its pieces are unknown; choose another -nf") from None
    if found != recipe:
        raise RunExistsError(
            f"{record.parent}: holds pieces of {found}, expected {recipe}; choose another -nf"
        )
    return sizes


def _refuse_foreign(
    folder: Path, present: set[str], sizes: Mapping[str, int | None], frames: Sequence[Frame]
) -> None:
    foreign = []
    for frame in frames:
        there = [piece.name for piece in frame.pieces if piece.name in present]
        if frame.stem not in sizes:
            foreign += there
        elif there and sizes[frame.stem] not in (None, frame.source.stat().st_size):
            raise RunExistsError(
                f"{folder}: {there[0]} was cut from another file than {frame.source} is now; delete the"
                f" pieces {frame.stem}_*, or choose another -nf"
            )
    if foreign:
        raise RunExistsError(
            f"{folder}: {len(foreign)} file(s) have names of its pieces, but no preparation made them, such"
            f" as {min(foreign)}; move them away, or choose another -nf"
        )


def names_in(folder: Path) -> set[str]:
    """Return the names of all files in a folder; none if there is no such folder.

    Raises
    ------
    StorageError
        If the folder cannot be read.
    """
    try:
        return set(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError as error:
        raise StorageError(f"{folder}: cannot be read: {error.strerror}") from None


def refuse_overlap(source: Path, target: Path) -> None:
    """Check that neither folder is inside the other, with links resolved.

    Raises
    ------
    ConfigError
        If one is.
    """
    for outer, inner, problem in (
        (source, target, "is the data folder or inside it"),
        (target, source, "contains the data folder"),
    ):
        above = [inner.resolve(), *inner.resolve().parents]
        if outer.exists() and any(path.exists() and path.samefile(outer) for path in above):
            raise ConfigError(f"-nf: {target} {problem} ({source}); choose a folder apart from it")
