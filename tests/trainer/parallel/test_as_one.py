"""Two processes train the same network as one, and can be stopped and resumed."""

import re
import signal

import pytest
import torch

from src.data_handlers.loading.sampling import build_loader
from src.trainer.config.build import build_images, build_loss, build_model, build_objective, build_optimizer
from src.trainer.training.step import TrainingStep
from src.trainer.training.stopwatch import Stopwatch
from src.util.images.io import as_float
from src.util.seed import make_generator
from src.util.share import share_of
from tests.trainer.parallel.conftest import LINUX_ALONE, SETTINGS, send

pytestmark = LINUX_ALONE

OWN_NORM = ["training.sync_bn=false"]
N2V = ["masker.masker_type=N2V_Masker", "masker.masker_args={prox_radius: 2}"]


def written(run):
    files = [path.relative_to(run.files.folder) for path in run.files.folder.rglob("*") if path.is_file()]
    names = [re.sub(r"events\..*", "events", str(path)) for path in files]
    names = [re.sub(r"(psnr|ssim|DN)_[\d.]+\d", r"\1", name) for name in names]
    return sorted(re.sub(r"loss_[\d.]+\d", "loss", name).replace(run.files.run_name, "RUN") for name in names)


@pytest.mark.parametrize("clean", [False, True])
def test_two_processes_train_like_one_and_write_the_same_files(new_run, pair, clean_folder, clean):
    """With a learning rate of 1e-3, or seed 0, last-bit differences grow beyond the tolerances."""
    alone, together = new_run("alone"), new_run("together")
    settings = ["seed=3", "training.init_lr=5e-6", f"training.max_epochs={1 if clean else 4}"]
    if clean:
        settings += [f"validation.dataset_args.clean_folder={clean_folder}", *N2V]
    alone.train(*SETTINGS, *settings)
    text = pair(together, *settings).text()
    one, two = alone.last, together.last
    assert [r["total"] for r in two["state"]["recent"]] == pytest.approx(
        [r["total"] for r in one["state"]["recent"]], abs=1e-6
    )
    assert len(two["state"]["recent"]) == (6 if clean else 24)
    assert two["model_weights"].keys() == one["model_weights"].keys()
    for name, value in one["model_weights"].items():
        torch.testing.assert_close(two["model_weights"][name], value, rtol=1e-4, atol=1e-4, msg=name)
    # Adam's steps are independent of the gradient's scale, but its moments are not.
    moments = [torch.cat([s["exp_avg"].flatten() for s in c["optimizer_weights"]["state"].values()])
               for c in (one, two)]  # fmt: skip
    assert (moments[0] - moments[1]).norm() < 1e-3 * moments[0].norm()
    for ours, theirs in zip(alone.scores, together.scores, strict=True):
        for name in ("psnr_db", "ssim") if clean else ("masked_loss",):
            assert float(theirs[name]) == pytest.approx(float(ours[name]), abs=1e-3 if clean else 1e-5)
    assert written(together) == written(alone)
    assert text.count("finished; the run is in") == text.count("2 processes share each batch") == 1


def test_two_processes_have_the_mean_weights_and_frozen_statistics_of_one(new_run, pair):
    """Also covers the loss and the batch norm, frozen or not, of a share without crops."""
    alone, together = new_run("alone"), new_run("together")
    settings = [
        "seed=3", "training.init_lr=5e-6", "training.max_epochs=2", "training.ema=0.9",
        "training.freeze_norm=0.6", "training.objective=imitate", "training.loss=1*target_L2",
        "training.dataset_args.add_noise={camera: {}}",
    ]  # fmt: skip
    alone.train(*SETTINGS, *settings)
    pair(together, *settings)
    one, two = alone.last, together.last
    losses = [[row["total"] for row in content["state"]["recent"]] for content in (one, two)]
    # The gradients of biases before batch norm are rounding errors, which have an effect once it is frozen.
    assert losses[1] == pytest.approx(losses[0], rel=2e-5) and len(losses[0]) == 12
    for key in ("model_weights", "raw_weights"):
        for name, value in one[key].items():
            torch.testing.assert_close(two[key][name], value, rtol=1e-4, atol=1e-4, msg=name)
    for ours, theirs in zip(alone.scores, together.scores, strict=True):
        assert float(theirs["psnr_db"]) == pytest.approx(float(ours["psnr_db"]), abs=1e-3)


def test_a_signal_to_one_process_stops_both_and_the_resumed_run_equals_an_uninterrupted_one(
    whole, new_run, pair, in_step, differing
):
    stopped = new_run("stopped")
    undo = in_step(3, 1, send(signal.SIGTERM))
    ended = pair(stopped, wait=False)
    assert ended.ended() == [143, 143], ended.text()
    assert ended.text().count("stopped by SIGTERM; saved") == 1
    assert stopped.last["state"]["step"] == 4
    undo()
    pair(stopped, resume=True)
    assert differing(whole["last"], {**stopped.last, "config": whole["last"]["config"]}) == []
    assert (stopped.losses, stopped.scores) == (whole["losses"], whole["scores"])
    stopped.resume(*SETTINGS, "training.max_epochs=3")
    assert "resumed with processes 1 instead of 2: the last digits may differ" in stopped.log


def test_without_sync_bn_each_process_has_the_gradient_of_its_own_share(new_run, pair):
    """The first process has one crop, the second two."""
    run = new_run("run")
    settings = [*OWN_NORM, "training.max_epochs=1", "training.dataset_args.repeat_times=1"]
    pair(run, *settings)
    parts = train_apart(run.configure(*SETTINGS, *settings))
    moments = run.last["optimizer_weights"]["state"].values()
    for *gradients, moment in zip(*(part.parameters() for part in parts), moments, strict=True):
        expected = 0.1 * sum(parameter.grad for parameter in gradients)
        torch.testing.assert_close(moment["exp_avg"], expected, rtol=1e-5, atol=1e-7)
    saved = run.last["model_weights"]
    running = [name for name in saved if "running" in name]
    assert running
    for name in running:
        one, two = (part.state_dict()[name] for part in parts)
        torch.testing.assert_close(saved[name], (one + 2 * two) / 3)


def train_apart(config):
    """Return each of two processes' networks after a first step without the other process."""
    cpu, loader = torch.device("cpu"), build_loader(build_images(config, "training"), 4)
    loader.set_epoch(1)
    noisy = as_float(next(iter(loader))["noisy"])
    parts = []
    for number in range(2):
        share = share_of(len(noisy), number, 2)
        network = build_model(config, cpu)
        optimizer = build_optimizer(config, network.module.parameters())
        step = TrainingStep(network, build_objective(config), build_loss(config), optimizer, Stopwatch(cpu))
        step({"noisy": noisy[share.slice]}, 0.0, make_generator(config.seed, "mask", 0), str, share)
        parts.append(network.module)
    return parts


def test_without_sync_bn_a_resumed_run_equals_an_uninterrupted_one(new_run, pair, in_step, differing):
    whole, stopped = new_run("whole"), new_run("stopped")
    text = pair(whole, *OWN_NORM).text()
    assert text.count("2 processes share each batch, but not batch norm: the network depends") == 1
    undo = in_step(3, 1, send(signal.SIGTERM))
    assert pair(stopped, *OWN_NORM, wait=False).ended() == [143, 143]
    undo()
    pair(stopped, *OWN_NORM, resume=True)
    assert differing(whole.last, {**stopped.last, "config": whole.last["config"]}) == []
    assert (stopped.losses, stopped.scores) == (whole.losses, whole.scores)
    pair(stopped, "training.max_epochs=3", resume=True)
    assert re.search(r"resumed with changed settings: .*training\.sync_bn: False -> True", stopped.log)


def test_without_sync_bn_frozen_statistics_do_not_change(new_run, pair):
    """Averaging them over the processes would add rounding errors in each step."""
    run = new_run("run")
    settings = ["training.dataset_args.repeat_times=1", "training.max_epochs=6", "training.freeze_norm=0.5"]
    pair(run, *OWN_NORM, *settings, "checkpoint.save_all=true", "validation.val=false")
    half, last = (run.epoch(number)["model_weights"] for number in (3, 6))
    running = [name for name in half if "running" in name]
    assert running and all(torch.equal(half[name], last[name]) for name in running)
    assert not torch.equal(half["bsn.tail.1.bias"], last["bsn.tail.1.bias"])


def test_without_sync_bn_all_processes_validate_the_saved_network(new_run, pair):
    shared, alone = new_run("shared"), new_run("alone")
    settings = [*OWN_NORM, "training.max_epochs=1"]
    pair(shared, *settings)
    pair(alone, *settings, "validation.val=false")
    alone.resume(*SETTINGS, *settings)  # only the validation is left
    assert alone.scores[0]["masked_loss"] == shared.scores[0]["masked_loss"]
