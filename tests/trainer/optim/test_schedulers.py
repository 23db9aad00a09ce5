import math

import pytest

from src.trainer.optim.schedulers import Constant, Cosine, Step


def test_the_published_schedule_halves_the_rate_every_15_epochs():
    step = Step()
    rates = [step(epoch, (epoch - 1) / 100) for epoch in (1, 15, 16, 30, 31, 100)]
    assert rates == [1, 1, 0.5, 0.5, 0.25, 1 / 2**6]


def test_step_takes_its_size_and_factor_from_the_configuration():
    step = Step(step_size=2, gamma=0.1)
    assert [step(epoch, 0.5) for epoch in (1, 2, 3, 5)] == pytest.approx([1, 1, 0.1, 0.01])


def test_cosine_falls_from_the_first_step_to_zero_at_the_end():
    rates = [Cosine()(1, progress) for progress in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert rates == pytest.approx([1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0])


def test_cosine_may_rise_first_and_has_the_rest_of_the_steps_to_fall():
    rates = [Cosine(warm_up=0.2)(1, progress) for progress in (0.0, 0.1, 0.19, 0.2, 0.6, 1.0)]
    assert rates == pytest.approx([0.01, 0.505, 0.9505, 1, 0.5, 0], abs=1e-9)
    assert Cosine(warm_up=0.0)(1, 0.0) == 1


def test_constant_stays():
    assert {Constant()(epoch, epoch / 100) for epoch in (1, 50, 100)} == {1.0}
