"""Damaged files of a run: no damaged checkpoint is loaded; the one before it is."""

import shutil

import pytest
import torch

from src.trainer.checkpoints.checkpoint import CheckpointStore, load_verified
from src.util.errors import CheckpointError
from src.util.file_manager import FileManager
from tests.faults.conftest import values


def content(epoch):
    generator = torch.Generator().manual_seed(epoch)
    weights = {f"bsn.{i}.weight": torch.randn(4, 3, 3, 3, generator=generator) for i in range(3)}
    state = {"epoch": epoch, "step": 10 * epoch, "recent": [{"total": 0.5}] * 20}
    return {"epoch": epoch, "model_weights": weights, "optimizer_weights": {"state": {}}, "state": state}


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    files = FileManager(tmp_path, "run")
    files.create()
    store = CheckpointStore(files)
    for epoch in (4, 5):
        store.save_last(content(epoch), epoch, keep_all=False)
        store.save_best(content(epoch), epoch, "psnr", 20.0 + epoch)
    yield files
    files.close()


def flipped(data, rng):
    damaged = bytearray(data)
    damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def cut(data, rng):
    return data[: rng.randrange(len(data))]


def zeroed(data, rng):
    start = rng.randrange(len(data) - 1)
    end = rng.randint(start + 1, len(data))
    return data[:start] + bytes(end - start) + data[end:]


DAMAGES = {
    "bit flips": (flipped, 100, 1000),
    "truncations": (cut, 100, 1000),
    "zero-fills": (zeroed, 20, 200),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_k2_k3_b3_a_damaged_newest_checkpoint_is_never_loaded(files, trials, messages, damage):
    make, small, full = DAMAGES[damage]
    newest, before = files.checkpoint_file(5), values(content(4))
    whole = newest.read_bytes()
    tried = trials(f"{damage} of the newest checkpoint", small=small, full=full)
    for number, rng in tried:
        newest.write_bytes(make(whole, rng))
        if newest.read_bytes() == whole:  # these bytes were 0 already
            tried.note("no change")
            continue
        messages.clear()
        path, loaded = CheckpointStore(files).newest()
        fell_back = path == files.checkpoint_file(4) and values(loaded) == before
        tried.expect(fell_back and "run_005.pth: damaged" in "".join(messages), number)
        with pytest.raises(CheckpointError, match=r"run_005\.pth: damaged"):
            load_verified(newest)
        tried.note(silent(newest, whole_content=values(content(5))))
    newest.write_bytes(whole)
    assert CheckpointStore(files).newest()[0] == newest


def silent(path, whole_content):
    """Return what `torch.load` alone does with the file: the control for the SHA-256."""
    try:
        loaded = torch.load(path, weights_only=True, map_location="cpu")
    except Exception:
        return "torch.load refuses"
    try:
        unharmed = values(loaded) == whole_content
    except RecursionError:  # a container within itself
        unharmed = False
    return "torch.load takes it, unharmed" if unharmed else "torch.load takes it, WRONG"


@pytest.mark.parametrize("damage", DAMAGES)
def test_k2_k3_b3_a_damaged_manifest_loses_nothing(files, trials, messages, damage):
    make, small, full = DAMAGES[damage]
    whole, expected = files.manifest_file.read_bytes(), values(content(5))
    tried = trials(f"{damage} of the manifest", small=small, full=full)
    for number, rng in tried:
        files.manifest_file.write_bytes(make(whole, rng))
        messages.clear()
        path, loaded = CheckpointStore(files).newest()
        tried.expect(path == files.checkpoint_file(5) and values(loaded) == expected, number)
        tried.note(
            "its copy named and taken" if "manifest.json: damaged" in "".join(messages) else "harmless"
        )


def test_with_both_manifests_damaged_nothing_is_loaded_or_deleted(files, trials):
    intact = {path: path.read_bytes() for path in (files.manifest_file, files.manifest_copy)}
    kept = sorted(files.folder.rglob("*.pth"))
    tried = trials("truncation of the manifest and its copy", small=10, full=100)
    for number, rng in tried:
        for path, data in intact.items():
            path.write_bytes(cut(data, rng))
        with pytest.raises(CheckpointError, match=r"manifest\.json: damaged"):
            CheckpointStore(files)
        tried.expect(sorted(files.folder.rglob("*.pth")) == kept, number)


def test_an_intact_checkpoint_under_the_name_of_another_is_refused(files):
    shutil.copy(files.checkpoint_file(4), files.checkpoint_file(5))
    path, loaded = CheckpointStore(files).newest()
    assert (path, loaded["epoch"]) == (files.checkpoint_file(4), 4)


def test_k3_a_best_checkpoint_given_by_its_path_is_checked_against_the_manifest(files):
    best = files.best_file(5, "psnr", 25.0)
    assert load_verified(best)["epoch"] == 5
    shutil.copy(files.checkpoint_file(4), best)
    with pytest.raises(CheckpointError, match="damaged"):
        load_verified(best)
    files.manifest_file.unlink()
    files.manifest_copy.write_text("")
    assert load_verified(best)["epoch"] == 4  # no manifest lists it
