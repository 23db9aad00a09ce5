"""The loss as one line of YAML, such as `1*self_L2 + r0.5*self_L1`."""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from src.loss.losses import LOSSES
from src.util.config.schema import nearest

_EXPECTED = "expected terms WEIGHT*NAME joined by '+', such as '1*self_L2 + r0.5*self_L1'"
_WEIGHT = re.compile(r"(r?)\s*((?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)?\s*(r?)")
# The plus sign of an exponent, as in 1e+2, does not separate terms. It can only occur in a weight, at the
# start of a term.
_EXPONENT_PLUS = re.compile(r"((?:^|\+)\s*r?\s*[0-9.]+[eE])\+")


class Term(NamedTuple):
    """A weighted term; with `ramped` the weight is multiplied by the fraction of training done."""

    name: str
    weight: float
    ramped: bool


class LossValue(NamedTuple):
    """The result of calling `Loss`."""

    total: Tensor
    """Weighted sum to minimise, scalar, float32, differentiable."""
    terms: dict[str, Tensor]
    """Unweighted value of each term of the loss and of `tmp_info`, scalars without gradient."""


class Loss:
    """Weighted sum of loss terms.

    Parameters
    ----------
    loss : str
        Terms joined by `+`, each `WEIGHT*NAME` with NAME a key of `LOSSES`. WEIGHT is a number >= 0; an `r`
        before or after it (or alone) multiplies the term by the fraction of training done. Repeated terms
        add up.
    tmp_info : str or sequence of str, optional
        Names of terms to compute without gradient, for the log.

    Attributes
    ----------
    names : list of str
        Names of all computed terms.

    Raises
    ------
    ValueError
        If the line does not follow the grammar, names an unknown term or has only zero weights.

    Examples
    --------
    >>> criterion = Loss("1*self_L2")
    >>> noisy, mask = torch.ones(1, 1, 2, 2), torch.tensor([[[[1, 0], [0, 0]]]])
    >>> criterion(torch.zeros(1, 1, 2, 2), noisy, mask, progress=0.0).total
    tensor(0.2500)
    """

    def __init__(self, loss: str, tmp_info: str | Sequence[str] | None = None) -> None:
        self.terms = parse(loss)
        log_only = [tmp_info] if isinstance(tmp_info, str) else list(tmp_info or ())
        for name in log_only:
            if name not in LOSSES:
                raise ValueError(
                    f"tmp_info: expected names of loss terms, got '{name}'{nearest(name, LOSSES)}"
                )
        self._trained = list(dict.fromkeys(term.name for term in self.terms))
        self._log_only = [name for name in dict.fromkeys(log_only) if name not in self._trained]
        self.names = [*self._trained, *self._log_only]

    def __call__(self, denoised: Tensor, target: Tensor, mask: Tensor, progress: float) -> LossValue:
        """Compute the loss in float32; see `LossTerm`. `progress` is the share of training done, 0 to 1."""
        values = {name: LOSSES[name](denoised, target, mask) for name in self._trained}
        with torch.no_grad():
            logged = {name: LOSSES[name](denoised, target, mask) for name in self._log_only}
        total = torch.stack(
            [values[term.name] * (term.weight * (progress if term.ramped else 1.0)) for term in self.terms]
        ).sum()
        return LossValue(total, {name: value.detach() for name, value in (values | logged).items()})


def parse(loss: str) -> tuple[Term, ...]:
    """Parse a loss line into its terms, in order; see `Loss` for the grammar and errors.

    Examples
    --------
    >>> parse("1*self_L2 + r5e-1*self_L1")
    (Term(name='self_L2', weight=1.0, ramped=False), Term(name='self_L1', weight=0.5, ramped=True))
    """
    terms = tuple(_parse_term(text.strip()) for text in _EXPONENT_PLUS.sub(r"\1", loss).split("+"))
    if not any(term.weight for term in terms):
        raise ValueError(f"loss: expected a weight above zero, got '{loss}': nothing would be learned")
    return terms


def _parse_term(text: str) -> Term:
    weight, star, name = (part.strip() for part in text.partition("*"))
    if not star:
        hint = nearest(f"1*{text}", [f"1*{known}" for known in LOSSES])
        raise ValueError(f"loss: {_EXPECTED}, got '{text}' without a weight{hint}")
    match = _WEIGHT.fullmatch(weight)
    if match is None or not weight or (match[1] and match[3]):
        raise ValueError(
            f"loss: {_EXPECTED}, got '{text}': its weight must be a number >= 0, an 'r', or both ('r0.5')"
        )
    if name not in LOSSES:
        hint = nearest(name, LOSSES)
        raise ValueError(f"loss: expected the name of a loss term, got '{name}' in '{text}'{hint}")
    number = float(match[2] or 1)
    if not math.isfinite(number):
        raise ValueError(f"loss: expected a finite weight, got '{text}'")
    return Term(name, number, ramped="r" in weight)
