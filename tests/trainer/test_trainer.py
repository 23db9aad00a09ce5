import gc
import itertools
import math
import multiprocessing
from statistics import mean

import pytest
import torch

from src.loss import LossValue
from src.masker import NonLocalMasker
from src.trainer import trainer
from src.trainer.evaluate import Evaluated, PictureScore
from src.trainer.state import TrainingState
from src.trainer.step import TrainingStep
from src.util.errors import NonFiniteError
from src.util.logger import LOG


def pictures_saved(run):
    return sorted(folder.name for folder in run.files.images.iterdir())


def test_k9_the_last_epoch_is_saved_whatever_the_interval(new_run):
    run = new_run("run")
    run.train("training.max_epochs=5", "checkpoint.interval_epoch=3", "checkpoint.save_all=true")
    assert run.epochs == [1, 4, 5]


def test_k6_the_last_two_checkpoints_stay(new_run):
    run = new_run("run")
    run.train("training.max_epochs=4", "checkpoint.start_epoch=2")
    assert run.epochs == [3, 4]


def test_k9_checkpoints_of_an_interval_and_the_last_epoch_share_the_two_places(new_run):
    run = new_run("run")
    run.train("training.max_epochs=5", "checkpoint.interval_epoch=3")
    assert run.epochs == [4, 5]


def test_c12_save_false_leaves_the_last_epoch_and_the_best(new_run):
    run = new_run("run")
    run.train("training.max_epochs=3", "checkpoint.save=false")
    assert run.epochs == [3]
    assert len(run.best) == 1


@pytest.mark.parametrize(
    ("start", "interval", "expected"), [(4, 3, [4, 7]), (2, 2, [2, 4, 6]), (1, 3, [1, 4, 7]), (9, 1, [])]
)
def test_t5_validation_starts_at_its_start_epoch(new_run, start, interval, expected):
    run = new_run("run")
    run.train(
        "training.max_epochs=7", f"validation.start_epoch={start}", f"validation.interval_epoch={interval}"
    )
    found = [int(row["epoch"]) for row in run.scores] if run.files.scores_file.exists() else []
    assert found == expected


def test_validation_pictures_too_small_to_be_masked_do_not_end_the_training(new_run):
    run = new_run("run")
    run.train("validation.dataset_args.crop_size=16", "training.max_epochs=1")
    assert [row["masked_loss"] for row in run.scores] == [""] and run.best == []
    assert "validation after epoch 1: no score (all 3 pictures)" in run.log


def test_t2_more_saves_than_validations_save_each(new_run):
    run = new_run("run")
    run.train("training.max_epochs=3", "validation.num_of_saves=10")
    assert pictures_saved(run) == ["val_001", "val_002", "val_003"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["validation.num_of_saves=2"], ["val_003", "val_006"]),
        (["validation.num_of_saves=1"], ["val_006"]),
        (["validation.num_of_saves=4"], ["val_002", "val_003", "val_005", "val_006"]),
        (["validation.num_of_saves=2", "validation.interval_epoch=2"], ["val_003", "val_005"]),
        (["validation.save_image=false"], []),
    ],
)
def test_t2_saved_pictures_are_spread_evenly_over_the_validations(new_run, settings, expected):
    run = new_run("run")
    run.train("training.max_epochs=6", *settings)
    assert pictures_saved(run) == expected


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


def recorded(monkeypatch):
    """The loss of each step that is trained from now on."""
    values, original = [], TrainingStep.__call__

    def listen(self, *arguments):
        value = original(self, *arguments)
        values.append(value.total.item())
        return value

    monkeypatch.setattr(TrainingStep, "__call__", listen)
    return values


def test_the_logged_loss_is_the_mean_of_the_last_hundred_steps(new_run, monkeypatch):
    values = recorded(monkeypatch)
    run = new_run("run")
    run.train("training.max_epochs=52", "validation.val=false", "checkpoint.save=false")
    logged = [float(text.split()[1]) for text in run.losses.values()]
    expected = [mean(values[max(0, step - 100) : step]) for step in range(1, 105)]
    assert logged == pytest.approx(expected, rel=1e-4)


def test_each_epoch_has_its_own_order_and_crops_and_each_step_its_own_spots(new_run, monkeypatch):
    batches, seeds, original = [], [], TrainingStep.__call__

    def listen(self, noisy, progress, generator, *rest):
        batches.append(noisy.clone())
        seeds.append(generator.initial_seed())
        return original(self, noisy, progress, generator, *rest)

    monkeypatch.setattr(TrainingStep, "__call__", listen)
    new_run("run").train("training.max_epochs=3", "training.dataset_args.crop_size=48")
    full = [batch for batch in batches if len(batch) == 2]
    assert len(full) == 3
    assert not any(torch.equal(one, other) for one, other in itertools.combinations(full, 2))
    assert len(set(seeds)) == 6


def test_pictures_of_8_bits_reach_the_masker_as_bytes(new_run, monkeypatch):
    """A GPU's search by levels is several times as fast, and is not taken for floats."""
    seen, original = set(), NonLocalMasker.mask

    def listen(self, batch, *rest):
        seen.add(batch.dtype)
        return original(self, batch, *rest)

    monkeypatch.setattr(NonLocalMasker, "mask", listen)
    new_run("run").train("training.max_epochs=1", "validation.val=false")
    assert seen == {torch.uint8}


def test_the_log_tells_each_interval_and_the_last_step(new_run):
    run = new_run("run")
    run.train("training.max_epochs=4", "log.iter_interval=3")
    assert list(run.losses) == [(2, 3), (3, 6), (4, 8)]


def test_t10_the_last_batch_of_an_epoch_holds_what_is_left(new_run):
    run = new_run("run")
    run.train("training.max_epochs=1")
    assert list(run.losses) == [(1, 1), (1, 2)]


def test_a_batch_larger_than_the_set_trains(new_run):
    run = new_run("run")
    run.train("training.batch_size=32")
    assert run.last["state"]["step"] == 2


def test_t4_terms_that_are_only_logged_change_nothing_else(new_run, differing):
    plain, told = new_run("plain"), new_run("told")
    plain.train()
    told.train("training.tmp_info=[self_L1]")
    assert differing(plain.last["model_weights"], told.last["model_weights"]) == []
    assert "self_L1" in told.losses[1, 1] and "self_L1" not in plain.losses[1, 1]
    assert told.losses[1, 1].split()[1] == plain.losses[1, 1].split()[1]


def test_t1_a_loss_that_is_not_finite_stops_the_run_and_leaves_the_last_good_checkpoint(new_run):
    run = new_run("run")
    run.train("training.max_epochs=1")
    good = {path: path.read_bytes() for path in run.files.folder.rglob("*.pth")}
    place = r"epoch 2/3, step 4/6, values from 0 to 1 of [abc]\.png"
    with pytest.raises(NonFiniteError, match=place + r".*: the loss is (inf|nan); try a smaller"):
        run.resume("training.max_epochs=3", "training.init_lr=1e20")
    assert {path: path.read_bytes() for path in run.files.folder.rglob("*.pth")} == good
    assert "stopped: epoch 2/3, step 4/6, values from" in run.log
    run.resume("training.max_epochs=3")
    assert run.last["epoch"] == 3


def test_t1_a_picture_of_which_a_batch_has_several_crops_is_named_once(new_run):
    one = ["training.dataset_args.n_data=1", "training.dataset_args.repeat_times=4"]
    with pytest.raises(NonFiniteError, match=r" of a\.png: the loss is"):
        new_run("run").train(*one, "training.init_lr=1e20")


@pytest.mark.parametrize(
    ("epoch", "batch", "last"), [(0, 0, 22), (1, 0, 18), (1, 3, 15), (1, 5, 14), (3, 0, 10), (4, 0, 10)]
)
def test_steps_that_are_left_are_counted_from_where_training_stands(tiny_config, epoch, batch, last):
    """Epochs of 4 batches; of more than those were done in one that was begun with other pictures."""
    state = TrainingState(epoch=epoch, step=10, batch=batch)
    assert trainer.last_step(tiny_config("training.max_epochs=3"), state, 4) == last


def test_t1_a_loss_that_a_gpu_did_not_look_at_is_found_before_it_is_saved(new_run, monkeypatch):
    monkeypatch.setattr(TrainingStep, "__call__", lambda *a: LossValue(torch.tensor(math.nan), {}))
    run = new_run("run")
    with pytest.raises(NonFiniteError, match="step 2/4: the loss of one of the last 2 steps is not"):
        run.train("log.iter_interval=100")
    assert run.epochs == []


def test_t1_k12_weights_that_are_not_finite_are_never_saved(new_run, monkeypatch):
    original = trainer.Trainer.train_epoch

    def poisoned(self, epoch):
        original(self, epoch)
        with torch.no_grad():
            next(self.network.module.parameters())[0] = math.nan

    run = new_run("run")
    run.train("training.max_epochs=1")
    best = run.best
    monkeypatch.setattr(trainer.Trainer, "train_epoch", poisoned)
    with pytest.raises(NonFiniteError, match="a weight is not finite; it is not saved"):
        run.resume("training.max_epochs=2")
    assert (run.epochs, run.best) == ([1], best)


def test_t1_k12_a_validation_that_gives_nan_is_no_best(new_run, monkeypatch):
    run = new_run("run")
    monkeypatch.setattr(
        "src.trainer.network.Network.__call__", lambda self, images: torch.full_like(images, math.nan)
    )
    monkeypatch.setattr(
        TrainingStep, "__call__", lambda *a: LossValue(torch.tensor(1.0), {"self_L2": torch.tensor(1.0)})
    )
    with pytest.raises(NonFiniteError, match=r"a\.png: the network's output is not finite"):
        run.train()
    assert run.best == []


def test_without_clean_pictures_the_lowest_masked_loss_is_kept(new_run, differing):
    run = new_run("run")
    run.train("training.max_epochs=5", "training.init_lr=0.3", "checkpoint.save_all=true")
    losses = [float(row["masked_loss"]) for row in run.scores]
    assert all(row["psnr_db"] == row["ssim"] == "" for row in run.scores)
    best = losses.index(min(losses)) + 1
    assert best < 5, "this test needs a run whose last epoch is not its best"
    assert run.best == [f"run_{best:03d}_loss_{min(losses):.6f}.pth"]
    kept = torch.load(run.files.best_checkpoints / run.best[0], weights_only=True)
    assert kept["epoch"] == best
    assert differing(kept["model_weights"], run.epoch(best)["model_weights"]) == []


def test_with_clean_pictures_the_best_by_psnr_and_by_ssim_are_kept(new_run, clean_folder):
    run = new_run("run")
    run.train("training.max_epochs=4", f"validation.dataset_args.clean_folder={clean_folder}")
    values = {m: [float(row[m]) for row in run.scores] for m in ("psnr_db", "ssim")}
    psnr, ssim = max(values["psnr_db"]), max(values["ssim"])
    assert run.best == sorted(
        [
            f"run_{values['psnr_db'].index(psnr) + 1:03d}_psnr_{psnr:.2f}.pth",
            f"run_{values['ssim'].index(ssim) + 1:03d}_ssim_{ssim:.3f}.pth",
        ]
    )


def told_scores(monkeypatch, scores):
    """Let the validations give these PSNR values, one after the other."""
    coming, picture = iter(scores), torch.zeros(3, 8, 8)

    def evaluate(*arguments):
        yield Evaluated(0, picture, picture, None, PictureScore("0.png", {"psnr": next(coming)}))

    monkeypatch.setattr(trainer, "evaluate", evaluate)


def test_k10_the_best_is_compared_unrounded(new_run, monkeypatch):
    for name, scores, best in (
        ("worse", [29.444, 29.441], 1),
        ("equal", [29.44, 29.44], 1),
        ("better", [29.436, 29.438], 2),
    ):
        told_scores(monkeypatch, scores)
        run = new_run(name)
        run.train()
        assert run.best == [f"{name}_{best:03d}_psnr_29.44.pth"]


def test_k10_a_resumed_run_knows_its_best(new_run, monkeypatch):
    run = new_run("run")
    told_scores(monkeypatch, [29.0, 28.0])
    run.train()
    told_scores(monkeypatch, [28.5])
    run.resume("training.max_epochs=3")
    assert run.best == ["run_001_psnr_29.00.pth"]


def test_k11_k13_a_run_named_after_metrics_and_a_stray_file_do_no_harm(new_run, monkeypatch):
    told_scores(monkeypatch, [20.0, 21.0])
    run = new_run("psnr_ssim_99.99")
    run.train("training.max_epochs=1")
    stray = run.files.best_checkpoints / "psnr_notes.txt"
    stray.write_text("mine")
    run.resume("training.max_epochs=2")
    assert run.best == ["psnr_notes.txt", "psnr_ssim_99.99_002_psnr_21.00.pth"]


def test_validation_changes_nothing_in_training(new_run, differing):
    validated, alone = new_run("validated"), new_run("alone")
    validated.train()
    alone.train("validation.val=false")
    assert differing(validated.last["model_weights"], alone.last["model_weights"]) == []


def test_f16_ten_thousand_epochs_can_be_told(new_run, stop_at_step):
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
    def two_groups(parameters, block, init_lr):
        first, *others = parameters
        return torch.optim.Adam([{"params": [first], "lr": 1.0}, {"params": others, "lr": 2.0}])

    monkeypatch.setattr("src.trainer.session.make_optimizer", two_groups)
    run = new_run("run")
    run.train("training.init_lr=1e-4", "training.scheduler.type=constant")
    assert [group["lr"] for group in run.last["optimizer_weights"]["param_groups"]] == [1e-4, 1e-4]


def test_no_step_leaves_a_tensor_behind(new_run, monkeypatch):
    original, tensors = TrainingStep.__call__, []

    def counted(self, *arguments):
        gc.collect()
        tensors.append(sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects()))
        return original(self, *arguments)

    monkeypatch.setattr(TrainingStep, "__call__", counted)
    gc.freeze()  # what is there already, a million objects, is not looked through
    try:
        new_run("run").train(
            "training.max_epochs=1", "training.dataset_args.repeat_times=6", "log.iter_interval=100",
            "validation.val=false",
        )  # fmt: skip
    finally:
        gc.unfreeze()
    assert len(tensors) == 9
    assert len(set(tensors[2:])) == 1  # the first takes what lasts: moments of the optimiser, room for losses
