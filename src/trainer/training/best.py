"""The best score by each metric, among scores that are comparable."""

import hashlib
from typing import Any

from src.trainer.checkpoints.checkpoint import CheckpointStore
from src.trainer.checkpoints.state import Best
from src.trainer.config.run_config import RunConfig
from src.trainer.evaluation.evaluate import BETTER, Scores
from src.util.logger import LOG


def measure_of(metric: str, config: RunConfig, data_range: float, scores: Scores) -> dict[str, Any]:
    """Return what a score depends on besides the network; scores are comparable when all of it is equal.

    Parameters
    ----------
    metric : {"psnr", "ssim", "loss"}
        Metric of the score.
    config : RunConfig
        Configuration of the run.
    data_range : float
        Data range of the validation images.
    scores : Scores
        Scores of all validation images.

    Returns
    -------
    dict
        Plain types, for a checkpoint.
    """
    # The images by name and content: folders may be moved, and files replaced.
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
    """Return whether a score is the best so far by its metric, among comparable scores.

    Parameters
    ----------
    value, metric, measure
        The score; see `measure_of`.
    best : dict of str to Best
        The best scores so far.
    store : CheckpointStore
        Keeps the checkpoint of an earlier best score for good if that score is not comparable.
    """
    before = best.get(metric)
    if before is not None and before.measure != measure:
        keys = measure.keys() | before.measure.keys()
        other = sorted(key for key in keys if measure.get(key) != before.measure.get(key))
        LOG.warning(
            "the best %s so far (%g after epoch %d) was measured with other %s: its checkpoint stays, the"
            " search for the best starts again",
            metric, before.value, before.epoch, ", ".join(other).replace("white", "data range"),
        )  # fmt: skip
        store.release_best(metric, before.epoch)
        before = None
    return before is None or (value != before.value and BETTER[metric](value, before.value) == value)
