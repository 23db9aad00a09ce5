"""Self-supervised losses: `losses` has the terms, `grammar` the `Loss`, terms weighted by a line of YAML."""

from src.loss.grammar import Loss, LossValue, Term, parse
from src.loss.losses import LOSSES

__all__ = ["LOSSES", "Loss", "LossValue", "Term", "parse"]
