import threading
from concurrent.futures import CancelledError
from functools import partial

import pytest

from src.util.overlap import overlapped

PATIENCE = 30


def threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("ThreadPool")]


def test_calls_run_in_the_iterating_thread_and_in_order():
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


def test_reading_and_writing_overlap_with_computing():
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


@pytest.mark.parametrize(
    ("sizes", "count", "limit", "largest"),
    [([1] * 20, 1, 9, 1), ([1] * 20, 2, 9, 2), ([1] * 20, 3, 9, 3), ([1, 1, 5, 1, 6, 7, 1, 1, 1], 3, 6, 7)],
)
def test_work_in_progress_is_limited_by_count_and_by_may_join(sizes, count, limit, largest):
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

    found = overlapped(work, sizes, count, lambda held, item: sum(held) + item <= limit)
    assert list(found) == sizes
    assert 1 <= most <= largest


def test_work_need_not_make_calls():
    assert list(overlapped(lambda item, here: item * item, iter([1, 2, 3]))) == [1, 4, 9]
    assert list(overlapped(lambda item, here: item, [])) == []


def test_an_error_is_raised_in_its_place_and_cancels_the_rest():
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


def test_work_may_handle_the_error_of_a_call():
    def work(item, here):
        try:
            return here(lambda: 1 // item, last=True)
        except ZeroDivisionError:
            return "handled"

    assert list(overlapped(work, [1, 0, 1])) == [1, "handled", 1]


def test_ctrl_c_stops_all_threads():
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


def test_closing_the_iterator_stops_all_threads():
    results = overlapped(lambda item, here: here(lambda: item, last=True), range(50), 3)
    assert next(results) == 0
    results.close()
    assert threads() == []
