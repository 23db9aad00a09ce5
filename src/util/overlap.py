"""Work on several items at once: read and write files while one thread computes."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

AT_ONCE = 2
"""One item is computed while another one is read or written."""


class Here(Protocol):
    """Runs a call in the thread that iterates; `last` marks an item's last call."""

    def __call__(self, call: Callable[[], Result], last: bool = False) -> Result:
        """Return the call's result, or raise its error."""
        ...


def overlapped(
    work: Callable[[Item, Here], Result], items: Iterable[Item], count: int = AT_ONCE,
    may_join: Callable[[Sequence[Item], Item], bool] = lambda held, item: True,
) -> Generator[Result, None, None]:  # fmt: skip
    """Work on several items at once: read and write some in threads while computing another.

    Parameters
    ----------
    work : callable
        Takes an item and a `Here`, and runs in its own thread. Calls that it passes to `here` run in the
        iterating thread, one after the other and in the order of the items, so that signals reach them.
    items : iterable
        Read in the iterating thread. An error it raises is raised after the results before it.
    count : int
        Number of items that are worked on at once.
    may_join : callable
        Takes the items in work and the next one. Returns whether to begin it before they are finished.

    Yields
    ------
    Result
        In the order of the items. An error of `work` is raised in its place and ends the iteration: waiting
        items are cancelled, items that are past their last call finish.
    """
    left = iter(items)
    following: list[Item] = []
    held: deque[Item] = deque()  # the items of `waiting` and `done`
    waiting: deque[tuple[_Calls, Future[Result]]] = deque()
    done: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(count) as pool:

        def begin() -> None:
            while len(waiting) < count:
                calls, result = _Calls(), Future[Result]()
                try:
                    following.extend(islice(left, 1 - len(following)))
                except Exception as error:  # raised in its turn, after the results before it
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
                    calls.cancel()


def _guarded(work: Callable[[Item, Here], Result], item: Item, calls: "_Calls") -> Result:
    try:
        return work(item, calls)
    finally:
        calls.end()


class _Calls:
    """The calls that the work on one item passes to the iterating thread."""

    def __init__(self) -> None:
        self._asked: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()

    def __call__(self, call: Callable[[], Result], last: bool = False) -> Result:
        answer: Future[Result] = Future()
        self._asked.put((call, answer))
        if last:
            self.end()
        return answer.result()

    def end(self) -> None:
        """Mark the end of the calls."""
        self._asked.put(None)

    def serve(self) -> bool:
        """Run the calls until their end; return whether one of them failed."""
        failed = False
        while (asked := self._asked.get()) is not None:
            call, answer = asked
            try:
                answer.set_result(call())
            except Exception as error:
                answer.set_exception(error)
                failed = True
            except BaseException:
                answer.cancel()
                raise
            del asked, call, answer  # frees their images while this waits for the next call
        return failed

    def cancel(self) -> None:
        """Let the remaining calls raise `CancelledError`."""
        while (asked := self._asked.get()) is not None:
            asked[1].cancel()
