"""Progress of a training: what a resumed run needs in addition to weights and optimiser."""

from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

WINDOW = 100  # steps in the running mean of the loss


@dataclass
class Best:
    """The best score by one metric; `measure` as in `src.trainer.training.best`."""

    value: float
    epoch: int
    measure: dict[str, Any] = field(default_factory=dict)


@dataclass
class TrainingState:
    """Counters, best scores and latest losses of a training.

    Parameters
    ----------
    epoch : int
        Finished epochs.
    step : int
        Finished steps.
    batch : int
        Finished batches of the epoch after `epoch`.
    validated_epoch : int
        Latest validated epoch.
    best : dict of str to Best
        Best scores by metric: `psnr`, `ssim` or `loss`.
    recent : deque of dict
        Losses of the last `WINDOW` steps: `total` and each term.
    """

    epoch: int = 0
    step: int = 0
    batch: int = 0
    validated_epoch: int = 0
    best: dict[str, Best] = field(default_factory=dict)
    recent: deque[dict[str, float]] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def running_means(self) -> dict[str, float]:
        """Return the mean of each loss over the last `WINDOW` steps."""
        names = self.recent[-1] if self.recent else {}
        return {name: sum(losses[name] for losses in self.recent) / len(self.recent) for name in names}

    def to_plain(self) -> dict[str, Any]:
        """Convert to plain types, for a checkpoint."""
        return asdict(self) | {"recent": list(self.recent)}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "TrainingState":
        """Restore from the plain types of a checkpoint."""
        best = {metric: Best(**values) for metric, values in plain["best"].items()}
        recent = deque(plain["recent"], maxlen=WINDOW)
        epoch, step, batch = plain["epoch"], plain["step"], plain.get("batch", 0)
        return cls(epoch, step, batch, plain["validated_epoch"], best, recent)
