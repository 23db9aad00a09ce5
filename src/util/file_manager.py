"""The only module that knows how a run's folder is laid out."""

import os
import re
from datetime import datetime
from pathlib import Path

import filelock

from src.util.errors import ConfigError, RunExistsError, StorageError

_FORBIDDEN = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f\ud800-\udfff]')
_LEFTOVER = re.compile(r"\..+\.\d+\.tmp")  # of `write_atomically`
_TEST = "test_"
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


class FileManager:
    """Paths of one run, `OUTPUT/RUN/{best_ckpts,checkpoint,img,logs,tboard}`.

    Making one touches nothing on disk; `create` and `open` do.

    Parameters
    ----------
    output_folder : Path
        Where runs are kept.
    run_name : str
        The run's folder in it: one plain name.

    Raises
    ------
    ConfigError
        When the name is empty, leaves the output folder or cannot be a folder's name everywhere.
    """

    def __init__(self, output_folder: Path, run_name: str) -> None:
        self.run_name = _checked_name(run_name)
        self.folder = output_folder / run_name
        if self.folder.is_symlink():
            raise ConfigError(f"-s {run_name}: {self.folder} is a link; a run is a folder of its own")
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
        """Make the folders of a new run and take its lock.

        Raises
        ------
        RunExistsError
            When the name is taken: nothing of an earlier run is ever mixed with a new one.
        StorageError
            When the folder cannot be made.
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
        """Take the lock of a run that is there, to resume it.

        Raises
        ------
        ConfigError
            When there is no such run.
        RunExistsError
            When another process is writing to it.
        """
        self.expect_run()
        self._take()

    def expect_free(self) -> None:
        """Raise RunExistsError when something of the run's name is there; see `create`."""
        if os.path.lexists(self.folder):
            raise RunExistsError(
                f"-s {self.run_name}: {self.folder} exists; add -r to resume it, or choose another name"
            )

    def expect_run(self) -> None:
        """Raise ConfigError when there is no run of this name to resume; see `open`."""
        if not self.folder.is_dir():
            raise ConfigError(f"-r: there is no run {self.folder} to resume; leave -r out to start it")

    def _take(self) -> None:
        folders = (self.checkpoints, self.best_checkpoints, self.images, self.logs, self.tensorboard)
        for path in (*folders, self.log_file, Path(self._lock.lock_file)):
            if path.is_symlink():
                raise ConfigError(f"{path}: a link; nothing of a run is written outside its folder")
        try:
            for folder in folders:
                folder.mkdir(exist_ok=True)
            self._lock.acquire(timeout=0)
            for leftover in self.folder.rglob(".*.tmp"):  # of a process that was killed while writing
                if _LEFTOVER.fullmatch(leftover.name) and not self._is_of_test(leftover):
                    leftover.unlink(missing_ok=True)
        except filelock.Timeout:
            raise RunExistsError(f"{self.folder}: another process is training this run") from None
        except OSError as error:
            raise StorageError(f"{self.folder}: cannot be written to: {error.strerror}") from None

    def _is_of_test(self, path: Path) -> bool:
        """Whether it lies in a test's folder: a test takes no lock, it may be at work there."""
        return any(above.parent == self.images and above.name.startswith(_TEST) for above in path.parents)

    def close(self) -> None:
        """Give the lock back."""
        self._lock.release()

    def checkpoint_file(self, epoch: int) -> Path:
        """`checkpoint/RUN_EEE.pth`."""
        return self.checkpoints / f"{self.run_name}_{epoch:03d}.pth"

    def interim_file(self, epoch: int, step: int) -> Path:
        """`checkpoint/RUN_EEE_step_SSSSSS.pth`, within the epoch after EEE."""
        return self.checkpoints / f"{self.run_name}_{epoch:03d}_step_{step:06d}.pth"

    def best_file(self, epoch: int, metric: str, value: float) -> Path:
        """`best_ckpts/RUN_EEE_psnr_PP.PP.pth` and the like; the digits are for people, never read back."""
        digits = {"psnr": 2, "ssim": 3}.get(metric, 6)
        return self.best_checkpoints / f"{self.run_name}_{epoch:03d}_{metric}_{value:.{digits}f}.pth"

    def find_checkpoint(self, name: str) -> Path | None:
        """A checkpoint of this run by its file name, with or without `.pth`."""
        for folder in (self.checkpoints, self.best_checkpoints):
            for candidate in (folder / name, folder / f"{name}.pth"):
                if Path(name).name == name and os.path.isfile(candidate):
                    return candidate
        return None

    def validation_folder(self, epoch: int) -> Path:
        """`img/val_EEE`, made if need be."""
        return made_folder(self.images / f"val_{epoch:03d}")

    def test_folder(self, dataset: str, epoch: int) -> Path:
        """A new folder `img/test_DATASET_EEE_TIME`."""
        if self.images.is_symlink():
            raise ConfigError(f"{self.images}: a link; nothing of a run is written outside its folder")
        stem = f"{_TEST}{dataset}_{epoch:03d}_{timestamp()}"
        for attempt in range(1, 1000):
            folder = self.images / (stem if attempt == 1 else f"{stem}_{attempt}")
            if not folder.exists():
                return made_folder(folder)
        raise StorageError(f"{self.images}: a thousand tests in one second; remove some of {stem}*")


def run_around(checkpoint: Path) -> FileManager | None:
    """The run in whose folder a checkpoint lies; None where it lies elsewhere, or the run has no manifest."""
    folder = checkpoint.resolve().parent.parent
    try:
        run = FileManager(folder.parent, folder.name)
    except ConfigError:  # not the name of a run
        return None
    inside = checkpoint.resolve().parent in (run.checkpoints, run.best_checkpoints)
    return run if inside and (run.manifest_file.is_file() or run.manifest_copy.is_file()) else None


def timestamp() -> str:
    """The time for a name, `YYYYMMDD_HHMMSS`."""
    return datetime.now().strftime("%Y%m%d_%H%M%S")


def expect_free(
    path: Path, flag: str = "", mend: str = "add --overwrite to replace it, or choose another place"
) -> None:
    """Refuse to write what would replace something that is there: nothing we did not make is lost.

    Parameters
    ----------
    path : Path
        The file to be.
    flag : str
        What named it, for the message.
    mend : str
        What can be done, for the message.

    Raises
    ------
    ConfigError
        When something of this name is there.
    """
    if os.path.lexists(path):
        said = f"{flag} {path}".strip()
        raise ConfigError(f"{said}: exists; {mend}")


def made_folder(folder: Path) -> Path:
    """The folder, made with its parents if it is not there."""
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
