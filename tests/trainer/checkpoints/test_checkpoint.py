"""Which checkpoints of a run are kept, and which one is used if the newest is damaged."""

from pathlib import Path

import pytest
import torch

from src.trainer.checkpoints.checkpoint import CheckpointStore, load_checkpoint
from src.util.errors import CheckpointError
from src.util.file_manager import FileManager
from tests.trainer.conftest import best_names, content, names, newest_epoch


def flip_one_bit(path):
    data = bytearray(path.read_bytes())
    place = data.index(torch.tensor([5.0]).numpy().tobytes())  # in the weights, where loading does not notice
    data[place] ^= 1
    path.write_bytes(data)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def empty(path):
    path.write_bytes(b"")


DAMAGES = {"one bit": flip_one_bit, "truncated": truncate, "empty": empty, "missing": Path.unlink}


def test_the_last_two_checkpoints_are_kept(files, store):
    for epoch in range(1, 6):
        store.save_last(content(epoch), epoch, keep_all=False)
    assert names(files.checkpoints) == ["run_004.pth", "run_005.pth"]
    assert newest_epoch(files) == 5


def test_k6_keep_all_keeps_every_checkpoint_and_its_end_prunes_them(files, store):
    for epoch in range(1, 5):
        store.save_last(content(epoch), epoch, keep_all=True)
    assert len(names(files.checkpoints)) == 4
    store.save_last(content(5), 5, keep_all=False)
    assert names(files.checkpoints) == ["run_004.pth", "run_005.pth"]


def test_k7_epochs_are_compared_as_numbers(files, store):
    for epoch in range(998, 1003):
        store.save_last(content(epoch), epoch, keep_all=False)
        assert newest_epoch(files) == epoch
    assert names(files.checkpoints) == ["run_1001.pth", "run_1002.pth"]


def test_an_epoch_saved_twice_counts_once(files, store):
    for epoch, mark in ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1)):
        store.save_last(content(epoch, mark), epoch, keep_all=False)
    assert names(files.checkpoints) == ["run_002.pth", "run_003.pth"]
    assert CheckpointStore(files).newest()[1]["mark"] == 1


def test_k8_k13_files_of_the_user_are_neither_read_nor_deleted(files, store):
    for folder in (files.checkpoints, files.best_checkpoints):
        for name in ("000_downloaded.pth", "run_000.pth", "notes.txt", "run_000_psnr_99.00.pth"):
            (folder / name).write_text("mine")
    for epoch in range(1, 5):
        store.save_last(content(epoch), epoch, keep_all=False)
        store.save_best(content(epoch), epoch, "psnr", 20.0 + epoch)
        assert newest_epoch(files) == epoch
    for folder in (files.checkpoints, files.best_checkpoints):
        for name in ("000_downloaded.pth", "run_000.pth", "notes.txt", "run_000_psnr_99.00.pth"):
            assert (folder / name).read_text() == "mine"


def test_a_new_best_replaces_the_last_one_by_the_same_metric_only(files, store):
    store.save_best(content(1), 1, "psnr", 29.0)
    store.save_best(content(1), 1, "ssim", 0.9)
    store.save_best(content(2), 2, "psnr", 29.5)
    assert best_names(files) == ["run_001_ssim_0.900.pth", "run_002_psnr_29.50.pth"]
    assert load_checkpoint(files.best_file(2, "psnr", 29.5))["epoch"] == 2


@pytest.mark.parametrize("name", ["psnr_x", "ssim_x", "run_psnr_99.99"])
def test_k11_a_metric_in_the_name_of_the_run_is_no_metric(tmp_path, name):
    files = FileManager(tmp_path, name)
    files.create()
    store = CheckpointStore(files)
    for epoch in (1, 2):
        store.save_best(content(epoch), epoch, "psnr", 20.0 + epoch)
        store.save_best(content(epoch), epoch, "ssim", 0.5 + epoch / 10)
    assert best_names(files) == [f"{name}_002_psnr_22.00.pth", f"{name}_002_ssim_0.700.pth"]
    files.close()


def test_a_new_process_continues_the_manifest(files):
    for epoch in range(1, 5):
        store = CheckpointStore(files)
        store.save_last(content(epoch), epoch, keep_all=False)
        store.save_best(content(epoch), epoch, "psnr", 20.0 + epoch)
    assert names(files.checkpoints) == ["run_003.pth", "run_004.pth"]
    assert best_names(files) == ["run_004_psnr_24.00.pth"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_k2_k3_a_damaged_checkpoint_is_detected_and_the_one_before_it_used(files, store, messages, damage):
    for epoch in (4, 5):
        store.save_last(content(epoch), epoch, keep_all=False)
    DAMAGES[damage](files.checkpoint_file(5))
    path, loaded = CheckpointStore(files).newest()
    assert (path, loaded["epoch"]) == (files.checkpoint_file(4), 4)
    (message,) = messages
    assert message.startswith("WARNING") and "run_005.pth" in message
    assert "going back to the checkpoint before it" in message


def test_if_all_are_damaged_an_error_is_raised_and_nothing_deleted(files, store):
    for epoch in (4, 5):
        store.save_last(content(epoch), epoch, keep_all=False)
        truncate(files.checkpoint_file(epoch))
    with pytest.raises(CheckpointError, match="no usable checkpoint"):
        CheckpointStore(files).newest()
    assert names(files.checkpoints) == ["run_004.pth", "run_005.pth"]


def test_k19_a_run_without_checkpoints_has_no_newest(store):
    with pytest.raises(CheckpointError, match="no usable checkpoint"):
        store.newest()


def test_k3_a_checkpoint_loaded_by_its_path_is_verified_too(files, store):
    last = store.save_last(content(5), 5, keep_all=False)
    best = store.save_best(content(5), 5, "psnr", 30.0)
    assert store.load(last)["epoch"] == store.load(best)["epoch"] == 5
    for path in (last, best):
        flip_one_bit(path)
        load_checkpoint(path)  # does not notice
        with pytest.raises(CheckpointError, match="damaged"):
            store.load(path)


def test_a_checkpoint_from_elsewhere_is_loaded_unverified(files, store):
    torch.save(content(3), files.checkpoints / "downloaded.pth")
    assert store.load(files.checkpoints / "downloaded.pth")["epoch"] == 3
