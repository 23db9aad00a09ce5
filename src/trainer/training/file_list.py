"""The images that a run began with: files added or removed while it is stopped change no other sample."""

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

_CHOOSING = {"n_data"}  # the only argument of `View` that chooses images


def keep_own_images(
    loaders: dict[str, Loader], config: RunConfig, files: FileManager, resume: bool, processes: Processes
) -> None:
    """Restrict a resumed run to the images that it began with; list those of a new run in its folder.

    Parameters
    ----------
    loaders : dict of str to Loader
        `training` and, if any, `validation`, with the images that exist now; no pass has begun.
    config : RunConfig
        If it names another dataset than before, the run uses that one from now on.
    files : FileManager
        Paths of the run; only the first process reads and writes there.
    resume : bool
        Whether the run is resumed.
    processes : Processes
        The processes that train together.

    Raises
    ------
    DataError
        When images are gone and `unreadable` is `stop`.
    """
    of_view = inspect.signature(View).parameters.keys() - _CHOOSING
    known = _read_list(files) if processes.first and resume else {}
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


def _read_list(files: FileManager) -> dict[str, Any]:
    """Return the images of each part; empty if the list is missing or damaged."""
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
        LOG.warning("%s: damaged (%s); using the images that exist now", files.images_file, error)
        return {}
