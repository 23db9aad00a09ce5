"""Losses: `base` says what a term is, `losses` has them, `grammar` weighs them by YAML."""

from src.loss.base import LossTerm
from src.loss.grammar import Loss, LossValue, Term, parse
from src.loss.losses import LOSSES

__all__ = ["LOSSES", "Loss", "LossTerm", "LossValue", "Term", "parse"]
