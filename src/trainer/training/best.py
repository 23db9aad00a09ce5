"""The best score by each metric; scores of two measures are never compared."""

import hashlib
from typing import Any

from src.trainer.checkpoints.checkpoint import CheckpointStore
from src.trainer.checkpoints.state import Best
from src.trainer.config.run_config import RunConfig
from src.trainer.evaluation.evaluate import BETTER, Scores
from src.util.logger import LOG


def measure_of(metric: str, config: RunConfig, data_range: float, scores: Scores) -> dict[str, Any]:
    """What a score says: only scores of which all of this is the same can be compared.

    Parameters
    ----------
    metric : {"psnr", "ssim", "loss"}
        By which.
    config : RunConfig
        Of the run.
    data_range : float
        The data range of the validation images.
    scores : Scores
        Of all scored images.

    Returns
    -------
    dict
        Plain types, for a checkpoint.
    """
    # By name and content: the same images may lie elsewhere by now, and others may have their names.
    images = [f"{image.name} {image.checksum}" for image in scores.images]
    digest = hashlib.sha256("\n".join(images).encode(errors="surrogateescape")).hexdigest()
    measure: dict[str, Any] = {"white": data_range, "images": f"{len(images)}, {digest}"}
    if metric == "loss":
        masker = config.masker.model_dump(mode="json")
        measure |= {"loss": config.training.loss, "masker": masker, "seed": config.seed}
    return measure


def is_best(
    value: float, metric: str, measure: dict[str, Any], best: dict[str, Best], store: CheckpointStore
) -> bool:
    """Whether a score is the best so far by its metric, of those that measure the same.

    Parameters
    ----------
    value, metric, measure
        The score, see `measure_of`.
    best : dict of str to Best
        The best ones so far.
    store : CheckpointStore
        Where the checkpoint of a best score of another measure stays for good.
    """
    before = best.get(metric)
    if before is not None and before.measure != measure:
        keys = measure.keys() | before.measure.keys()
        other = sorted(key for key in keys if measure.get(key) != before.measure.get(key))
        LOG.warning(
            "the best %s so far (%g after epoch %d) was measured otherwise (%s): its checkpoint stays, the"
            " search for the best begins anew",
            metric, before.value, before.epoch, ", ".join(other),
        )  # fmt: skip
        store.release_best(metric, before.epoch)
        before = None
    return before is None or (value != before.value and BETTER[metric](value, before.value) == value)
