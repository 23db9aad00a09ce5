"""Save checkpoints atomically, verify them on loading, and delete only those that the run itself wrote."""

import io
from pathlib import Path
from typing import Any

import torch

from src.trainer.checkpoints.archive import check_archive, check_content
from src.trainer.checkpoints.exported import is_exported, read_exported
from src.trainer.checkpoints.general import PATH, check_general
from src.trainer.checkpoints.manifest import Entry, read_manifest, sha256, write_manifest
from src.util.atomic_file import write_atomically
from src.util.errors import CheckpointError
from src.util.file_manager import FileManager, run_around
from src.util.logger import LOG

KEPT = 2  # the last checkpoint, and one to fall back on if it is damaged


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Load a checkpoint. No code in the file is ever executed.

    Parameters
    ----------
    path : Path
        A `.pth` file with `epoch` and `model_weights`, or an exported file. Checkpoints of the original
        program are supported.
    device : torch.device or str
        Device of the loaded tensors.

    Returns
    -------
    dict
        `epoch`, `model_weights` (without a `module.` prefix), `optimizer_weights`, and, unless the original
        program saved it, `config` and `state`.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged or no checkpoint, or its weights are not finite.
    """
    try:
        if path.is_file() and is_exported(path):
            content = read_exported(path, device)
        else:
            check_archive(path)
            content = torch.load(path, map_location=device, weights_only=True)
            check_content(content)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: there is no such checkpoint") from None
    except Exception as error:  # torch raises many kinds for damaged and foreign files
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: not a readable checkpoint: {reason}") from None
    if not isinstance(content, dict) or not {"epoch", "model_weights"} <= content.keys():
        raise CheckpointError(f"{path}: expected a checkpoint with 'epoch' and 'model_weights'")
    weights = content["model_weights"]
    if not isinstance(content["epoch"], int) or not _are_weights(weights):
        raise CheckpointError(f"{path}: expected 'epoch' to be a number and 'model_weights' tensors by name")
    if broken := [name for name, value in weights.items() if not _is_finite(value)]:
        raise CheckpointError(
            f"{path}: {len(broken)} of its weights are not finite, first {broken[0]}; use an earlier one"
        )
    content["model_weights"] = {name.removeprefix("module."): value for name, value in weights.items()}
    return content


def load_verified(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Load a checkpoint. If it is the general network or in a run's folder, verify its SHA-256 first.

    Raises
    ------
    CheckpointError
        If the file is changed; otherwise as in `load_checkpoint`.
    """
    if path == PATH:
        check_general()
    elif run := run_around(path):
        try:
            store = CheckpointStore(run)
        except CheckpointError:  # the manifest is damaged
            return load_checkpoint(path, device)
        store.verify(path.resolve())
    return load_checkpoint(path, device)


class CheckpointStore:
    """The checkpoints of one run, listed with their hashes in `manifest.json`.

    Parameters
    ----------
    files : FileManager
        The run's paths.

    Notes
    -----
    The hash of new content is added to the manifest before a file is replaced, and an old file is deleted
    only after the new one is on disk. A crash at any point leaves a valid checkpoint.
    """

    def __init__(self, files: FileManager) -> None:
        self.files = files
        self.manifest = read_manifest(files)

    def save_last(self, content: dict[str, Any], epoch: int, keep_all: bool) -> Path:
        """Save an epoch's checkpoint, delete interim ones, and keep the last two unless `keep_all`."""
        path = self.files.checkpoint_file(epoch)
        entries = self.manifest["last"]
        self._write(path, content, epoch, entries)
        epochs, interim = _split_interim(entries)
        self._forget(interim if keep_all else interim + epochs[:-KEPT], entries)
        return path

    def save_interim(self, content: dict[str, Any], epoch: int, step: int) -> Path:
        """Save a checkpoint inside the epoch after `epoch`, and keep the last two of these."""
        path = self.files.interim_file(epoch, step)
        entries = self.manifest["last"]
        self._write(path, content, epoch, entries, interim=True)
        self._forget(_split_interim(entries)[1][:-KEPT], entries)
        return path

    def save_best(self, content: dict[str, Any], epoch: int, metric: str, value: float) -> Path:
        """Save the best checkpoint by a metric, then delete the one before it."""
        path = self.files.best_file(epoch, metric, value)
        entries = self.manifest["best"].setdefault(metric, [])
        self._write(path, content, epoch, entries)
        self._forget(entries[:-1], entries)
        return path

    def release_best(self, metric: str, epoch: int) -> None:
        """Keep the best checkpoint by a metric for good, because later scores are not comparable."""
        if entries := self.manifest["best"].pop(metric, None):
            self.manifest["best"][f"{metric}, to epoch {epoch}"] = entries
            write_manifest(self.files, self.manifest)

    def load(self, path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
        """Verify a checkpoint of this run, then load it as `load_checkpoint` does."""
        self.verify(path)
        return load_checkpoint(path, device)

    def is_empty(self) -> bool:
        """Whether the run was stopped before it saved a checkpoint."""
        last, best = self.manifest["last"], self.manifest["best"].values()
        if len(last) == 1:
            scored = max((entry["epoch"] for entries in best for entry in entries), default=0)
            # An epoch is saved before its validation, so without a later best the file may not exist yet.
            if scored < last[0]["epoch"] + last[0]["interim"]:
                return not (self.files.folder / last[0]["file"]).exists()
        return not last and not any(self.files.checkpoints.glob("*.pth"))

    def verify(self, path: Path) -> None:
        """Compare the SHA-256 of a file with the manifest, if it exists and is listed.

        Raises
        ------
        CheckpointError
            If a single bit differs, which loading alone would not notice.
        """
        if self._is_as_written(path):
            return
        self.manifest = read_manifest(self.files)  # the run may have saved it again in the meantime
        if not self._is_as_written(path):
            raise CheckpointError(f"{path}: damaged (its SHA-256 is not the one in the manifest)")

    def newest(self, device: torch.device | str = "cpu") -> tuple[Path, dict[str, Any]]:
        """Load the newest undamaged checkpoint; return its path and content.

        Raises
        ------
        CheckpointError
            If there is none.
        """
        while True:
            listed = self._listed()
            for entry, _ in reversed(listed):
                path = self.files.folder / entry["file"]
                try:
                    return path, self.load(path, device)
                except CheckpointError as error:
                    LOG.warning("%s; going back to the checkpoint before it", error)
            self.manifest = read_manifest(self.files)
            if self._listed() == listed:  # otherwise the run has saved meanwhile
                raise CheckpointError(f"{self.files.checkpoints}: no usable checkpoint of this run")

    def _listed(self) -> list[tuple[Entry, bool]]:
        """The last checkpoints in the manifest, and whether each file exists."""
        return [(entry, (self.files.folder / entry["file"]).exists()) for entry in self.manifest["last"]]

    def _is_as_written(self, path: Path) -> bool:
        lists = [self.manifest["last"], *self.manifest["best"].values()]
        written = {
            self.files.folder / entry["file"]: entry["sha256"] for entries in lists for entry in entries
        }
        return path not in written or not path.is_file() or sha256(path.read_bytes()) in written[path]

    def _write(
        self, path: Path, content: dict[str, Any], epoch: int, entries: list[Entry], interim: bool = False
    ) -> None:
        buffer = io.BytesIO()
        torch.save(content, buffer)
        name = path.relative_to(self.files.folder).as_posix()
        hashes = [sha256(buffer.getbuffer())]
        for earlier in [entry for entry in entries if entry["file"] == name]:
            hashes += earlier["sha256"]
            entries.remove(earlier)
        entries.append(Entry(file=name, epoch=epoch, sha256=hashes, interim=interim))
        write_manifest(self.files, self.manifest)
        with write_atomically(path, size=buffer.tell()) as file:
            file.write(buffer.getbuffer())

    def _forget(self, old: list[Entry], entries: list[Entry]) -> None:
        if not old:
            return
        for entry in old:
            (self.files.folder / entry["file"]).unlink(missing_ok=True)
        entries[:] = [entry for entry in entries if entry not in old]
        write_manifest(self.files, self.manifest)


def _split_interim(entries: list[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Split into checkpoints of whole epochs and those inside an epoch."""
    interim = [entry for entry in entries if entry["interim"]]
    return [entry for entry in entries if entry not in interim], interim


def _is_finite(value: torch.Tensor) -> bool:
    return value.is_meta or not value.is_floating_point() or bool(torch.isfinite(value).all())


def _are_weights(weights: Any) -> bool:
    return isinstance(weights, dict) and all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in weights.items()
    )
