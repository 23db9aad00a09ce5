"""A plan carried out: pieces cut by several processes, each checked, written whole, and written down."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from src.data_handlers.preparation.manifest import Entry
from src.data_handlers.preparation.plan import Cut, Frame, Piece, Plan
from src.data_handlers.preparation.room import announce
from src.data_handlers.preparation.target import Target, refuse_overlap
from src.data_handlers.preparation.workers import run_tasks, stopped
from src.util.atomic_file import write_atomically
from src.util.cores import usable_cores
from src.util.errors import DataError, NonFiniteError
from src.util.images.io import encode_image
from src.util.logger import LOG, PROGRESS_LOG, progress_bar


@dataclass(frozen=True)
class Task:
    """Frames for one worker.

    Attributes
    ----------
    frames : tuple of Frame
        In order; the first that fails ends the task.
    known : tuple of dict
        For each frame the SHA-256 of its pieces that were made before.
    """

    frames: tuple[Frame, ...]
    known: tuple[dict[str, str], ...]


class Done(NamedTuple):
    """How a task ended.

    Attributes
    ----------
    task : Task
        The task.
    made : list of list of Entry
        For each frame the pieces that were made now.
    kept : int
        How many were there.
    problem : str or None
        Why a frame could not be cut.
    """

    task: Task
    made: list[list[Entry]]
    kept: int
    problem: str | None


def prepare(plan: Plan, jobs: int | None = None) -> list[str]:
    """Carry a plan out, or what is left of it.

    Parameters
    ----------
    plan : Plan
        What to cut and where to write it.
    jobs : int, optional
        Worker processes; without it one for each core.

    Returns
    -------
    list of str
        A line for each frame that could not be cut; all others are there, whole.

    Raises
    ------
    ConfigError
        When a target lies in the source or the source in a target.
    RunExistsError
        When a target is in use, of another kind, or holds files that must not be overwritten.
    StorageError
        When there is no room. Whatever is raised: the same call goes on from there.
    """
    for target in plan.recipes:
        for source in {plan.source, *(frame.source.parent for task in plan.tasks for frame in task)}:
            refuse_overlap(source, target)
    for problem in plan.problems:
        LOG.error("%s", problem)
    announce(plan)
    with ExitStack() as stack:
        targets = {
            folder: stack.enter_context(Target(folder, recipe, plan.pieces(folder)))
            for folder, recipe in plan.recipes.items()
        }
        try:
            problems = _carry_out(plan, targets, jobs or usable_cores())
        except KeyboardInterrupt:
            LOG.info("the same command goes on from here")
            raise
    if hasattr(os, "sync"):
        os.sync()  # pieces are written without waiting for the disk
    return [*plan.problems, *problems]


def _carry_out(plan: Plan, targets: dict[Path, Target], jobs: int) -> list[str]:
    problems = []
    total = sum(len(frame.pieces) for task in plan.tasks for frame in task)
    seen = made = kept = 0
    jobs = max(1, min(jobs, len(plan.tasks)))
    with (
        progress_bar(total, "piece") as bar,
        closing(run_tasks(partial(_do, plan.cut), _tasks(plan, targets), jobs)) as outcomes,
    ):
        for number, done in enumerate(outcomes, 1):
            for frame, entries in zip(done.task.frames, done.made, strict=False):
                targets[frame.target].manifest.add(entries)
                made += len(entries)
            kept += done.kept
            if done.problem is not None:
                problems.append(done.problem)
                LOG.error("%s", done.problem)
            count = sum(len(frame.pieces) for frame in done.task.frames)
            seen += count
            bar.update(count)
            if number * 10 // len(plan.tasks) > (number - 1) * 10 // len(plan.tasks):
                PROGRESS_LOG.info("%s of %s pieces", f"{seen:,}", f"{total:,}")
    LOG.info("%s of %s pieces are there: %s made now", f"{made + kept:,}", f"{total:,}", f"{made:,}")
    return problems


def _tasks(plan: Plan, targets: dict[Path, Target]) -> Iterator[Task]:
    for frames in plan.tasks:
        for frame in frames:
            targets[frame.target].manifest.begin(frame)
        yield Task(frames, tuple(targets[frame.target].manifest.known(frame) for frame in frames))


def _do(cut: Cut, task: Task) -> Done:
    """In a worker: make what is missing of a task's pieces."""
    made: list[list[Entry]] = []
    kept = 0
    for frame, known in zip(task.frames, task.known, strict=True):
        missing = [p for p in frame.pieces if not _is_as_known(frame.target / p.name, known.get(p.name))]
        kept += len(frame.pieces) - len(missing)
        made.append([])
        try:
            for entry in _make(frame, missing, cut):
                made[-1].append(entry)
        except (DataError, NonFiniteError) as error:
            return Done(task, made, kept, str(error))
    return Done(task, made, kept, None)


def _is_as_known(path: Path, sha256: str | None) -> bool:
    return sha256 is not None and _sha256(path) == sha256


def _make(frame: Frame, pieces: list[Piece], cut: Cut) -> Iterator[Entry]:
    images = cut(frame.source, [piece.box for piece in pieces]) if pieces else ()
    for piece, image in zip(pieces, images, strict=True):
        if stopped():
            return
        path = frame.target / piece.name
        content = encode_image(path, image)
        sha256 = hashlib.sha256(content).hexdigest()
        if _sha256(path) != sha256:
            _write(path, content)
        yield Entry(piece.name, frame.name, frame.size, frame.changed, piece.box, sha256)


def _write(path: Path, content: memoryview) -> None:
    # The disk need not be waited for: what a power cut damages is found by its hash, and made again.
    with write_atomically(path, durable=False) as file:
        file.write(content)


def _sha256(path: Path) -> str | None:
    """Of a file; None where there is none that can be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
