"""Connect the processes that torchrun starts to train one network together.

All processes have the same weights. Gradients are summed in one tensor of fixed order. torch's
DistributedDataParallel reorders its buckets after the first step: with three or more processes, a resumed run
would add in another order than an uninterrupted one.
"""

import io
import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from src.util.device import has_gpu
from src.util.errors import ConfigError, UserError
from src.util.logger import LOG
from src.util.script import INTERRUPTED

_TIMEOUT = timedelta(minutes=30)
"""Longest wait for another process. The closed connection of a dead one is noticed at once."""
_FAILURE_TIMEOUT = 2
"""Seconds that a failed process waits for the others to read its error."""
_TORCHRUN = "TORCHELASTIC_RUN_ID"  # set by torchrun
_REQUIRED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_FAILURE = "failure"  # key of the first failure
_LEAVING = "leaving"  # key of the number of processes that have read it


class ProcessLostError(UserError):
    """Another process of the same training has ended or cannot be reached."""


@dataclass(frozen=True)
class Processes:
    """The processes that train together, seen from one of them. `ALONE` is a single process.

    Parameters
    ----------
    rank : int
        Number of this process, from 0. Only process 0 writes and logs.
    count : int
        Number of processes.
    local_rank, local_count : int
        The same on this machine.
    store : torch.distributed.Store or None
        Holds the error of the first process that fails.
    kept : torch.distributed.Store or None
        Persists when torchrun restarts the processes after a failure.
    launcher : int or None
        Process id of torchrun.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1
    store: "dist.Store | None" = None
    kept: "dist.Store | None" = None
    launcher: int | None = None

    @property
    def first(self) -> bool:
        """Whether this is process 0, which writes and logs."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether this is the only process."""
        return self.count == 1

    @property
    def deserted(self) -> bool:
        """Whether torchrun has been killed, so that nothing supervises the processes any more."""
        return self.launcher is not None and os.getppid() != self.launcher

    def note_begun(self, run: object) -> None:
        """Remember, across restarts by torchrun, that these processes have created a run."""
        if self.kept is not None:
            self.kept.set(f"begun {run}", "")

    def have_begun(self, run: object) -> bool:
        """Whether these processes created the run before a restart by torchrun."""
        begun = self.first and self.kept is not None and self.kept.check([f"begun {run}"])
        return bool(self.broadcast(begun))

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes, the same bits in each."""
        if self.alone:
            return values
        total = values.clone()
        with self._reporting_loss():
            dist.all_reduce(total)
        return total

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace each gradient by its sum over all processes."""
        self.sum_each([p.grad for p in parameters if p.grad is not None])

    def sum_each(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes, in a single exchange."""
        if self.alone:
            return
        total = self.sum(torch.cat([tensor.flatten() for tensor in tensors]))
        for tensor, part in zip(tensors, total.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def all_reduce_max(self, number: int) -> int:
        """Return the largest of the processes' numbers."""
        if self.alone:
            return number
        numbers = torch.tensor([number])  # on the CPU, so that a GPU need not synchronise
        with self._reporting_loss():
            dist.all_reduce(numbers, dist.ReduceOp.MAX)
        return int(numbers)

    def barrier(self) -> None:
        """Wait until all processes are here."""
        self.all_reduce_max(0)

    def broadcast(self, content: Any, device: torch.device | str = "cpu") -> Any:
        """Return the content of process 0, plain types and tensors; the others load it onto `device`."""
        if self.alone:
            return content
        data = _pack(content if self.first else None)
        size = self.all_reduce_max(len(data) if self.first else 0)
        data = data if self.first else torch.empty(size, dtype=torch.uint8)
        with self._reporting_loss():
            dist.broadcast(data, 0)
        return content if self.first else _unpack(data, device)

    def gather(self, content: Any) -> list[Any]:
        """Return the contents of all processes by rank at process 0, and an empty list at the others."""
        if self.alone:
            return [content]
        data = _pack(content)
        sizes = torch.zeros(self.count, dtype=torch.int64)
        sizes[self.rank] = len(data)
        sizes = self.sum(sizes)
        padded = torch.zeros(int(sizes.max()), dtype=torch.uint8)
        padded[: len(data)] = data
        every = [torch.empty_like(padded) for _ in sizes] if self.first else None
        with self._reporting_loss():
            dist.gather(padded, every, 0)
        return [_unpack(one[:size]) for one, size in zip(every or [], sizes, strict=self.first)]

    @contextmanager
    def _reporting_loss(self) -> Iterator[None]:
        """Turn a lost connection into a `ProcessLostError` with the error of the process that failed."""
        try:
            yield
        except RuntimeError as error:  # the backends raise no more specific type
            LOG.debug("%s", error)
            raise ProcessLostError(
                self._failure().get("message")
                or "another process of this training has ended or cannot be reached; -r continues from the"
                " last checkpoint"
            ) from error

    def leave(self, error: BaseException) -> None:
        """Report the failure of this process. End it silently if another one failed first.

        Raises
        ------
        SystemExit
            With the exit code of the process that failed first.
        """
        own = {"rank": self.rank, "code": _exit_code(error), "message": str(error) or type(error).__name__}
        first = self._failure(own)
        self._let_others_read()
        if first and first["rank"] != self.rank:
            raise SystemExit(first["code"]) from None

    def _let_others_read(self) -> None:
        """Let process 0 end last if it hosts the store, so that the others can still read it."""
        assert self.store is not None
        try:
            leaving = self.store.add(_LEAVING, 1)
            last = time.monotonic() + _FAILURE_TIMEOUT
            hosts_store = self.first and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
            while hosts_store and leaving < self.count and time.monotonic() < last:
                time.sleep(0.05)
                leaving = self.store.add(_LEAVING, 0)
        except RuntimeError:  # the store's process has ended
            return

    def _failure(self, own: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the first failure, after adding `own`. Empty if there is none or the store is gone."""
        assert self.store is not None
        try:
            if own is not None:
                return dict(json.loads(self.store.compare_set(_FAILURE, "", json.dumps(own))))
            return dict(json.loads(self.store.get(_FAILURE))) if self.store.check([_FAILURE]) else {}
        except RuntimeError:  # the store's process has ended
            return {}


ALONE = Processes()


@contextmanager
def processes_of_torchrun() -> Iterator[Processes]:
    """Join the processes that torchrun has started while the `with` block runs.

    A failure of one ends all. The first to fail reports its error; the others end with the same exit code.

    Yields
    ------
    Processes

    Raises
    ------
    ConfigError
        If the environment variables are not those of torchrun.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1" and _TORCHRUN not in os.environ:
        yield ALONE
        return
    processes = _join()
    if not processes.first:
        LOG.setLevel(logging.ERROR)
    try:
        yield processes
        processes.barrier()  # so that a late failure ends all of them
    except BaseException as error:
        processes.leave(error)
        raise
    finally:
        if not processes.alone:
            dist.destroy_process_group()


def _join() -> Processes:
    missing = [name for name in _REQUIRED if not os.environ.get(name)]
    try:
        rank, count, local_rank, local_count, restarts = (
            int(os.environ.get(name, default))
            for name, default in (
                ("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "1"),
                ("TORCHELASTIC_RESTART_COUNT", "0"),
            )
        )  # fmt: skip
    except ValueError as error:
        raise ConfigError(
            f"RANK, WORLD_SIZE, LOCAL_RANK: expected numbers, as torchrun sets them: {error}"
        ) from None
    if missing or not 0 <= rank < count:
        reason = f"{', '.join(missing)} missing" if missing else f"RANK {rank} of WORLD_SIZE {count}"
        raise ConfigError(f"WORLD_SIZE is {count}, but {reason}: start several processes by torchrun")
    try:
        whole, _, _ = next(iter(dist.rendezvous("env://", timeout=_TIMEOUT)))
        store = dist.PrefixStore(f"attempt {restarts}", whole)
        # NCCL does not initialise on a machine without a GPU.
        with_nccl = dist.is_nccl_available() and has_gpu()
        backend, group = "cpu:gloo,cuda:nccl" if with_nccl else "gloo", dist.PrefixStore("group", store)
        if count > 1:
            # Optimisers import this module. If it is imported after the group is made, it keeps the group
            # alive, and a thread of gloo that frees a tensor while Python exits aborts the process.
            import_module("torch.distributed.nn.functional")
            dist.init_process_group(backend, store=group, rank=rank, world_size=count, timeout=_TIMEOUT)
    except (RuntimeError, ValueError) as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise ProcessLostError(f"the other processes cannot be reached at {where}: {error}") from None
    launcher = os.getppid() if _TORCHRUN in os.environ else None
    failures, kept = dist.PrefixStore("failures", store), dist.PrefixStore("kept", whole)
    return Processes(rank, count, local_rank, local_count, failures, kept, launcher)


def _pack(content: Any) -> Tensor:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return torch.frombuffer(bytearray(buffer.getbuffer()), dtype=torch.uint8)


def _unpack(data: Tensor, device: torch.device | str = "cpu") -> Any:
    return torch.load(io.BytesIO(data.numpy().tobytes()), map_location=device, weights_only=True)


def _exit_code(error: BaseException) -> int:
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    return INTERRUPTED if isinstance(error, KeyboardInterrupt) else getattr(error, "exit_code", 1)
