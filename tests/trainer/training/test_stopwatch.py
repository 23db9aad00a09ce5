import time

import pytest
import torch

from src.trainer.training.stopwatch import Stopwatch


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def pass_by(seconds):
        now[0] += seconds

    return pass_by


def test_parts_add_up_until_they_are_reported(clock):
    stopwatch = Stopwatch(torch.device("cpu"))
    for seconds in (1.0, 2.0):
        with stopwatch.part("masking"):
            clock(seconds)
        clock(10)
        with stopwatch.part("data", host=True):
            clock(0.5)
    assert stopwatch.report() == {"masking": 3.0, "data": 1.0}
    assert stopwatch.report() == {}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_timed_in_its_own_queue():
    stopwatch = Stopwatch(torch.device("cuda"))
    with stopwatch.part("network"):
        torch.rand(2000, 2000, device="cuda") @ torch.rand(2000, 2000, device="cuda")
    with stopwatch.part("data", host=True):
        pass
    seconds = stopwatch.report()
    assert seconds["network"] > 0
    assert seconds.keys() == {"network", "data"}
    assert stopwatch.report() == {}
