"""Which checkpoint is kept as the best."""

import torch

from src.trainer.evaluation.evaluate import Evaluated, ImageScore
from src.trainer.training import trainer


def test_without_clean_images_the_lowest_masked_loss_is_kept(new_run, differing):
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


def test_with_clean_images_the_best_by_psnr_and_by_ssim_are_kept(new_run, clean_folder):
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


def fake_scores(monkeypatch, scores):
    """Make the validations return these PSNR values in order."""
    coming, image = iter(scores), torch.zeros(3, 8, 8)

    def evaluate(*arguments):
        yield Evaluated(0, image, image, None, ImageScore("0.png", {"psnr": next(coming)}))

    monkeypatch.setattr(trainer, "evaluate", evaluate)


def test_k10_the_best_is_compared_unrounded(new_run, monkeypatch):
    for name, scores, best in (
        ("worse", [29.444, 29.441], 1),
        ("equal", [29.44, 29.44], 1),
        ("better", [29.436, 29.438], 2),
    ):
        fake_scores(monkeypatch, scores)
        run = new_run(name)
        run.train()
        assert run.best == [f"{name}_{best:03d}_psnr_29.44.pth"]


def test_k10_a_resumed_run_keeps_its_best(new_run, monkeypatch):
    run = new_run("run")
    fake_scores(monkeypatch, [29.0, 28.0])
    run.train()
    fake_scores(monkeypatch, [28.5])
    run.resume("training.max_epochs=3")
    assert run.best == ["run_001_psnr_29.00.pth"]


def test_k11_k13_a_run_named_after_metrics_and_a_stray_file_change_nothing(new_run, monkeypatch):
    fake_scores(monkeypatch, [20.0, 21.0])
    run = new_run("psnr_ssim_99.99")
    run.train("training.max_epochs=1")
    stray = run.files.best_checkpoints / "psnr_notes.txt"
    stray.write_text("mine")
    run.resume("training.max_epochs=2")
    assert run.best == ["psnr_notes.txt", "psnr_ssim_99.99_002_psnr_21.00.pth"]
