"""Losses: `base` defines a term, `losses` has the terms, `grammar` reads their weighted sum from YAML."""

from src.loss.base import LossTerm
from src.loss.grammar import Loss, LossValue, Term, parse
from src.loss.losses import LOSSES

__all__ = ["LOSSES", "Loss", "LossTerm", "LossValue", "Term", "parse"]
