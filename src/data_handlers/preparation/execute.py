"""Carry out a plan: cut the missing pieces in several processes, each written whole or not at all."""

import os
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

from src.data_handlers.preparation.plan import Cut, Frame, Plan
from src.data_handlers.preparation.target import claim_targets, locked, names_in, refuse_overlap
from src.data_handlers.preparation.workers import run_tasks, stopped
from src.util.atomic_file import free_bytes, write_atomically
from src.util.cores import usable_cores
from src.util.errors import DataError, NonFiniteError, StorageError
from src.util.images.io import encode_image
from src.util.logger import LOG, PROGRESS_LOG, progress_bar

_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_FILE_OVERHEAD = 4096  # bytes: a file's name, headers and last block
_BEST_COMPRESSION = 0.5  # PNG hardly makes real images smaller than this; SIDD's noisy frames need 0.7


class Done(NamedTuple):
    """The result of a task.

    Attributes
    ----------
    total, kept, made : int
        Its pieces, those that were there before, and those that were written now.
    problem : str or None
        Why a frame could not be cut.
    """

    total: int
    kept: int
    made: int
    problem: str | None


def prepare(plan: Plan, jobs: int | None = None) -> list[str]:
    """Cut all pieces of a plan that are not there yet.

    Parameters
    ----------
    plan : Plan
        What to cut and where to write it.
    jobs : int, optional
        Worker processes; one for each core by default.

    Returns
    -------
    list of str
        A line for each frame that could not be cut; the pieces of all others are complete.

    Raises
    ------
    ConfigError
        If a target is inside the source or the source inside a target.
    RunExistsError
        If a target is in use, was made in another way, or holds files that must not be overwritten.
    StorageError
        If there is no room. After any error the same call continues with the missing pieces.
    """
    for target in plan.recipes:
        for source in {plan.source, *(frame.source.parent for task in plan.tasks for frame in task)}:
            refuse_overlap(source, target)
    for problem in plan.problems:
        LOG.error("%s", problem)
    _expect_room(plan)
    with ExitStack() as stack:
        for target in plan.recipes:
            stack.enter_context(locked(target))
        claim_targets(plan)
        try:
            problems = _carry_out(plan, jobs or usable_cores())
        except KeyboardInterrupt:
            LOG.info("the same command continues from here")
            raise
    if hasattr(os, "sync"):
        os.sync()  # single pieces are written without waiting for the disk
    return [*plan.problems, *problems]


def _expect_room(plan: Plan) -> None:
    """Log the number and size of the pieces; raise StorageError if the disk cannot hold them."""
    needed = 0
    for target in plan.recipes:
        present = names_in(target)
        frames = plan.frames(target)
        pieces = [piece for frame in frames for piece in frame.pieces]
        missing = [piece for piece in pieces if piece.name not in present]
        size = sum(3 * piece.box.height * piece.box.width + _FILE_OVERHEAD for piece in missing)
        LOG.info(
            "%s: %d images give %s pieces in %s; %s are missing: at most %s (%s are free)",
            plan.source, len(frames), f"{len(pieces):,}", target,
            f"{len(missing):,}", _size(size), _size(free_bytes(target)),
        )  # fmt: skip
        needed += size
    for target in plan.recipes:
        free = free_bytes(target)
        if _BEST_COMPRESSION * needed > free:
            raise StorageError(
                f"{target}: the pieces need {_size(_BEST_COMPRESSION * needed)} to {_size(needed)},"
                f" {_size(free)} are free; make room, or choose another -nf"
            )
        if needed > free:
            LOG.warning("%s: the disk may get full; the same command continues from there", target)


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _carry_out(plan: Plan, jobs: int) -> list[str]:
    problems = []
    total = sum(len(frame.pieces) for task in plan.tasks for frame in task)
    seen = made = kept = 0
    jobs = max(1, min(jobs, len(plan.tasks)))
    with (
        progress_bar(total, "piece") as bar,
        closing(run_tasks(partial(_do, plan.cut), plan.tasks, jobs)) as outcomes,
    ):
        for number, done in enumerate(outcomes, 1):
            made += done.made
            kept += done.kept
            seen += done.total
            if done.problem is not None:
                problems.append(done.problem)
                LOG.error("%s", done.problem)
            bar.update(done.total)
            if number * 10 // len(plan.tasks) > (number - 1) * 10 // len(plan.tasks):
                PROGRESS_LOG.info("%s of %s pieces", f"{seen:,}", f"{total:,}")
    LOG.info("%s of %s pieces are there: %s made now", f"{made + kept:,}", f"{total:,}", f"{made:,}")
    return problems


def _do(cut: Cut, task: tuple[Frame, ...]) -> Done:
    """Make the missing pieces of a task; runs in a worker."""
    total = sum(len(frame.pieces) for frame in task)
    kept = made = 0
    for frame in task:
        missing = [piece for piece in frame.pieces if not _is_whole(frame.target / piece.name)]
        kept += len(frame.pieces) - len(missing)
        try:
            images = cut(frame.source, [piece.box for piece in missing]) if missing else ()
            for piece, image in zip(missing, images, strict=True):
                if stopped():
                    return Done(total, kept, made, None)
                path = frame.target / piece.name
                content = encode_image(path, image)
                # Not durable: `_is_whole` finds pieces that a power cut left unfinished.
                with write_atomically(path, durable=False) as file:
                    file.write(content)
                made += 1
        except (DataError, NonFiniteError) as error:
            return Done(total, kept, made, str(error))
    return Done(total, kept, made, None)


def _is_whole(path: Path) -> bool:
    """Return whether a file ends as a PNG does."""
    try:
        with open(path, "rb") as file:
            file.seek(-len(_PNG_END), os.SEEK_END)
            return file.read() == _PNG_END
    except OSError:  # missing, or shorter
        return False
