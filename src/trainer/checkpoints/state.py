"""Where a training stands: all that a resumed run needs besides weights and optimiser."""

from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

WINDOW = 100  # steps of the running mean of the loss


@dataclass
class Best:
    """The best validation so far by one metric, and what it measured: see `src.trainer.training.best`."""

    value: float
    epoch: int
    measure: dict[str, Any] = field(default_factory=dict)


@dataclass
class TrainingState:
    """Counters, best scores and the latest losses of a training.

    Parameters
    ----------
    epoch : int
        Epochs finished.
    step : int
        Steps done.
    batch : int
        Batches done of the epoch that follows.
    validated_epoch : int
        Last epoch that was validated.
    best : dict of str to Best
        By metric: `psnr`, `ssim` or `loss`.
    recent : deque of dict
        Losses of the last 100 steps: `total` and each term.
    """

    epoch: int = 0
    step: int = 0
    batch: int = 0
    validated_epoch: int = 0
    best: dict[str, Best] = field(default_factory=dict)
    recent: deque[dict[str, float]] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def running_means(self) -> dict[str, float]:
        """Mean of each loss over the last 100 steps."""
        names = self.recent[-1] if self.recent else {}
        return {name: sum(losses[name] for losses in self.recent) / len(self.recent) for name in names}

    def to_plain(self) -> dict[str, Any]:
        """As plain types, for a checkpoint."""
        best = {metric: asdict(best) for metric, best in self.best.items()}
        return {
            "epoch": self.epoch, "step": self.step, "batch": self.batch,
            "validated_epoch": self.validated_epoch, "best": best, "recent": list(self.recent),
        }  # fmt: skip

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "TrainingState":
        """From a checkpoint."""
        best = {metric: Best(**values) for metric, values in plain["best"].items()}
        recent = deque(plain["recent"], maxlen=WINDOW)
        epoch, step, batch = plain["epoch"], plain["step"], plain.get("batch", 0)
        return cls(epoch, step, batch, plain["validated_epoch"], best, recent)
