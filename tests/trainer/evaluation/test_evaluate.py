import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from src.data_handlers.loading.sampling import build_loader
from src.loss import Loss
from src.masker import MASKERS
from src.model import DenoisingNetwork
from src.trainer.config.build import build_images, build_model
from src.trainer.evaluation.evaluate import ImageScore, Scores, compare, evaluate, score_all
from src.trainer.evaluation.masked_loss import MaskedLoss
from src.trainer.evaluation.saving import save_images
from src.trainer.evaluation.summary import summary
from src.trainer.network.network import Network
from src.trainer.network.tiling import Tiling
from src.util.errors import ConfigError, DataError, NonFiniteError, StorageError
from src.util.images.io import read_image
from src.util.seed import make_generator

CPU = torch.device("cpu")


class Darker(DenoisingNetwork):
    """A network that multiplies by 0.9, its only weight."""

    def __init__(self, factor=0.9):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(factor))

    def forward(self, images):
        return images * self.factor


@pytest.fixture
def network():
    return Network(Darker(), CPU)


def image(height=32, width=40, seed=0):
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


def batches(*pairs):
    """Return batches of one image, like a loader's, from pairs (noisy, clean or None)."""
    return [
        {"noisy": noisy[None], "name": [f"{i}.png"]} | ({} if clean is None else {"clean": clean[None]})
        for i, (noisy, clean) in enumerate(pairs)
    ]


def masked_loss(seed=0):
    return MaskedLoss(MASKERS["Masker"](), Loss("1*self_L2"), seed)


def test_e2_e3_every_validation_image_is_cropped_if_configured(tiny_config):
    config = tiny_config("validation.dataset_args.crop_size=48")
    shapes = [r["noisy"].shape for r in build_loader(build_images(config, "validation"), 1)]
    assert shapes == [(1, 3, 48, 48)] * 3
    config = tiny_config("validation.dataset_args.crop_size=null")
    shapes = [r["noisy"].shape for r in build_loader(build_images(config, "validation"), 1)]
    assert shapes == [(1, 3, 64, 64), (1, 3, 64, 80), (1, 3, 80, 64)]


def test_e4_an_image_smaller_than_the_crop_is_scored_whole(tiny_config):
    config = tiny_config("validation.dataset_args.crop_size=[72, 96]")
    shapes = [tuple(r["noisy"].shape[2:]) for r in build_loader(build_images(config, "validation"), 1)]
    assert shapes == [(64, 64), (64, 80), (72, 64)]


def test_e5_images_are_scored_one_by_one(tiny_config, network):
    for part in ("validation", "test"):
        with pytest.raises(ConfigError, match=rf"{part}\.batch_size: expected 1"):
            tiny_config(f"{part}.batch_size=2")
    pairs = [(image(seed=i), image(seed=i)) for i in range(3)]
    results = list(evaluate(network, batches(*pairs), None))
    assert [result.index for result in results] == [0, 1, 2]
    assert [result.score.name for result in results] == ["0.png", "1.png", "2.png"]
    assert len({result.score.metrics["psnr"] for result in results}) == 3


def test_e6_scoring_modifies_no_image():
    network, clean = Network(Darker(1.0), CPU), image()
    kept = clean.clone()
    (result,) = evaluate(network, batches((clean, clean)), None)
    assert result.score.metrics == {"psnr": math.inf, "ssim": 1.0}
    assert torch.equal(clean, kept)


def test_e7_scores_match_the_written_images(tmp_path, network):
    (result,) = evaluate(network, batches((image(), image(seed=1))), None)
    metrics = result.score.metrics
    save_images(tmp_path, 7, result.noisy, result.denoised, result.clean, metrics["psnr"])
    names = ["0007_CLEAN.png", f"0007_DN_{metrics['psnr']:.2f}.png", "0007_NOISY.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    clean, denoised = (read_image(tmp_path / name) for name in names[:2])
    assert metrics["psnr"] == peak_signal_noise_ratio(clean, denoised)
    assert metrics["ssim"] == structural_similarity(clean, denoised, channel_axis=2)


def test_e7_values_are_rounded_not_truncated():
    clean = torch.full((3, 16, 16), 100 / 255)
    assert compare(clean, clean - 0.4 / 255)["psnr"] == math.inf
    assert compare(clean, clean + 0.6 / 255)["psnr"] == pytest.approx(20 * math.log10(255))


def test_e8_a_non_finite_prediction_raises():
    with pytest.raises(NonFiniteError, match=r"0\.png"):
        list(evaluate(Network(Darker(math.nan), CPU), batches((image(), image(seed=1))), None))


def test_e17_an_image_too_small_for_ssim_has_a_psnr(network):
    small, large = (image(6, 40), image(6, 40, seed=1)), (image(), image(seed=1))
    scores = score_all(evaluate(network, batches(small, large), None), 2, lambda result: None)
    first, second = (score.metrics for score in scores.images)
    assert math.isnan(first["ssim"]) and math.isfinite(first["psnr"])
    assert scores.means() == {"psnr": np.mean([first["psnr"], second["psnr"]]), "ssim": second["ssim"]}
    assert f"SSIM {second['ssim']:.4f} of 1 images (" in scores.line()


def test_images_too_small_for_ssim_have_no_mean_ssim(network):
    scores = score_all(evaluate(network, batches((image(6, 6), image(6, 6, 1))), None), 1, lambda r: None)
    assert scores.means().keys() == {"psnr"}
    assert "SSIM nan" not in scores.line()


@pytest.mark.parametrize("training", [True, False])
def test_the_network_keeps_its_mode_when_scoring_stops(network, training):
    network.module.train(training)
    results = evaluate(network, batches((image(), None), (image(), None)), masked_loss())
    next(results)
    results.close()
    assert network.module.training is training


def test_without_a_clean_image_the_same_weights_have_the_same_masked_loss(network):
    first, second = (
        [r.score.metrics["loss"] for r in evaluate(network, batches((image(), None)), masked_loss())]
        for _ in range(2)
    )
    assert first == second
    (other_seed,) = evaluate(network, batches((image(), None)), masked_loss(seed=1))
    (worse,) = evaluate(Network(Darker(0.5), CPU), batches((image(), None)), masked_loss())
    assert other_seed.score.metrics["loss"] != first[0]
    assert worse.score.metrics["loss"] > first[0]


def test_the_masked_loss_is_that_of_training_at_full_weights(network):
    noisy, loss = image()[None], Loss("1r*self_L2")
    score = MaskedLoss(MASKERS["Masker"](), loss, 3)(network, noisy[0], 5)
    masked = MASKERS["Masker"]().mask(noisy, make_generator(3, "validation mask", 5))
    squares = ((masked.image * 0.9 - noisy) * masked.mask) ** 2
    assert score == pytest.approx((squares.sum() / (3 * masked.mask.sum())).item())  # for each hidden value


def test_an_image_that_cannot_be_masked_has_no_loss_and_one_warning(network, messages):
    """16x16 px have no blind spot."""
    images = batches((image(16, 16), None), (image(), None), (image(16, 16), None))
    scores = score_all(evaluate(network, images, masked_loss()), 3, lambda result: None)
    assert [list(score.metrics) for score in scores.images] == [[], ["loss"], []]
    assert scores.means() == scores.images[1].metrics
    (message,) = messages
    assert message.startswith(
        "WARNING 0.png: no masked loss, nor for images like it: pixel_perc: expected at"
    )
    (*_, row, why) = summary(scores).splitlines()
    assert row.endswith("1 of 3") and "cannot be masked (no loss)" in why


def test_the_masked_loss_of_a_large_image_is_computed_in_tiles(tiny_config, monkeypatch):
    network = build_model(tiny_config(), CPU)
    noisy, seen, call = image(160, 200), [], Network.__call__
    score = masked_loss()(network, noisy, 0)

    def watched(self, images, window=None):
        seen.append(images.shape[-2:])
        return call(self, images, window)

    monkeypatch.setattr(Network, "__call__", watched)
    network.tiling = Tiling(64)
    assert masked_loss()(network, noisy, 0) == pytest.approx(score, rel=1e-4)
    assert len(seen) > 1 and max(seen) < (160, 200)


def test_two_images_have_different_blind_spots(network):
    same = image()
    first, second = evaluate(network, batches((same, None), (same, None)), masked_loss())
    assert first.score.metrics != second.score.metrics


def test_the_score_line_states_rounding_and_missing_images():
    scores = Scores(40, [ImageScore("a", {"psnr": 30.0, "ssim": 0.9}), ImageScore("b", {"psnr": 31.0})])
    assert scores.line() == (
        "PSNR 30.50 dB, SSIM 0.9000 of 1 images"
        " (rounded to 8 bits, SSIM of 7x7 uniform windows, ONLY 2 OF 40 IMAGES)"
    )
    scores.available = 2
    assert scores.line().endswith("all 2 images)")
    assert Scores(1, [ImageScore("a", {"loss": 0.25})]).line() == "masked loss 0.25 (all 1 images)"


def test_n_data_is_counted_against_the_whole_set(tiny_config, network):
    images = build_images(tiny_config("validation.dataset_args.n_data=2"), "validation")
    results = evaluate(network, build_loader(images, 1), masked_loss())
    assert "ONLY 2 OF 3 IMAGES" in score_all(results, len(images.source), lambda r: None).line()


def test_an_image_is_written_before_it_is_yielded_and_in_order(network):
    written = []
    given = batches(*[(image(seed=i), image(seed=9)) for i in range(6)])
    for number, result in enumerate(evaluate(network, given, None, lambda r: written.append(r.index))):
        assert result.index == number and number in written
    assert sorted(written) == list(range(6))


@pytest.mark.parametrize(("together", "taken"), [(4 * 3840, 4), (3840, 2 + 1)])
def test_many_images_are_in_work_only_if_they_are_small(monkeypatch, together, taken):
    """Each image has 3,840 values. If only two may be in work, a third one waits."""
    monkeypatch.setattr("src.trainer.evaluation.evaluate.SMALL_TOGETHER", together)
    loaded, seen = [], []

    class Watching(Darker):
        def forward(self, images):
            seen.append(len(loaded))
            return super().forward(images)

    def load():
        for batch in batches(*[(image(seed=i), None) for i in range(8)]):
            loaded.append(batch)
            yield batch

    assert len(list(evaluate(Network(Watching(), CPU), load(), None, held=4))) == 8
    assert seen[0] == taken


@pytest.mark.parametrize(("device", "cores", "taken"), [("meta", 5, 5), ("meta", 64, 8), ("cpu", 64, 2)])
def test_with_a_gpu_small_images_are_scored_on_all_cores(monkeypatch, device, cores, taken):
    """The meta device stands for a GPU."""
    monkeypatch.setattr("src.trainer.evaluation.evaluate.usable_cores", lambda: cores)
    loaded, seen = [], []

    class Elsewhere:
        module = Darker()

        def denoise(self, noisy, name):
            seen.append(len(loaded))
            return noisy

    def load():
        for batch in batches(*[(image(seed=i), None) for i in range(9)]):
            loaded.append(batch)
            yield batch

    network = Elsewhere()
    network.device = torch.device(device)
    assert len(list(evaluate(network, load(), None))) == 9
    assert seen[0] == taken


@pytest.mark.parametrize("held", [1, 2, 4])
def test_scores_do_not_depend_on_the_number_in_work(network, held):
    given = [(image(seed=i), None if i % 2 else image(seed=9)) for i in range(6)]
    found = [r.score for r in evaluate(network, batches(*given), masked_loss(), held=held)]
    alone = [s for i in range(6) for s in score_alone(network, batches(*given)[i])]
    assert found == alone


def score_alone(network, batch):
    batch = batch | {"index": [int(batch["name"][0].removesuffix(".png"))]}
    return [result.score for result in evaluate(network, [batch], masked_loss())]


def test_loading_and_writing_errors_follow_earlier_results(network):
    def loader():
        yield from batches((image(), None), (image(), None), (image(), None))
        raise DataError("d.png: damaged")

    results = evaluate(network, loader(), None)
    assert [next(results).index for _ in range(3)] == [0, 1, 2]
    with pytest.raises(DataError, match=r"d\.png"):
        next(results)

    def full(result):
        if result.index == 1:
            raise StorageError("1.png: cannot be written")

    results = evaluate(network, loader(), None, full)
    assert next(results).index == 0
    with pytest.raises(StorageError, match=r"1\.png"):
        next(results)
