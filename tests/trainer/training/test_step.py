import contextlib
import math

import pytest
import torch

from src.loss import Loss
from src.masker import Masked, Masker, N2VMasker, NonLocalMasker
from src.model import NL_BSN
from src.trainer.network.network import Network
from src.trainer.objective import Hide
from src.trainer.training.loss_record import LossRecord
from src.trainer.training.step import TrainingStep
from src.trainer.training.stopwatch import Stopwatch
from src.util.errors import NonFiniteError
from src.util.seed import make_generator

CPU = torch.device("cpu")


class LeftHalf(Masker):
    """Replaces the left half with random values."""

    def mask(self, batch, generator=None):
        mask = torch.zeros_like(batch[:, :1])
        mask[..., : batch.shape[3] // 2] = 1
        drawn = torch.rand(batch.shape, generator=generator)
        return Masked(batch * (1 - mask) + drawn * mask, mask)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Network(torch.nn.Conv2d(3, 3, 1), CPU)


@pytest.fixture
def step(network):
    optimizer = torch.optim.Adam(network.module.parameters(), lr=0.1)
    return TrainingStep(network, Hide(LeftHalf()), Loss("1*self_L2 + 1r*self_L1"), optimizer, Stopwatch(CPU))


def batch(seed=0):
    return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def weights(network):
    return [parameter.detach().clone() for parameter in network.module.parameters()]


def test_the_loss_compares_the_prediction_from_hidden_spots_with_the_noisy_image(step, network):
    noisy = batch()
    masked = LeftHalf().mask(noisy, make_generator(1, "mask"))
    error = (network.module(masked.image) - noisy) * masked.mask
    value = step({"noisy": noisy}, 0.25, make_generator(1, "mask"), str)
    assert value.total.item() == pytest.approx((error**2).mean().item() + 0.25 * error.abs().mean().item())
    assert not value.total.requires_grad


def test_a_step_changes_the_weights_and_neither_batch_nor_mode(step, network):
    noisy, before = batch(), weights(network)
    step({"noisy": noisy}, 0.0, make_generator(1, "mask"), str)
    assert not any(map(torch.equal, weights(network), before))
    assert torch.equal(noisy, batch())
    assert network.module.training


def test_the_generator_decides_the_spots(step):
    generators = [make_generator(seed, "mask") for seed in (1, 2)]
    values = [step({"noisy": batch()}, 0.0, generator, str).total.item() for generator in generators]
    assert values[0] != values[1]


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_t1_a_loss_that_is_not_finite_stops_before_the_update(step, network, broken):
    step({"noisy": batch()}, 0.0, make_generator(1, "mask"), str)
    before, moments = weights(network), step.optimizer.state_dict()["state"][0]["exp_avg"].clone()
    noisy = batch()
    noisy[0, 0, 0, 0] = broken
    with pytest.raises(NonFiniteError, match=r"here: the loss is (nan|inf); try a smaller init_lr"):
        step({"noisy": noisy}, 0.0, make_generator(2, "mask"), lambda: "here")
    assert all(map(torch.equal, weights(network), before))
    assert torch.equal(step.optimizer.state_dict()["state"][0]["exp_avg"], moments)


def test_masking_and_network_are_timed(step):
    step({"noisy": batch()}, 0.0, make_generator(1, "mask"), str)
    seconds = step.stopwatch.report()
    assert seconds.keys() == {"masking", "network"} and min(seconds.values()) > 0


def test_a_gradient_longer_than_grad_clip_is_scaled_down_to_it():
    """Plain descent at a learning rate of 1 moves the weights by the gradient itself."""
    moved = []
    for largest in (None, 1000.0, 0.25):
        torch.manual_seed(0)
        network = Network(torch.nn.Conv2d(3, 3, 1), CPU)
        before, optimizer = weights(network), torch.optim.SGD(network.module.parameters(), lr=1.0)
        step = TrainingStep(network, Hide(LeftHalf()), Loss("1*self_L2"), optimizer, Stopwatch(CPU), largest)
        step({"noisy": batch()}, 0.0, make_generator(1, "mask"), str)
        moved.append(torch.cat([(b - a).flatten() for b, a in zip(before, weights(network), strict=True)]))
    free, below, clipped = moved
    assert free.norm() > 0.3
    assert torch.equal(below, free)
    torch.testing.assert_close(clipped, free * (0.25 / free.norm()))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("masker", [NonLocalMasker(), N2VMasker()])
def test_a_step_never_waits_for_its_device(masker, dtype, monkeypatch):
    """The meta device has no values, so reading one, which would make the host wait for a GPU, fails."""
    monkeypatch.setattr(torch, "autocast", lambda *arguments: contextlib.nullcontext())
    network = Network(NL_BSN("UNet2", 3, [4, 8]), torch.device("meta"))
    optimizer = torch.optim.Adam(network.module.parameters(), lr=1e-3)
    step = TrainingStep(network, Hide(masker), Loss("1*self_L2 + 1r*self_L1"), optimizer, Stopwatch(CPU), 1.0)
    record = LossRecord(2)
    for number in range(2):
        noisy = torch.empty(2, 3, 64, 64, dtype=dtype, device="meta")
        record.add(step({"noisy": noisy}, 0.0, make_generator(number, "mask"), str))
    assert step.optimizer.state_dict()["state"][0]["step"] == 2


@pytest.mark.parametrize("masker", [NonLocalMasker(), N2VMasker()])
def test_a_batch_of_bytes_trains_as_the_same_floats(masker):
    levels = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8, generator=make_generator(0, "levels"))
    values = []
    for noisy in (levels, levels / 255):
        torch.manual_seed(0)
        network = Network(NL_BSN("UNet2", 3, [4, 8]), CPU)
        optimizer = torch.optim.Adam(network.module.parameters(), lr=1e-3)
        step = TrainingStep(network, Hide(masker), Loss("1*self_L2"), optimizer, Stopwatch(CPU))
        generators = [make_generator(n, "mask") for n in range(2)]
        values.append([step({"noisy": noisy}, 0.0, each, str).total.item() for each in generators])
    assert values[0] == values[1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("masker", [NonLocalMasker(), N2VMasker()])
def test_on_a_gpu_a_step_waits_for_nothing(masker, dtype):
    device = torch.device("cuda")
    network = Network(NL_BSN("UNet2", 3, [4, 8]), device, precision="bf16", channels_last=True)
    optimizer = torch.optim.Adam(network.module.parameters(), lr=1e-3)
    step, record = (
        TrainingStep(network, Hide(masker), Loss("1*self_L2"), optimizer, Stopwatch(device)),
        LossRecord(9),
    )
    noisy = (255 * torch.rand(2, 3, 64, 64)).to(device, dtype)

    def take_steps(first):
        for number in range(first, first + 3):
            record.add(step({"noisy": noisy}, 0.0, make_generator(number, "mask"), str))

    take_steps(0)
    torch.cuda.synchronize()
    held = torch.cuda.memory_allocated()
    torch.cuda.set_sync_debug_mode("error")
    try:
        take_steps(3)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.cuda.memory_allocated() <= held
    assert torch.isfinite(record.take()).all()


def test_filled_in_pixels_do_not_count_in_the_loss(network):
    missing = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    missing[:, :, :3, :3] = True
    noisy = batch()
    losses = []
    for seen, filled in ((noisy, missing), (noisy.lerp(1 - noisy, missing.float()), missing), (noisy, None)):
        optimizer = torch.optim.Adam(network.module.parameters(), lr=0.0)
        step = TrainingStep(network, Hide(LeftHalf()), Loss("1*self_L2"), optimizer, Stopwatch(CPU))
        images = {"noisy": seen} | ({} if filled is None else {"missing": filled})
        losses.append(step(images, 0.0, make_generator(1, "mask"), str).total.item())
    assert losses[0] == losses[1] < losses[2]
    optimizer = torch.optim.SGD(network.module.parameters(), lr=1.0)
    step, before = (
        TrainingStep(network, Hide(LeftHalf()), Loss("1*self_L2"), optimizer, Stopwatch(CPU)),
        weights(network),
    )
    images = {"noisy": noisy, "missing": torch.ones_like(missing)}
    value = step(images, 0.0, make_generator(1, "mask"), str)
    assert value.total == 0 and all(map(torch.equal, weights(network), before))
