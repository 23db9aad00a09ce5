"""The loss line of the configuration: its meaning, and which lines are refused."""

import pytest
import torch

from src.loss import Loss, parse

NOISY = torch.tensor([[[[0.5, 1.0], [0.0, 0.25]]]])
DENOISED = torch.tensor([[[[0.1, 0.5], [0.5, 0.25]]]])
MASK = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
L1, L2 = 0.9 / 4, 0.41 / 4  # by hand: |-0.4| + |-0.5| and their squares, over four pixels


def total(loss: str, progress: float = 0.0) -> float:
    """Return the value of a loss line for the example above."""
    return Loss(loss)(DENOISED, NOISY, MASK, progress).total.item()


@pytest.mark.parametrize(
    ("weight", "number", "ramped"),
    [
        ("1", 1, False),
        ("0.5", 0.5, False),
        (".5", 0.5, False),
        ("5e-1", 0.5, False),
        ("1e+2", 100, False),
        ("2.5E+1", 25, False),
        ("r", 1, True),
        ("r0.5", 0.5, True),
        ("0.5r", 0.5, True),
        ("r1e+2", 100, True),
        ("r 0.5", 0.5, True),
    ],
)
@pytest.mark.parametrize(
    "line", ["{}*self_L2+1*self_L1", " {} * self_L2 + 1 * self_L1 ", "1*self_L1 +{}*self_L2"]
)
def test_weights(line: str, weight: str, number: float, ramped: bool) -> None:
    """All ways to write a weight, at either end of the line; a plus in an exponent separates nothing."""
    assert set(parse(line.format(weight))) == {("self_L2", number, ramped), ("self_L1", 1.0, False)}


@pytest.mark.parametrize(("progress", "expected"), [(0.0, L2), (0.5, L2 + 0.2 * L1), (1.0, L2 + 0.4 * L1)])
def test_ramped_term_grows_with_progress(progress: float, expected: float) -> None:
    """The r term grows from zero to its weight at the end of training."""
    assert total("1*self_L2 + r0.4*self_L1", progress) == pytest.approx(expected)


def test_l2_repeated_terms_add_up() -> None:
    """The later term does not replace the earlier one."""
    assert total("1*self_L1 + 3*self_L1") == pytest.approx(4 * L1)
    assert total("1*self_L1 + r*self_L1", progress=0.5) == pytest.approx(1.5 * L1)


def test_total_is_differentiable_and_terms_are_not() -> None:
    """Logged values have no graph; the minimised one has."""
    denoised = DENOISED.clone().requires_grad_()
    value = Loss("2*self_L2", tmp_info=["self_L1"])(denoised, NOISY, MASK, progress=0.0)
    assert not any(term.requires_grad for term in value.terms.values())
    value.total.backward()
    expected = 2 * 2 * (DENOISED - NOISY) * MASK / 4
    torch.testing.assert_close(denoised.grad, expected)


def test_t14_values_are_named_by_their_terms() -> None:
    """Unweighted values, only under registered names, so that no reserved key can collide."""
    value = Loss("2*self_L2 + r*self_L2", tmp_info=["self_L1", "self_L2"])(
        DENOISED, NOISY, MASK, progress=0.0
    )
    assert list(value.terms) == ["self_L2", "self_L1"]
    assert value.terms["self_L2"].item() == pytest.approx(L2)
    assert value.terms["self_L1"].item() == pytest.approx(L1)
    assert value.total.item() == pytest.approx(2 * L2)


@pytest.mark.parametrize(("tmp_info", "logged"), [("self_L1", ["self_L1"]), (None, []), ([], []), ((), [])])
def test_l3_tmp_info_is_a_name_or_an_empty_list(tmp_info: object, logged: list[str]) -> None:
    """A single name needs no list; published files have an empty list."""
    value = Loss("1*self_L2", tmp_info=tmp_info)(DENOISED, NOISY, MASK, progress=0.0)
    assert list(value.terms) == ["self_L2", *logged]


def test_total_is_float32_under_bfloat16() -> None:
    """Mixed precision ends at the network's output."""
    assert Loss("1*self_L2")(DENOISED.bfloat16(), NOISY, MASK, progress=0.0).total.dtype == torch.float32


@pytest.mark.parametrize("name", ["self_L2", "self_l2"])
def test_l1_a_term_without_weight_gets_the_correction(name: str) -> None:
    """The most common mistake gets the complete correction."""
    with pytest.raises(
        ValueError, match=rf"^loss: .*got '{name}' without a weight; did you mean '1\*self_L2'\?"
    ):
        parse(f"1*self_L1 + {name}")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "got '' without a weight"),
        ("1*self_L2 +", "got '' without a weight"),
        ("1*self_L2 ++ 1*self_L1", "got '' without a weight"),
        ("1*self_l2", r"got 'self_l2' in '1\*self_l2'; did you mean 'self_L2'\?"),
        ("1*mse", r"got 'mse' in '1\*mse'; choose from self_L1, self_L2"),
        ("1*self_L2*2", "got 'self_L2[*]2'"),
        ("self_L2*1", "its weight must be"),
        ("*self_L2", "got '[*]self_L2': its weight must be"),
        ("-1*self_L2", "got '-1[*]self_L2': its weight must be"),
        ("1,5*self_L2", "its weight must be"),
        ("1 0*self_L2", "its weight must be"),
        ("r0.5r*self_L2", "its weight must be"),
        ("0r5*self_L2", "its weight must be"),
        ("inf*self_L2", "its weight must be"),
        ("nan*self_L2", "its weight must be"),
        ("1e999*self_L2", "expected a finite weight"),
        ("0*self_L2 + r0*self_L1", "expected a weight above zero"),
        ("1*__import__('os').getcwd()", "expected the name of a loss term"),
    ],
)
def test_l5_bad_lines_are_refused_with_the_offending_term(line: str, message: str) -> None:
    """No text is evaluated, and each message contains what was expected."""
    with pytest.raises(ValueError, match=f"^loss: .*{message}"):
        parse(line)


def test_unknown_name_in_tmp_info_is_refused() -> None:
    """Before training, naming the key."""
    with pytest.raises(ValueError, match=r"^tmp_info: .*got 'self_L3'; did you mean"):
        Loss("1*self_L2", tmp_info=["self_L3"])
