"""Several processes that train one network together, as torchrun starts them; for one, nothing happens here.

Each process has its share of every batch and the same weights. Gradients are summed in one tensor of fixed
order, not by torch's DistributedDataParallel: that arranges its buckets anew after its first step, so that
with three processes or more a resumed run would add in another order than an unbroken one.
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

LONGEST_SILENCE = timedelta(minutes=30)
"""How far one process may fall behind another, in one step or one validated image; a dead one is known at
once by its closed connection."""

_TORCHRUN = "TORCHELASTIC_RUN_ID"  # set in what torchrun starts
_NEEDED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
LONGEST_PARTING = 2
"""Seconds that a process which has failed waits for the others to hear of it."""
_FAILURE = "failure"  # where the first process that fails leaves its reason
_LEFT = "left"  # how many have heard of it


class ProcessLostError(UserError):
    """Another process of the same training has ended, or cannot be reached."""


@dataclass(frozen=True)
class Processes:
    """Those that train together, as one of them sees them; `ALONE` is the only one.

    Parameters
    ----------
    rank : int
        Its number, from 0; process 0 alone writes and logs.
    count : int
        How many there are.
    local_rank, local_count : int
        The same among those of its machine.
    store : torch.distributed.Store or None
        Where a process that fails says why.
    kept : torch.distributed.Store or None
        What torchrun keeps when it starts them anew after one failed.
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
        """Whether this is the process that writes."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there is no other."""
        return self.count == 1

    @property
    def deserted(self) -> bool:
        """Whether torchrun has been killed, so that nobody watches over the processes any more."""
        return self.launcher is not None and os.getppid() != self.launcher

    def note_begun(self, run: object) -> None:
        """Remember that these processes have made a run, should torchrun start them anew."""
        if self.kept is not None:
            self.kept.set(f"begun {run}", "")

    def have_begun(self, run: object) -> bool:
        """Whether it was these that made the run, before torchrun started them anew; the same for each."""
        begun = self.first and self.kept is not None and self.kept.check([f"begun {run}"])
        return bool(self.broadcast(begun))

    def sum(self, values: Tensor) -> Tensor:
        """Sum of a tensor over all processes, the same bits for each."""
        if self.alone:
            return values
        total = values.clone()
        with self._together():
            dist.all_reduce(total)
        return total

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Put in place of each gradient its sum over all processes."""
        self.sum_each([p.grad for p in parameters if p.grad is not None])

    def sum_each(self, tensors: Sequence[Tensor]) -> None:
        """Put in place of each tensor its sum over all processes; all of them travel as one."""
        if self.alone:
            return
        total = self.sum(torch.cat([tensor.flatten() for tensor in tensors]))
        for tensor, part in zip(tensors, total.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def all_reduce_max(self, number: int) -> int:
        """The largest of the numbers that the processes give."""
        if self.alone:
            return number
        # On the CPU: a GPU is not made to wait.
        numbers = torch.tensor([number])
        with self._together():
            dist.all_reduce(numbers, dist.ReduceOp.MAX)
        return int(numbers)

    def barrier(self) -> None:
        """Until all are here."""
        self.all_reduce_max(0)

    def broadcast(self, content: Any, device: torch.device | str = "cpu") -> Any:
        """What process 0 gives: plain types and tensors; those of the others come onto `device`."""
        if self.alone:
            return content
        data = _packed(content if self.first else None)
        size = self.all_reduce_max(len(data) if self.first else 0)
        data = data if self.first else torch.empty(size, dtype=torch.uint8)
        with self._together():
            dist.broadcast(data, 0)
        return content if self.first else _unpacked(data, device)

    def gather(self, content: Any) -> list[Any]:
        """What each process gives, in their order, at process 0; nothing at the others. See `broadcast`."""
        if self.alone:
            return [content]
        data = _packed(content)
        sizes = torch.zeros(self.count, dtype=torch.int64)
        sizes[self.rank] = len(data)
        sizes = self.sum(sizes)
        padded = torch.zeros(int(sizes.max()), dtype=torch.uint8)
        padded[: len(data)] = data
        every = [torch.empty_like(padded) for _ in sizes] if self.first else None
        with self._together():
            dist.gather(padded, every, 0)
        return [_unpacked(one[:size]) for one, size in zip(every or [], sizes, strict=self.first)]

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Turn a lost connection into the reason why it was lost."""
        try:
            yield
        except RuntimeError as error:  # what the backends raise has no type of its own
            LOG.debug("%s", error)
            raise ProcessLostError(
                self._failure().get("said")
                or "another process of this training has ended or cannot be reached; -r goes on from the last"
                " checkpoint"
            ) from error

    def leave(self, error: BaseException) -> None:
        """Say why this process fails; return if it is the first to, else end it silently.

        Raises
        ------
        SystemExit
            With the exit code of the one that failed first.
        """
        own = {"rank": self.rank, "code": _exit_code(error), "said": str(error) or type(error).__name__}
        heard = self._failure(own)
        self._part()
        if heard and heard["rank"] != self.rank:
            raise SystemExit(heard["code"]) from None

    def _part(self) -> None:
        """Let process 0 leave last where it keeps the store itself, so that the others can still read it."""
        assert self.store is not None
        try:
            left = self.store.add(_LEFT, 1)
            last = time.monotonic() + LONGEST_PARTING
            while self.first and _keeps_store() and left < self.count and time.monotonic() < last:
                time.sleep(0.05)
                left = self.store.add(_LEFT, 0)
        except RuntimeError:  # it has ended
            return

    def _failure(self, own: dict[str, Any] | None = None) -> dict[str, Any]:
        """Who failed first and why, after adding `own`; nothing if nobody did, or none can be asked."""
        assert self.store is not None
        try:
            if own is not None:
                return dict(json.loads(self.store.compare_set(_FAILURE, "", json.dumps(own))))
            return dict(json.loads(self.store.get(_FAILURE))) if self.store.check([_FAILURE]) else {}
        except RuntimeError:  # the store has ended with the process that kept it
            return {}


ALONE = Processes()


@contextmanager
def processes_of_torchrun() -> Iterator[Processes]:
    """Join the processes that torchrun has started, while the `with` block runs; one alone joins nobody.

    A failure of one ends all: the first says why, the others end silently with its exit code.

    Yields
    ------
    Processes

    Raises
    ------
    ConfigError
        When the environment is not what torchrun makes.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1" and _TORCHRUN not in os.environ:
        yield ALONE
        return
    processes = _join()
    if not processes.first:
        LOG.setLevel(logging.ERROR)
    try:
        yield processes
        processes.barrier()  # a last failure is everyone's
    except BaseException as error:
        processes.leave(error)
        raise
    finally:
        if not processes.alone:
            dist.destroy_process_group()


def _join() -> Processes:
    missing = [name for name in _NEEDED if not os.environ.get(name)]
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
        whole, _, _ = next(iter(dist.rendezvous("env://", timeout=LONGEST_SILENCE)))
        store = dist.PrefixStore(f"attempt {restarts}", whole)
        # NCCL refuses to begin on a machine without a GPU.
        with_nccl = dist.is_nccl_available() and has_gpu()
        backend, group = "cpu:gloo,cuda:nccl" if with_nccl else "gloo", dist.PrefixStore("group", store)
        if count > 1:
            # An optimiser imports it. Imported after the group was made, it would hold on to it past its end,
            # and a thread of gloo that then lets go of a tensor while Python ends would abort the process.
            import_module("torch.distributed.nn.functional")
            dist.init_process_group(
                backend, store=group, rank=rank, world_size=count, timeout=LONGEST_SILENCE
            )
    except (RuntimeError, ValueError) as error:
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise ProcessLostError(f"the other processes cannot be reached at {where}: {error}") from None
    launcher = os.getppid() if _TORCHRUN in os.environ else None
    said, kept = dist.PrefixStore("said", store), dist.PrefixStore("kept", whole)
    return Processes(rank, count, local_rank, local_count, said, kept, launcher)


def _keeps_store() -> bool:
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"


def _packed(content: Any) -> Tensor:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return torch.frombuffer(bytearray(buffer.getbuffer()), dtype=torch.uint8)


def _unpacked(data: Tensor, device: torch.device | str = "cpu") -> Any:
    return torch.load(io.BytesIO(data.numpy().tobytes()), map_location=device, weights_only=True)


def _exit_code(error: BaseException) -> int:
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    return INTERRUPTED if isinstance(error, KeyboardInterrupt) else getattr(error, "exit_code", 1)
