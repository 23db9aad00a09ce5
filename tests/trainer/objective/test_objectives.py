"""Training objectives: predict hidden pixels, or imitate a clean image."""

import pytest
import torch

from src.masker import MASKERS
from src.trainer.config.build import build_images
from src.trainer.evaluation.masked_loss import masked_loss_of
from src.trainer.inference.testing import score_dataset
from src.trainer.objective import OBJECTIVES
from src.util.errors import ConfigError, DataError
from src.util.seed import make_generator
from src.util.share import Share, share_of
from tests.trainer.conftest import config, problem, problems

IMITATE = ["training.objective=imitate", "training.loss=1*target_L1"]
GENERATED = [
    "training.dataset=Generated",
    "training.dataset_args={count: 8, size: 32, add_noise: {sigma: 25, quantise: true}}",
]


def images(count, seed=0):
    levels = torch.randint(256, (count, 3, 64, 64), generator=torch.Generator().manual_seed(seed))
    return levels.to(torch.uint8)


@pytest.mark.parametrize("masker", MASKERS)
def test_hide_masks_the_input_and_targets_the_noisy_image(masker):
    noisy, objective = images(4), OBJECTIVES["hide"](MASKERS[masker]())
    for number in range(2):
        share = share_of(4, number, 2)
        task = objective.task({"noisy": noisy[share.slice]}, make_generator(0, "mask", 5), share)
        expected = MASKERS[masker]().mask_share(noisy[share.slice], make_generator(0, "mask", 5), share)
        assert torch.equal(task.input, expected.image) and torch.equal(task.mask, expected.mask)
        assert torch.equal(task.target, noisy[share.slice].float() / 255)
    assert not torch.equal(task.input, task.target)


def test_imitate_targets_all_pixels_of_the_clean_image():
    noisy, clean = images(2), images(2, seed=1)
    objective = OBJECTIVES["imitate"](MASKERS["Masker"]())
    task = objective.task({"noisy": noisy, "clean": clean}, torch.Generator(), Share(0, 2, 2))
    assert torch.equal(task.input, noisy.float() / 255) and torch.equal(task.target, clean.float() / 255)
    assert torch.equal(task.mask, torch.ones(2, 1, 64, 64))


@pytest.mark.parametrize("source", ["Generated", "Folder"])
def test_imitate_lowers_the_loss(new_run, clean_folder, source):
    run = new_run("run")
    of_folder = [f"training.dataset_args.clean_folder={clean_folder}", "training.dataset_args.repeat_times=6"]
    own = GENERATED if source == "Generated" else of_folder
    run.train(*IMITATE, *own, "training.max_epochs=8", "training.init_lr=1e-2", "validation.val=false")
    losses = [each["target_L1"] for each in run.last["state"]["recent"]]
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])


def test_imitate_loads_clean_images(new_run, clean_folder):
    """With the noisy image as target, the identity would have no loss."""
    run = new_run("run")
    run.train(*IMITATE, f"training.dataset_args.clean_folder={clean_folder}", "training.max_epochs=1")
    settings = [*IMITATE, f"training.dataset_args.clean_folder={clean_folder}"]
    sample = build_images(run.configure(*settings), "training")[1, 0]
    assert (sample["noisy"] - sample["clean"]).abs().mean() > 0.05
    assert "psnr_db" in run.scores[0]


@pytest.mark.parametrize("dataset", ["Folder", "Demo"])
def test_imitate_without_clean_images_is_refused(tiny_config, dataset):
    settings = [f"training.dataset={dataset}"] + ["training.dataset_args={crop_size: 32}"] * (
        dataset == "Demo"
    )
    loaded = tiny_config(*IMITATE, *settings)
    with pytest.raises(ConfigError) as caught:
        build_images(loaded, "training")
    assert caught.value.problems == [
        f"training.objective: imitate needs clean images, {dataset} has none here: name their folder"
        " (clean_folder) or add noise to clean images (add_noise)"
    ]


def test_hide_does_not_open_clean_images(tiny_config, clean_folder):
    for path in clean_folder.iterdir():
        path.write_bytes(b"damaged")
    loaded = tiny_config(f"training.dataset_args.clean_folder={clean_folder}")
    assert "clean" not in build_images(loaded, "training")[1, 0]


def test_a_crop_that_cannot_be_masked_can_be_imitated(tiny_config):
    """16 px are too small for a blind spot of the published masker."""
    settings = ["training.dataset=Generated", "training.dataset_args={count: 2, size: 16, add_noise: {}}"]
    build_images(tiny_config(*IMITATE, *settings), "training")
    with pytest.raises(DataError, match="leaves 0: pixel_perc"):
        build_images(tiny_config(*settings), "training")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{objective: imitate}",
            "training.loss: with `objective: imitate` expected target_L1 or target_L2, got self_L2",
        ),
        (
            "{objective: imitate, loss: 1*target_L1 + 1*self_L1}",
            "training.loss: with `objective: imitate` expected target_L1 or target_L2, got self_L1",
        ),
        (
            "{loss: 1*target_L2}",
            "training.loss: with `objective: hide` expected self_L1 or self_L2, got target_L2",
        ),
        (
            "{tmp_info: [target_L2]}",
            "training.tmp_info: with `objective: hide` expected self_L1 or self_L2, got target_L2",
        ),
        ("{objective: imitat}", "training.objective: unknown name 'imitat'; did you mean 'imitate'?"),
        ("{objective: guess}", "training.objective: unknown name 'guess'; choose from hide, imitate"),
    ],
)
def test_a_loss_that_does_not_suit_the_objective_is_refused(text, message):
    assert problem(f"seed: 3\ntraining: {text}\n") == f"{message} (my.yaml, line 2)"


def test_an_unsuitable_loss_is_reported_at_its_line():
    (line,) = problems("training:\n  objective: imitate\n  batch_size: 3\n  loss: 1*self_L1\n")
    assert line.startswith("training.loss: ") and line.endswith("(my.yaml, line 4)")


def test_objective_and_loss_are_read():
    training = config("training: {objective: imitate, loss: 1*target_L2}").training
    assert (training.objective, training.loss) == ("imitate", "1*target_L2")
    assert config("{}").training.objective == "hide"


def test_imitate_validates_and_tests_without_clean_images(new_run, load, noisy_folder):
    """Without hidden pixels there is no masked loss; the images are written anyway."""
    run = new_run("run")
    elsewhere = ["validation.dataset=Folder", f"validation.dataset_args={{data_dir: {noisy_folder}}}"]
    run.train(*IMITATE, *GENERATED, *elsewhere)
    assert "no score" in run.log and run.best == []
    assert len(list((run.files.images / "val_002").glob("*_DN.png"))) == 3
    assert masked_loss_of(run.configure(*IMITATE, *GENERATED)) is None
    folder = score_dataset(load(run.files.checkpoint_file(2)), 0, None)
    assert len(list(folder.glob("*_DN.png"))) == 3 and (folder / "report.html").is_file()
