import threading
from concurrent.futures import CancelledError
from functools import partial

import pytest

from src.util.overlap import at_once, overlapped

PATIENCE = 30


def threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("ThreadPool")]


def test_calls_run_here_in_order_and_results_come_in_order():
    where, ran = [], []

    def call(item, part):
        ran.append((item, part))
        where.append(threading.get_ident())

    def work(item, here):
        read = [item, threading.get_ident()]
        for part in (1, 2):
            here(partial(call, item, part), last=part == 2)
        return read

    results = list(overlapped(work, range(7), 3))
    assert [item for item, _ in results] == list(range(7))
    assert ran == [(item, part) for item in range(7) for part in (1, 2)]
    assert set(where) == {threading.get_ident()} and threading.get_ident() not in {t for _, t in results}


def test_the_next_is_read_and_the_last_written_while_one_is_computed():
    read = [threading.Event() for _ in range(4)]
    computed = [threading.Event() for _ in range(4)]

    def work(item, here):
        read[item].set()
        here(lambda: compute(item), last=True)
        if item < 3:
            assert computed[item + 1].wait(PATIENCE), "written while the next one was computed"

    def compute(item):
        if item == 0:
            assert read[1].wait(PATIENCE), "read while the one before was computed"
        computed[item].set()

    assert len(list(overlapped(work, range(4), 2))) == 4


@pytest.mark.parametrize("held", [1, 2, 3])
def test_no_more_are_held_than_said(held):
    lock, now, most = threading.Lock(), 0, 0

    def work(item, here):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        here(lambda: None, last=True)
        with lock:
            now -= 1

    assert len(list(overlapped(work, range(20), held))) == 20
    assert 1 <= most <= held


def test_what_may_not_join_the_others_waits_for_them():
    """Large items, of which two at once are too many."""
    lock, now, most = threading.Lock(), [], 0

    def work(item, here):
        nonlocal most
        with lock:
            now.append(item)
            most = max(most, sum(now))
        here(lambda: None, last=True)
        with lock:
            now.remove(item)
        return item

    sizes = [1, 1, 5, 1, 6, 7, 1, 1, 1]
    found = overlapped(work, sizes, 3, lambda held, item: sum(held) + item <= 6)
    assert list(found) == sizes
    assert most <= 7


def test_work_without_a_call_is_done_too():
    assert list(overlapped(lambda item, here: item * item, iter([1, 2, 3]))) == [1, 4, 9]
    assert list(overlapped(lambda item, here: item, [])) == []
    assert at_once(lambda: 3, last=True) == 3


def test_an_error_ends_all_in_its_place_and_the_others_clean_up():
    called_off, computed = [], []

    def compute(item):
        computed.append(item)
        return 1 // (item - 2)

    def work(item, here):
        try:
            here(lambda: compute(item), last=True)
        except CancelledError:
            called_off.append(item)
            raise
        return item

    results = overlapped(work, range(9), 2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert computed == [0, 1, 2], "nothing is computed after an error"
    assert set(called_off) <= {3, 4} and threads() == []


def test_work_may_handle_what_a_call_raises():
    def work(item, here):
        try:
            return here(lambda: 1 // item, last=True)
        except ZeroDivisionError:
            return "handled"

    assert list(overlapped(work, [1, 0, 1])) == [1, "handled", 1]


def test_ctrl_c_ends_the_call_at_once_and_no_thread_is_left():
    ended = []

    def work(item, here):
        try:
            here(interrupted, last=True)
        finally:
            ended.append(item)

    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(overlapped(work, range(5), 2))
    assert set(ended) <= {0, 1} and 0 in ended and threads() == []


def test_who_stops_listening_leaves_no_thread():
    results = overlapped(lambda item, here: here(lambda: item, last=True), range(50), 3)
    assert next(results) == 0
    results.close()
    assert threads() == []
