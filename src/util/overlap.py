"""Work on several items at once: files are read and written while one thread computes."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

AT_ONCE = 2
"""One item is being computed while another is written, or the next one read."""


class Here(Protocol):
    """Runs a call where the results are waited for; `last` says that an item has no more of them."""

    def __call__(self, call: Callable[[], Result], last: bool = False) -> Result:
        """Give what the call gives, or raise what it raises."""
        ...


def at_once(call: Callable[[], Result], last: bool = False) -> Result:
    """The `Here` of work that is done in one thread."""
    return call()


def overlapped(
    work: Callable[[Item, Here], Result], items: Iterable[Item], count: int = AT_ONCE,
    may_join: Callable[[Sequence[Item], Item], bool] = lambda held, item: True,
) -> Generator[Result, None, None]:  # fmt: skip
    """Do a piece of work for each item, so that reading and writing run beside computing.

    Parameters
    ----------
    work : callable
        Takes an item and a `Here`; runs in a thread of its own. What it hands to `here` runs in the thread
        that iterates: item by item in their order, so that it meets no other and signals reach it.
    items : iterable
        Taken in the thread that iterates, so many ahead; what it raises is raised in its turn.
    count : int
        Pieces of work that run at once.
    may_join : callable
        Whether an item may be worked on while those before it still are; otherwise it waits for them.

    Yields
    ------
    Result
        In the order of the items. An error of the work is raised in its place, and ends all: pieces of work
        that wait are called off, those that write finish.
    """
    left = iter(items)
    following: list[Item] = []
    held: deque[Item] = deque()  # of what waits and what is done
    waiting: deque[tuple[_Calls, Future[Result]]] = deque()
    done: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(count) as pool:

        def begin() -> None:
            while len(waiting) < count:
                calls, result = _Calls(), Future[Result]()
                try:
                    following.extend(islice(left, 1 - len(following)))
                except Exception as error:  # of the items: raised in its turn, after the results before it
                    calls.end()
                    result.set_exception(error)
                else:
                    if not following or (held and not may_join(held, following[0])):
                        return
                    held.append(following.pop())
                    result = pool.submit(_guarded, work, held[-1], calls)
                waiting.append((calls, result))

        def finished() -> Result:
            result = done.popleft().result()
            held.popleft()
            return result

        try:
            begin()
            while waiting or done:
                failed = False
                if waiting:
                    calls, result = waiting[0]
                    failed = calls.serve()
                    waiting.popleft()
                    done.append(result)
                while done and (failed or len(done) == count or done[0].done()):
                    yield finished()
                begin()
                if done and not waiting:
                    yield finished()
                    begin()
        finally:
            for calls, result in waiting:
                if not (result.cancel() or result.done()):
                    calls.call_off()


def _guarded(work: Callable[[Item, Here], Result], item: Item, calls: "_Calls") -> Result:
    try:
        return work(item, calls)
    finally:
        calls.end()


class _Calls:
    """What one piece of work wants to have done in the thread that waits for it."""

    def __init__(self) -> None:
        self._asked: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()

    def __call__(self, call: Callable[[], Result], last: bool = False) -> Result:
        answer: Future[Result] = Future()
        self._asked.put((call, answer))
        if last:
            self.end()
        return answer.result()

    def end(self) -> None:
        """There are no more calls."""
        self._asked.put(None)

    def serve(self) -> bool:
        """Run the calls until there are no more; whether one of them failed."""
        failed = False
        while (succeeded := self._serve_one()) is not None:
            failed |= not succeeded
        return failed

    def _serve_one(self) -> bool | None:
        """Nothing of a call is held while the next one is waited for."""
        asked = self._asked.get()
        if asked is None:
            return None
        call, answer = asked
        try:
            answer.set_result(call())
        except Exception as error:
            answer.set_exception(error)
            return False
        except BaseException:
            answer.cancel()
            raise
        return True

    def call_off(self) -> None:
        """Let calls raise `CancelledError` until there are no more."""
        while (asked := self._asked.get()) is not None:
            asked[1].cancel()
