"""The networks against the published code: the same checkpoint and input give the same output."""

from pathlib import Path

import numpy as np
import pytest
import torch

from src.model import NL_BSN

PARITY = Path(__file__).parents[1] / "parity"


def load(network: str) -> tuple[NL_BSN, dict, dict]:
    """Return the network with the checkpoint's weights, the checkpoint, and recorded inputs and outputs."""
    checkpoint = torch.load(PARITY / f"{network.lower()}_005.pth", weights_only=True)
    recorded = dict(np.load(PARITY / f"{network.lower()}_io.npz"))
    model = NL_BSN(network, in_channels=3, features=recorded["features"].tolist())
    model.load_state_dict(checkpoint["model_weights"], strict=True)
    return model, checkpoint, recorded


@pytest.mark.parametrize("network", ["UNet", "UNet2"])
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_output_equals_the_published_network(network: str, training: bool) -> None:
    """To 1e-5, with running statistics (eval) and with the batch's statistics (train)."""
    model, _, recorded = load(network)
    output = model.train(training)(torch.from_numpy(recorded["input"]))
    expected = recorded["output_train" if training else "output_eval"]
    np.testing.assert_allclose(output.detach().numpy(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("network", ["UNet", "UNet2"])
def test_checkpoint_names_have_the_published_order(network: str) -> None:
    """The published optimiser state refers to parameters by position, so order is part of the format."""
    model, checkpoint, _ = load(network)
    assert list(model.state_dict()) == list(checkpoint["model_weights"])


@pytest.mark.parametrize("network", ["UNet", "UNet2"])
def test_optimizer_state_of_a_published_checkpoint_fits(network: str) -> None:
    """Each parameter has moments of its own shape."""
    model, checkpoint, _ = load(network)
    optimizer = torch.optim.Adam(model.parameters())
    optimizer.load_state_dict(checkpoint["optimizer_weights"])
    for parameter in model.parameters():
        assert optimizer.state[parameter]["exp_avg"].shape == parameter.shape
