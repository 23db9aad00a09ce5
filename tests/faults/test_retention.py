"""The checkpoints that a run keeps, compared with a model, through crashes and stray files."""

import contextlib
import math
import os
from pathlib import Path
from unittest.mock import MagicMock

import torch

from src.trainer.checkpoints.checkpoint import CheckpointStore, load_checkpoint
from src.trainer.checkpoints.state import TrainingState
from src.trainer.config.run_config import RunConfig
from src.trainer.evaluation.evaluate import ImageScore, Scores
from src.trainer.training import trainer
from src.util.file_manager import FileManager

SCORES = [29.436, 29.438, 29.441, 29.444, 29.444, 30.0, 12.5, math.nan]
STRAY = [
    "run_000.pth", "000_mine.pth", "notes.txt", ".mine.tmp", "run_1003.pth.bak", "run_999_psnr_99.00.pth"
]  # fmt: skip


class Killed(BaseException):
    pass


@contextlib.contextmanager
def killed_after(changes, monkeypatch):
    """Stop like `kill -9` after the given number of changes on disk; never if None."""
    left = [changes]

    def guarded(real):
        def change(*arguments, **keywords):
            if left[0] is not None:
                left[0] -= 1
                if left[0] < 0:
                    raise Killed
            return real(*arguments, **keywords)

        return change

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", guarded(os.replace))
        patch.setattr(Path, "unlink", guarded(Path.unlink))
        with contextlib.suppress(Killed):
            yield


class Run:
    """A run without training: only its saves, as a training makes them."""

    def __init__(self, folder, first):
        self.files = FileManager(folder, "run")
        self.files.create()
        self.first = first
        self.scores = {}
        self.state = TrainingState(epoch=first)
        self.store = CheckpointStore(self.files)

    def content(self):
        weights = {"w": torch.full((2,), float(self.state.epoch))}
        return {"epoch": self.state.epoch, "model_weights": weights, "state": self.state.to_plain()}

    def train_epoch(self, score, monkeypatch):
        """Save an epoch before and after its validation."""
        self.state.epoch, self.state.batch = self.state.epoch + 1, 0
        self.scores[self.state.epoch] = score
        self.store.save_last(self.content(), self.state.epoch, keep_all=False)
        self.validate(monkeypatch)

    def validate(self, monkeypatch):
        """Let the trainer choose the best checkpoints."""
        scores = Scores(1, [ImageScore("a", {"psnr": self.scores[self.state.epoch]})])
        monkeypatch.setattr(trainer, "evaluate", lambda *arguments: [])
        monkeypatch.setattr(trainer, "score_all", lambda *arguments: scores)
        stub = MagicMock(store=self.store, state=self.state, content=self.content)
        stub.config = RunConfig()
        stub.validation.samples.data_range, stub.validation.samples.source = None, [1]
        stub._image_epochs.return_value = set()
        trainer.Trainer.validate(stub, self.state.epoch)
        self.store.save_last(self.content(), self.state.epoch, keep_all=False)

    def save_inside(self):
        self.state.batch += 1
        self.store.save_interim(self.content(), self.state.epoch, 10 * self.state.epoch + self.state.batch)

    def resume(self, monkeypatch):
        """Resume as after a crash: repeat an unfinished validation."""
        self.files.close()
        self.files = FileManager(self.files.folder.parent, "run")
        self.files.open()
        self.store = CheckpointStore(self.files)
        if self.store.is_empty() or not self.store.manifest["last"]:
            self.state = TrainingState(epoch=self.first)
        else:
            self.state = TrainingState.from_plain(self.store.newest()[1]["state"])
        if self.state.validated_epoch < self.state.epoch > self.first and not self.state.batch:
            self.validate(monkeypatch)


def problems(run, saved, stray):
    """Yield violations of what must hold after every event."""
    files, store = run.files, CheckpointStore(run.files)
    there = {f"checkpoint/{path.name}" for path in files.checkpoints.glob("run_*.pth")}
    there -= {f"checkpoint/{name}" for name in stray}
    listed = {entry["file"] for entry in store.manifest["last"]}
    whole = [entry for entry in store.manifest["last"] if not entry["interim"]]
    if not there <= listed:
        yield f"forgotten on the disk: {there - listed}"
    if saved and TrainingState.from_plain(store.newest()[1]["state"]) != run.state:
        yield "the newest is not the latest state"
    if len(whole) > 3 or len(listed) - len(whole) > 3:  # two, and one more after a crash
        yield f"too many: {listed}"
    for name, text in stray.items():
        if any((folder / name).read_text() != text for folder in (files.checkpoints, files.best_checkpoints)):
            yield f"{name} of the user's was touched"
    if best := run.state.best.get("psnr"):
        found = [p for p in files.best_checkpoints.glob("run_*_psnr_*.pth") if p.name not in stray]
        if best.epoch not in [load_checkpoint(path)["epoch"] for path in found]:
            yield f"the best, {best}, is lost"


def test_k4_k6_k7_k8_k10_k12_the_kept_checkpoints_match_the_model(tmp_path, trials, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    sequences = trials("random saves, crashes, resumes and stray files", small=20, full=400)
    for number, rng in sequences:
        run, stray = Run(tmp_path / str(number), rng.choice([0, 0, 996, 997, 998])), {}
        for _ in range(rng.randint(5, 14)):
            event = rng.choice(["epoch", "epoch", "inside", "crash", "resume", "stray"])
            sequences.note(event)
            before, score = run.state.epoch, rng.choice(SCORES)
            with killed_after(rng.randint(0, 20) if event == "crash" else None, monkeypatch):
                if event == "inside":
                    run.save_inside()
                elif event in ("epoch", "crash"):
                    run.train_epoch(score, monkeypatch)
            if event == "stray":
                name = rng.choice(STRAY)
                stray[name] = f"mine {rng.random()}"
                for folder in (run.files.checkpoints, run.files.best_checkpoints):
                    (folder / name).write_text(stray[name])
            if event in ("crash", "resume"):
                run.resume(monkeypatch)
                sequences.expect(run.state.epoch in (before, before + 1), f"{number}: {event} lost an epoch")
            known = [
                run.scores[e] for e in run.scores if e <= run.state.epoch and math.isfinite(run.scores[e])
            ]
            best = run.state.best["psnr"].value if run.state.best else None
            sequences.expect(best == max(known, default=None), f"{number}, {event}: best {best} of {known}")
            for problem in problems(
                run, bool(run.store.manifest["last"]) and not run.store.is_empty(), stray
            ):
                sequences.expect(False, f"{number}, {event}: {problem}")
        run.files.close()
