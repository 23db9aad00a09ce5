"""The images that a run began with: what comes or goes while it rests changes no other sample, no score."""

import inspect
import json
from typing import Any

from src.data_handlers.loading.sampling import Loader
from src.data_handlers.samples.view import View
from src.trainer.config.build import dataset_of
from src.trainer.config.run_config import RunConfig
from src.trainer.parallel.distributed import Processes
from src.util.atomic_file import write_atomically
from src.util.file_manager import FileManager
from src.util.logger import LOG

_CHOOSING = {"n_data"}  # of all that `View` takes


def keep_own_images(
    loaders: dict[str, Loader], config: RunConfig, files: FileManager, resume: bool, processes: Processes
) -> None:
    """Give a run that goes on the images it began with; write those of a new one into its folder.

    Parameters
    ----------
    loaders : dict of str to Loader
        `training`, and `validation` where there is one, of the images that are there now; no pass has begun.
    config : RunConfig
        Where it names other images than it did, the run takes these from now on.
    files : FileManager
        Of the run; the first process alone reads and writes there.
    resume : bool
        Whether the run goes on.
    processes : Processes
        Those that train together.

    Raises
    ------
    DataError
        When images are gone that are not to be left out.
    """
    of_view = inspect.signature(View).parameters.keys() - _CHOOSING
    known = _written(files) if processes.first and resume else {}
    kept: dict[str, Any] = {}
    for part, loader in loaders.items():
        dataset, arguments = dataset_of(config, part)
        chosen = {key: value for key, value in arguments.items() if key not in of_view} | {"dataset": dataset}
        own = known.get(part, {})
        names = processes.broadcast(own["pictures"] if own.get("chosen") == chosen else None)
        if names is not None:
            loader.keep_to(names)
        kept[part] = {"chosen": chosen, "pictures": loader.samples.used.all_names()}
    if processes.first and kept != known:
        with write_atomically(files.images_file) as file:
            file.write(json.dumps(known | kept, indent=0).encode())


def _written(files: FileManager) -> dict[str, Any]:
    """What the run's folder says of each part; nothing where it is missing or damaged."""
    if not files.images_file.is_file():
        return {}
    try:
        content = json.loads(files.images_file.read_bytes())
        for part in content.values():
            names = part["pictures"]
            if not names or not all(isinstance(name, str) for name in names) or "chosen" not in part:
                raise ValueError("no names in it")
        return dict(content)
    except (AttributeError, ValueError, TypeError, KeyError) as error:
        LOG.warning("%s: damaged (%s); taking the images that are there now", files.images_file, error)
        return {}
