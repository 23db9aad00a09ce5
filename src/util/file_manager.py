"""The layout of a run's folder; no other module depends on it."""

import os
import re
from datetime import datetime
from pathlib import Path

import filelock

from src.util.errors import ConfigError, RunExistsError, StorageError

_FORBIDDEN = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f\ud800-\udfff]')
_LEFTOVER = re.compile(r"\..+\.\d+\.tmp")  # a temporary file of `write_atomically`
_TEST = "test_"
_LINK = "a link; nothing of a run is written outside its folder"
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


class FileManager:
    """Paths of one run, `OUTPUT/RUN/{best_ckpts,checkpoint,img,logs,tboard}`.

    The constructor does not touch the disk; `create` and `open` do.

    Parameters
    ----------
    output_folder : Path
        The folder of all runs.
    run_name : str
        Name of the run's folder in it.

    Raises
    ------
    ConfigError
        When the name is empty, is a path, or is not a valid folder name on every system.
    """

    def __init__(self, output_folder: Path, run_name: str) -> None:
        self.run_name = _checked_name(run_name)
        self.folder = output_folder / run_name
        if self.folder.is_symlink():
            raise ConfigError(f"-s {run_name}: {self.folder} is a link; expected a folder")
        self.checkpoints = self.folder / "checkpoint"
        self.best_checkpoints = self.folder / "best_ckpts"
        self.images = self.folder / "img"
        self.logs = self.folder / "logs"
        self.tensorboard = self.folder / "tboard"
        self.config_file = self.folder / "config.yaml"
        self.images_file = self.folder / "pictures.json"
        self.manifest_file = self.folder / "manifest.json"
        self.manifest_copy = self.folder / "manifest.copy.json"
        self.log_file = self.logs / "train.log"
        self.scores_file = self.logs / "validation.csv"
        self._lock = filelock.FileLock(self.folder / ".lock")

    def create(self) -> None:
        """Create the folders of a new run and take its lock.

        Raises
        ------
        RunExistsError
            When a run of this name exists.
        StorageError
            When the folder cannot be created.
        """
        made_folder(self.folder.parent)
        try:
            self.folder.mkdir()
        except FileExistsError:
            self.expect_free()
            raise
        except OSError as error:
            raise StorageError(f"{self.folder}: cannot be made: {error.strerror}") from None
        self._take()

    def open(self) -> None:
        """Take the lock of an existing run, to resume it.

        Raises
        ------
        ConfigError
            When the run does not exist.
        RunExistsError
            When another process is writing to it.
        """
        self.expect_run()
        self._take()

    def expect_free(self) -> None:
        """Raise RunExistsError when the run's folder, or a file of its name, exists."""
        if os.path.lexists(self.folder):
            raise RunExistsError(
                f"-s {self.run_name}: {self.folder} exists; add -r to resume it, or choose another name"
            )

    def expect_run(self) -> None:
        """Raise ConfigError when the run does not exist."""
        if not self.folder.is_dir():
            raise ConfigError(f"-r: there is no run {self.folder} to resume; leave -r out to start it")

    def _take(self) -> None:
        folders = (self.checkpoints, self.best_checkpoints, self.images, self.logs, self.tensorboard)
        for path in (*folders, self.log_file, Path(self._lock.lock_file)):
            if path.is_symlink():
                raise ConfigError(f"{path}: {_LINK}")
        try:
            for folder in folders:
                folder.mkdir(exist_ok=True)
            self._lock.acquire(timeout=0)
            for leftover in self.folder.rglob(".*.tmp"):  # from a process that was killed while writing
                if _LEFTOVER.fullmatch(leftover.name) and not self._is_of_test(leftover):
                    leftover.unlink(missing_ok=True)
        except filelock.Timeout:
            raise RunExistsError(f"{self.folder}: another process is training this run") from None
        except OSError as error:
            raise StorageError(f"{self.folder}: cannot be written to: {error.strerror}") from None

    def _is_of_test(self, path: Path) -> bool:
        """Return whether a file is in a test's folder: a test takes no lock and may be running."""
        return any(above.parent == self.images and above.name.startswith(_TEST) for above in path.parents)

    def close(self) -> None:
        """Release the lock."""
        self._lock.release()

    def checkpoint_file(self, epoch: int) -> Path:
        """Return `checkpoint/RUN_EEE.pth`."""
        return self.checkpoints / f"{self.run_name}_{epoch:03d}.pth"

    def interim_file(self, epoch: int, step: int) -> Path:
        """Return `checkpoint/RUN_EEE_step_SSSSSS.pth`, of a step within the epoch after EEE."""
        return self.checkpoints / f"{self.run_name}_{epoch:03d}_step_{step:06d}.pth"

    def best_file(self, epoch: int, metric: str, value: float) -> Path:
        """Return `best_ckpts/RUN_EEE_psnr_PP.PP.pth` and the like; the value is only for display."""
        digits = {"psnr": 2, "ssim": 3}.get(metric, 6)
        return self.best_checkpoints / f"{self.run_name}_{epoch:03d}_{metric}_{value:.{digits}f}.pth"

    def find_checkpoint(self, name: str) -> Path | None:
        """Find a checkpoint of this run by its file name, with or without `.pth`."""
        for folder in (self.checkpoints, self.best_checkpoints):
            for candidate in (folder / name, folder / f"{name}.pth"):
                if Path(name).name == name and os.path.isfile(candidate):
                    return candidate
        return None

    def validation_folder(self, epoch: int) -> Path:
        """Return `img/val_EEE`, created if needed."""
        return made_folder(self.images / f"val_{epoch:03d}")

    def test_folder(self, dataset: str, epoch: int) -> Path:
        """Create a new folder `img/test_DATASET_EEE_TIME`."""
        if self.images.is_symlink():
            raise ConfigError(f"{self.images}: {_LINK}")
        stem = f"{_TEST}{dataset}_{epoch:03d}_{timestamp()}"
        for attempt in range(1, 1000):
            folder = self.images / (stem if attempt == 1 else f"{stem}_{attempt}")
            if not folder.exists():
                return made_folder(folder)
        raise StorageError(f"{self.images}: a thousand tests in one second; remove some of {stem}*")


def run_around(checkpoint: Path) -> FileManager | None:
    """Return the run that a checkpoint belongs to; None if it is in no run, or the run has no manifest."""
    folder = checkpoint.resolve().parent.parent
    try:
        run = FileManager(folder.parent, folder.name)
    except ConfigError:  # the folder's name is not valid for a run
        return None
    inside = checkpoint.resolve().parent in (run.checkpoints, run.best_checkpoints)
    return run if inside and (run.manifest_file.is_file() or run.manifest_copy.is_file()) else None


def timestamp() -> str:
    """Return the current time as `YYYYMMDD_HHMMSS`."""
    return datetime.now().strftime("%Y%m%d_%H%M%S")


def expect_free(
    path: Path, flag: str = "", fix: str = "add --overwrite to replace it, or choose another place"
) -> None:
    """Raise ConfigError when a file exists that is about to be written.

    Parameters
    ----------
    path : Path
        The file.
    flag : str
        The flag that named it, for the message.
    fix : str
        How to fix it, for the message.
    """
    if os.path.lexists(path):
        raise ConfigError(f"{flag} {path}: exists; {fix}".lstrip())


def made_folder(folder: Path) -> Path:
    """Create a folder and its parents if needed, and return it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: cannot be made: {error.strerror}") from None
    return folder


def _checked_name(name: str) -> str:
    wrong = (
        not name.strip() or name.startswith(".") or name != name.strip() or name.endswith(".")
        or _FORBIDDEN.search(name) or len(name.encode()) > 150 or _RESERVED.fullmatch(name)
    )  # fmt: skip
    if wrong:
        raise ConfigError(
            f"-s {name!r}: expected one plain folder name (no path, no leading dot, at most 150 bytes)"
        )
    return name
