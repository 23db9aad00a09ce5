"""Datasets: sources of images, the samples made from them, and the batches for the trainer.

`datasets` has one source for each dataset, `samples` turns its images into network input, `loading` stacks
samples into batches. `preparation` cuts downloads into pieces; `submission` writes the files that the
benchmark servers accept. Importing this package does not load torch, which `preparation` does not need.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from src.data_handlers.datasets.base import Source
from src.data_handlers.datasets.bsd68 import bsd68_test, bsd68_train, bsd68_val
from src.data_handlers.datasets.demo import Demo
from src.data_handlers.datasets.dnd import dnd_test, dnd_train
from src.data_handlers.datasets.folder import Folder, ImageFiles
from src.data_handlers.datasets.generated import Generated
from src.data_handlers.datasets.sidd import sidd_test, sidd_train, sidd_val
from src.util.images.value_range import DataRange, NanRule

if TYPE_CHECKING:
    from src.data_handlers.samples.samples import Samples

__all__ = ["DATASETS", "build_samples"]

DATASETS: dict[str, Callable[..., Source]] = {
    "SIDD_train": sidd_train,
    "SIDD_val": sidd_val,
    "SIDD_test": sidd_test,
    "DND_train": dnd_train,
    "DND_val": dnd_test,
    "DND_test": dnd_test,
    "BSD68_train": bsd68_train,
    "BSD68_val": bsd68_val,
    "BSD68_test": bsd68_test,
    "Folder": Folder,
    "Demo": Demo,
    "Generated": Generated,
}
"""Dataset name in the configuration -> source; its parameters and those of `View` are `dataset_args`."""


def build_samples(
    dataset: str,
    dataset_args: Mapping[str, Any],
    *,
    channels: int,
    seed: int,
    training: bool,
    data_range: DataRange = "auto",
    clean: bool = True,
    nan: NanRule = "stop",
) -> "Samples":
    """Build the samples of a dataset.

    Parameters
    ----------
    dataset : str
        A name in `DATASETS`.
    dataset_args : mapping
        Validated arguments of the source and of `View`, in one flat mapping.
    channels, seed, training, data_range, nan
        See `Samples`.
    clean : bool
        Whether the clean images are needed. If not, clean files are not opened.

    Raises
    ------
    DataError
        When the images do not exist.
    """
    from src.data_handlers.samples.samples import Samples
    from src.data_handlers.samples.view import View

    view_keys = inspect.signature(View).parameters
    view = View(**{key: value for key, value in dataset_args.items() if key in view_keys})
    source = DATASETS[dataset](**{key: value for key, value in dataset_args.items() if key not in view_keys})
    if not clean and view.noise is None and isinstance(source, ImageFiles):
        source = source.without_clean()  # half the decoding
    if nan == "keep" and isinstance(source, ImageFiles):
        source = source.with_missing_as_nan()
    return Samples(
        source, view, channels=channels, seed=seed, training=training, data_range=data_range, nan=nan
    )
