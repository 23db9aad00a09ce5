"""Checkpoints: written whole, verified when read, and deleted only if this run wrote them."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any, TypedDict

import torch

from src.util.atomic_file import write_atomically
from src.util.errors import CheckpointError
from src.util.file_manager import FileManager
from src.util.logger import LOG

KEPT = 2  # checkpoints that stay when not all are kept: the last, and one to fall back on


class Entry(TypedDict):
    """A file of ours in the manifest."""

    file: str
    epoch: int
    sha256: list[str]  # newest first; the one before stays valid until the file has been replaced


class Manifest(TypedDict):
    """What a run has written and may therefore delete."""

    last: list[Entry]
    best: dict[str, Entry]


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint of ours or of the original onto a device.

    Parameters
    ----------
    path : Path
        A `.pth` file with `epoch` and `model_weights`.
    device : torch.device or str
        Where the tensors go, whatever device they were saved on.

    Returns
    -------
    dict
        `epoch`, `model_weights` (no `module.` prefix), `optimizer_weights`, and in ours `config` and `state`.

    Raises
    ------
    CheckpointError
        When the file is missing, damaged, or no checkpoint. Nothing in it is ever executed.
    """
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: there is no such checkpoint") from None
    except Exception as error:  # torch raises a dozen kinds for damaged or foreign files
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: not a readable checkpoint: {reason}") from None
    if not isinstance(content, dict) or not {"epoch", "model_weights"} <= content.keys():
        raise CheckpointError(f"{path}: expected a checkpoint with 'epoch' and 'model_weights'")
    weights = content["model_weights"]
    content["model_weights"] = {name.removeprefix("module."): value for name, value in weights.items()}
    return content


class CheckpointStore:
    """The checkpoints of one run, listed with their hashes in `manifest.json`.

    Parameters
    ----------
    files : FileManager
        The run's paths.

    Notes
    -----
    A file's new hash enters the manifest before the file is replaced, beside the old one, and an old file
    goes only after the new one is on disk. So a crash at any point leaves a checkpoint that verifies.
    """

    def __init__(self, files: FileManager) -> None:
        self.files = files
        self.manifest = self._read_manifest()

    def save_last(self, content: dict[str, Any], epoch: int, keep_all: bool) -> Path:
        """Save an epoch's checkpoint; unless `keep_all`, the last two stay."""
        path = self.files.checkpoint_file(epoch)
        known = {entry["file"]: entry for entry in self.manifest["last"]}
        entry = self._write(path, content, epoch, known)
        others = [e for e in self.manifest["last"] if e["file"] != entry["file"]]
        kept = sorted([*others, entry], key=lambda e: e["epoch"])
        gone = [] if keep_all else kept[:-KEPT]
        self.manifest["last"] = kept[len(gone) :]
        self._forget(gone)
        return path

    def save_best(self, content: dict[str, Any], epoch: int, metric: str, value: float) -> Path:
        """Save the best checkpoint by a metric, then remove the one it beats."""
        path = self.files.best_file(epoch, metric, value)
        old = self.manifest["best"].get(metric)
        entry = self._write(path, content, epoch, {old["file"]: old} if old else {}, metric)
        if old and old["file"] != entry["file"]:
            self._forget([old])
        return path

    def newest(self, device: torch.device | str = "cpu") -> tuple[Path, dict[str, Any]]:
        """The newest checkpoint that is whole.

        Raises
        ------
        CheckpointError
            When the run has none.
        """
        for entry in reversed(self.manifest["last"]):
            path = self.files.folder / entry["file"]
            if not path.is_file():
                LOG.warning("%s: missing; going back to the checkpoint before it", path)
            elif _sha256(path.read_bytes()) not in entry["sha256"]:
                LOG.warning("%s: damaged (its SHA-256 differs); going back to the one before it", path)
            else:
                return path, load_checkpoint(path, device)
        raise CheckpointError(f"{self.files.checkpoints}: no usable checkpoint of this run is there")

    def _write(
        self, path: Path, content: dict[str, Any], epoch: int, known: dict[str, Entry], metric: str = ""
    ) -> Entry:
        buffer = io.BytesIO()
        torch.save(content, buffer)
        name = path.relative_to(self.files.folder).as_posix()
        before = known[name]["sha256"][:1] if name in known else []
        entry = Entry(file=name, epoch=epoch, sha256=[_sha256(buffer.getbuffer()), *before])
        if metric:
            self.manifest["best"][metric] = entry
        else:
            self.manifest["last"] = [e for e in self.manifest["last"] if e["file"] != name] + [entry]
        self._write_manifest()
        write_atomically(path, lambda file: file.write(buffer.getbuffer()))
        return entry

    def _forget(self, entries: list[Entry]) -> None:
        for entry in entries:
            (self.files.folder / entry["file"]).unlink(missing_ok=True)
        self._write_manifest()

    def _write_manifest(self) -> None:
        text = json.dumps(self.manifest, indent=1)
        write_atomically(self.files.manifest_file, lambda file: file.write(text.encode()))

    def _read_manifest(self) -> Manifest:
        try:
            manifest: Manifest = json.loads(self.files.manifest_file.read_text(encoding="utf-8"))
            return manifest
        except FileNotFoundError:
            return Manifest(last=[], best={})
        except ValueError:
            raise CheckpointError(
                f"{self.files.manifest_file}: damaged; name a checkpoint by --pretrained to use it"
            ) from None


def _sha256(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()
