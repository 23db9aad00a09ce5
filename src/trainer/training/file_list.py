"""The pictures that a run began with: what comes or goes while it is stopped changes no other sample."""

import inspect
import json
from typing import Any

from src.data_handlers.loading.sampling import Loader
from src.data_handlers.samples.view import View
from src.trainer.config.run_config import TrainingBlock
from src.trainer.parallel.distributed import Processes
from src.util.atomic_file import write_atomically
from src.util.file_manager import FileManager
from src.util.logger import LOG

_CHOOSING = {"n_data"}  # of all that `View` takes


def keep_own_pictures(
    loader: Loader, training: TrainingBlock, files: FileManager, resume: bool, processes: Processes
) -> None:
    """Give a run that goes on the pictures it began with; write those of a new one into its folder.

    Parameters
    ----------
    loader : Loader
        Of the training pictures that are there now; no pass has begun.
    training : TrainingBlock
        Where it names others than it did, the run takes these from now on.
    files : FileManager
        Of the run; the first process alone reads and writes there.
    resume : bool
        Whether the run goes on.
    processes : Processes
        Those that train together.

    Raises
    ------
    DataError
        When pictures are gone that are not to be left out.
    """
    of_view = inspect.signature(View).parameters.keys() - _CHOOSING
    chosen = {key: value for key, value in training.dataset_args.items() if key not in of_view}
    chosen |= {"dataset": training.dataset}
    names = processes.of_first(_written(files, chosen) if processes.first and resume else None)
    if names is not None:
        loader.keep_to(names)
    elif processes.first:
        content = {"chosen": chosen, "pictures": loader.samples.used.all_names()}
        text = json.dumps(content, indent=0).encode()
        with write_atomically(files.pictures_file) as file:
            file.write(text)


def _written(files: FileManager, chosen: dict[str, Any]) -> list[str] | None:
    """What the run's folder says; None where it knows nothing of pictures chosen like this."""
    if not files.pictures_file.is_file():
        return None
    try:
        content = json.loads(files.pictures_file.read_bytes())
        names = content["pictures"]
        if not names or not all(isinstance(name, str) for name in names):
            raise ValueError("no names in it")
        return list(names) if content["chosen"] == chosen else None
    except (ValueError, TypeError, KeyError) as error:
        LOG.warning("%s: damaged (%s); taking the pictures that are there now", files.pictures_file, error)
        return None
