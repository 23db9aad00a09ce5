"""What a training saves, validates, logs and draws, and when."""

import gc
import itertools
import math
import multiprocessing

import pytest
import torch

from src.masker import NonLocalMasker
from src.trainer.checkpoints.state import TrainingState
from src.trainer.training import trainer
from src.util.logger import LOG


def images_saved(run):
    return sorted(folder.name for folder in run.files.images.iterdir())


@pytest.mark.parametrize(
    ("settings", "epochs"),
    [
        (["max_epochs=5", "interval_epoch=3", "save_all=true"], [1, 4, 5]),  # and the last, always
        (["max_epochs=4", "start_epoch=2"], [3, 4]),  # the last two stay
        (["max_epochs=5", "interval_epoch=3"], [4, 5]),
        (["max_epochs=3", "save=false"], [3]),
    ],
)
def test_k6_k9_c12_checkpoints_that_are_kept(new_run, settings, epochs):
    run = new_run("run")
    run.train(f"training.{settings[0]}", *(f"checkpoint.{setting}" for setting in settings[1:]))
    assert run.epochs == epochs
    assert len(run.best) == 1


@pytest.mark.parametrize(
    ("start", "interval", "expected"), [(4, 3, [4, 7]), (2, 2, [2, 4, 6, 7]), (1, 3, [1, 4, 7]), (9, 1, [7])]
)
def test_t5_validation_starts_at_its_start_epoch(new_run, start, interval, expected):
    run = new_run("run")
    run.train(
        "training.max_epochs=7", f"validation.start_epoch={start}", f"validation.interval_epoch={interval}"
    )
    found = [int(row["epoch"]) for row in run.scores] if run.files.scores_file.exists() else []
    assert found == expected


def test_validation_images_too_small_to_be_masked_do_not_end_the_training(new_run):
    run = new_run("run")
    run.train("validation.dataset_args.crop_size=16", "training.max_epochs=1")
    assert [row["masked_loss"] for row in run.scores] == [""] and run.best == []
    assert "validation after epoch 1: no score (all 3 images)" in run.log


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["training.max_epochs=3", "validation.num_of_saves=10"], ["val_001", "val_002", "val_003"]),
        (["validation.num_of_saves=2"], ["val_003", "val_006"]),
        (["validation.num_of_saves=1"], ["val_006"]),
        (["validation.num_of_saves=4"], ["val_002", "val_003", "val_005", "val_006"]),
        (["validation.num_of_saves=2", "validation.interval_epoch=2"], ["val_003", "val_006"]),
        (["validation.save_image=false"], []),
    ],
)
def test_t2_saved_images_are_spread_evenly_over_the_validations(new_run, settings, expected):
    run = new_run("run")
    run.train("training.max_epochs=6", *settings)
    assert images_saved(run) == expected


def test_the_step_schedule_halves_the_learning_rate_after_its_epochs(new_run):
    run = new_run("run")
    run.train("training.max_epochs=5", "training.scheduler={type: step, step_size: 2, gamma: 0.5}")
    rates = {step: text.split("learning rate ")[1] for step, text in run.losses.items()}
    by_epoch = {epoch: rate for (epoch, _), rate in rates.items()}
    assert by_epoch == {1: "1.000e-03", 2: "1.000e-03", 3: "5.000e-04", 4: "5.000e-04", 5: "2.500e-04"}
    assert run.last["optimizer_weights"]["param_groups"][0]["lr"] == 0.00025


def test_the_cosine_schedule_follows_the_steps(new_run):
    run = new_run("run")
    run.train("training.max_epochs=2", "training.scheduler.type=cosine")
    rates = [float(text.split("learning rate ")[1]) for text in run.losses.values()]
    assert rates == pytest.approx([1e-3 * (1 + math.cos(math.pi * i / 4)) / 2 for i in range(4)], rel=1e-3)


def test_the_logged_loss_is_the_mean_of_the_last_hundred_steps(new_run):
    run = new_run("run")
    run.train("training.max_epochs=52", "validation.val=false", "checkpoint.save=false")
    logged = [float(text.split()[1]) for text in run.losses.values()]
    last = [losses["total"] for losses in run.last["state"]["recent"]]
    assert (len(logged), len(last)) == (104, 100)
    assert logged[-1] == pytest.approx(sum(last) / 100, rel=1e-4)
    expected = [(4 * logged[3] + sum(last[: step - 4])) / step for step in range(5, 101)]
    assert logged[4:100] == pytest.approx(expected, rel=1e-3)  # the first four are known from the log alone


@pytest.fixture
def masked(monkeypatch):
    """Batch and seed of each call of the masker."""
    calls, original = [], NonLocalMasker.mask_share

    def listen(self, batch, generator, *rest):
        calls.append((batch.clone(), generator.initial_seed()))
        return original(self, batch, generator, *rest)

    monkeypatch.setattr(NonLocalMasker, "mask_share", listen)
    return calls


def test_each_epoch_has_its_own_order_and_crops_and_each_step_its_own_spots(new_run, masked):
    settings = ["training.max_epochs=3", "training.dataset_args.crop_size=48", "validation.val=false"]
    new_run("run").train(*settings)
    batches, seeds = zip(*masked[:6], strict=True)  # later calls check the result
    full = [batch for batch in batches if len(batch) == 2]
    assert len(full) == 3
    assert not any(torch.equal(one, other) for one, other in itertools.combinations(full, 2))
    assert len(set(seeds)) == 6


def test_images_of_8_bits_reach_the_masker_as_bytes(new_run, masked):
    """On a GPU the search over 8-bit levels is several times as fast."""
    new_run("run").train("training.max_epochs=1", "validation.val=false")
    assert [batch.dtype for batch, _ in masked[:2]] == [torch.uint8] * 2


def test_the_log_tells_each_interval_and_the_last_step(new_run):
    run = new_run("run")
    run.train("training.max_epochs=4", "log.iter_interval=3")
    assert list(run.losses) == [(2, 3), (3, 6), (4, 8)]


def test_t10_the_last_batch_of_an_epoch_may_be_smaller(new_run):
    run = new_run("run")
    run.train("training.max_epochs=1")
    assert list(run.losses) == [(1, 1), (1, 2)]


def test_a_batch_larger_than_the_set_trains(new_run):
    run = new_run("run")
    run.train("training.batch_size=32")
    assert run.last["state"]["step"] == 2


def test_t4_terms_that_are_only_logged_change_nothing_else(new_run, differing):
    plain, more = new_run("plain"), new_run("more")
    plain.train()
    more.train("training.tmp_info=[self_L1]")
    assert differing(plain.last["model_weights"], more.last["model_weights"]) == []
    assert "self_L1" in more.losses[1, 1] and "self_L1" not in plain.losses[1, 1]
    assert more.losses[1, 1].split()[1] == plain.losses[1, 1].split()[1]


@pytest.mark.parametrize(
    ("epoch", "batch", "last"), [(0, 0, 22), (1, 0, 18), (1, 3, 15), (1, 5, 14), (3, 0, 10), (4, 0, 10)]
)
def test_steps_that_are_left_are_counted_from_the_current_position(tiny_config, epoch, batch, last):
    """Epochs have 4 batches; a batch number of 5 is from an epoch that began with other images."""
    state = TrainingState(epoch=epoch, step=10, batch=batch)
    assert trainer.last_step(tiny_config("training.max_epochs=3"), state, 4) == last


def test_validation_changes_nothing_in_training(new_run, differing):
    validated, alone = new_run("validated"), new_run("alone")
    validated.train()
    alone.train("validation.val=false")
    assert differing(validated.last["model_weights"], alone.last["model_weights"]) == []


def test_f16_the_log_has_room_for_ten_thousand_epochs(new_run, stop_at_step):
    run = new_run("run")
    stop_at_step(2)
    with pytest.raises(KeyboardInterrupt):
        run.train("training.max_epochs=12000")
    assert "epoch 1/12000, step 2/24000" in run.log


def test_t12_a_crash_closes_the_log_and_ends_the_workers(new_run, stop_at_step):
    run = new_run("run")
    stop_at_step(1, lambda: RuntimeError("CUDA out of memory"))
    handlers = list(LOG.handlers)
    with pytest.raises(RuntimeError, match="out of memory"):
        run.train(workers=2)
    gc.collect()
    assert multiprocessing.active_children() == []
    assert LOG.handlers == handlers
    assert "ERROR stopped: CUDA out of memory" in run.log


def test_f7_the_log_and_the_table_of_scores_are_two_files(new_run):
    run = new_run("run")
    run.train()
    assert run.files.log_file != run.files.scores_file
    assert "loss" in run.log and run.scores[0]["epoch"] == "1"
    assert "masked_loss" not in run.log


def test_t9_every_group_of_the_optimiser_follows_the_schedule(new_run, monkeypatch):
    def two_groups(config, parameters):
        first, *others = parameters
        return torch.optim.Adam([{"params": [first], "lr": 1.0}, {"params": others, "lr": 2.0}])

    monkeypatch.setattr("src.trainer.training.session.build_optimizer", two_groups)
    run = new_run("run")
    run.train("training.init_lr=1e-4", "training.scheduler.type=constant")
    assert [group["lr"] for group in run.last["optimizer_weights"]["param_groups"]] == [1e-4, 1e-4]


def test_no_step_leaves_a_tensor_behind(new_run, at_step):
    tensors = []

    def count():
        gc.collect()
        tensors.append(sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects()))

    at_step(count)
    gc.freeze()  # do not search the million objects that exist already
    try:
        new_run("run").train(
            "training.max_epochs=1", "training.dataset_args.repeat_times=6", "log.iter_interval=100",
            "validation.val=false",
        )  # fmt: skip
    finally:
        gc.unfreeze()
    assert len(tensors) == 9
    assert len(set(tensors[2:])) == 1  # the first step allocates the optimiser's moments and the losses
