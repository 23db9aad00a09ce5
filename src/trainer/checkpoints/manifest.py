"""The list of a run's checkpoints, and the SHA-256 of each."""

import hashlib
import json
from pathlib import Path
from typing import Any, TypedDict, cast

from src.util.atomic_file import write_atomically
from src.util.errors import CheckpointError
from src.util.file_manager import FileManager
from src.util.logger import LOG


class Entry(TypedDict):
    """A checkpoint in the manifest."""

    file: str
    epoch: int
    sha256: list[str]  # newest first; older ones stay valid, because a crash may have kept the old file
    interim: bool  # saved inside an epoch


class Manifest(TypedDict):
    """The checkpoints that a run has written, and may delete, in the order of writing."""

    last: list[Entry]
    best: dict[str, list[Entry]]


def read_manifest(files: FileManager) -> Manifest:
    """Read a run's manifest; an empty one if the run is new.

    Raises
    ------
    CheckpointError
        If the manifest and its copy are both damaged.
    """
    paths = (files.manifest_file, files.manifest_copy)
    if not any(path.exists() for path in paths):
        return Manifest(last=[], best={})
    for path in paths:
        if (manifest := _read(path, files)) is not None:
            if path != paths[0]:
                LOG.warning("%s: damaged or missing; using its copy %s", paths[0], path)
            return manifest
    raise CheckpointError(f"{paths[0]}: damaged; test.py still accepts the path of a checkpoint")


def write_manifest(files: FileManager, manifest: Manifest) -> None:
    """Write the manifest, then its copy, so that one of them is intact after a crash."""
    text = json.dumps({**manifest, "sha256": _hash(manifest)}, indent=1).encode()
    for path in (files.manifest_file, files.manifest_copy):
        with write_atomically(path) as file:
            file.write(text)


def sha256(data: bytes | memoryview) -> str:
    """Return the SHA-256 of bytes as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def _hash(manifest: Manifest) -> str:
    return sha256(json.dumps([manifest["last"], manifest["best"]], sort_keys=True).encode())


def _read(path: Path, files: FileManager) -> Manifest | None:
    """Read a manifest; None if it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not _is_sound(content, files):
        return None
    manifest = Manifest(last=content["last"], best=content["best"])
    # Early runs have manifests without a hash of their own.
    return manifest if content.get("sha256", _hash(manifest)) == _hash(manifest) else None


def _is_sound(content: Any, files: FileManager) -> bool:
    """Whether content is a manifest that names only files in the run's two checkpoint folders."""
    try:
        lists = cast(list[list[Entry]], [content["last"], *content["best"].values()])
        return all(
            (files.folder / entry["file"]).parent in (files.checkpoints, files.best_checkpoints)
            and entry["file"].endswith(".pth")
            and isinstance(entry["epoch"], int)
            and isinstance(entry["interim"], bool)
            and isinstance(entry["sha256"], list)
            for entries in lists
            for entry in entries
        )
    except (AttributeError, KeyError, TypeError):
        return False
