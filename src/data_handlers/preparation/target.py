"""The folder that pieces are written to: apart from the source, for one preparation at a time."""

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType

import filelock

from src.data_handlers.preparation.manifest import Manifest
from src.data_handlers.preparation.plan import Frame
from src.util.errors import ConfigError, RunExistsError, StorageError
from src.util.file_manager import made_folder

_LEFTOVER = re.compile(r"\.(?P<piece>.+)\.\d+\.tmp")
# A worker needs a moment to see that its preparation was killed; the lock is its, too, until then.
_PATIENCE = 3.0  # seconds


class Target:
    """A folder of pieces while they are made; use it in a `with` block, which holds the folder's lock.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    recipe : mapping
        How its pieces are made.
    pieces : mapping
        Name of each piece -> its frame.

    Raises
    ------
    RunExistsError
        On entering: another preparation is at work there, its pieces are of another kind, or files that no
        preparation made are in the way.
    StorageError
        On entering: it cannot be written to.
    """

    def __init__(self, folder: Path, recipe: Mapping[str, object], pieces: Mapping[str, Frame]) -> None:
        self.folder = folder
        self._recipe = recipe
        self._pieces = pieces
        self._lock = filelock.FileLock(folder / ".lock")
        self.manifest: Manifest

    def __enter__(self) -> "Target":
        made_folder(self.folder)
        try:
            self._lock.acquire(timeout=_PATIENCE)
        except filelock.Timeout:
            raise RunExistsError(f"{self.folder}: another preparation is writing to it") from None
        except OSError as error:
            raise StorageError(f"{self.folder}: cannot be written to: {error.strerror}") from None
        try:
            self.manifest = Manifest(self.folder, self._recipe)
            present = names_in(self.folder)
            self._refuse_foreign(present)
            self._remove_leftovers(present)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.manifest.close()
        self._lock.release()

    def _refuse_foreign(self, present: Collection[str]) -> None:
        foreign = sorted(
            name for name, frame in self._pieces.items()
            if name in present and not self.manifest.owns(name, frame)
        )  # fmt: skip
        if foreign:
            raise RunExistsError(
                f"{self.folder}: {len(foreign)} file(s) bear names of its pieces, but no preparation made"
                f" them, such as {foreign[0]}; move them away, or choose another -nf"
            )

    def _remove_leftovers(self, present: Collection[str]) -> None:
        """Temporary files of a preparation that was killed while it wrote them."""
        for name in present:
            match = _LEFTOVER.fullmatch(name)
            if match and match["piece"] in self._pieces:
                (self.folder / name).unlink(missing_ok=True)


def names_in(folder: Path) -> set[str]:
    """Names of all that is in a folder; nothing where there is none."""
    try:
        return set(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError as error:
        raise StorageError(f"{folder}: cannot be read: {error.strerror}") from None


def refuse_overlap(source: Path, target: Path) -> None:
    """See that neither folder lies in the other, whatever links lead to them.

    Raises
    ------
    ConfigError
    """
    for outer, inner, wrong in (
        (source, target, "is the data folder, or lies in it"),
        (target, source, "holds the data folder"),
    ):
        above = [inner.resolve(), *inner.resolve().parents]
        if outer.exists() and any(path.exists() and path.samefile(outer) for path in above):
            raise ConfigError(f"-nf: {target} {wrong} ({source}); choose a folder apart from it")
