import pytest
import torch

from src.loss import Loss
from src.masker import Masked, Masker
from src.trainer.evaluation.masked_loss import BLOCK, MaskedLoss, blocks_of
from src.trainer.network.network import Network
from tests.trainer.conftest import CPU
from tests.trainer.evaluation.test_evaluate import Darker


class Halves(Masker):
    """Replaces a share of the rows by zeros."""

    def __init__(self, share):
        self.share = share

    def mask(self, batch, generator=None):
        mask = torch.zeros_like(batch[:, :1])
        mask[:, :, : round(self.share * batch.shape[2])] = 1
        return Masked(batch * (1 - mask), mask)


def score(noisy, share=0.5):
    return MaskedLoss(Halves(share), Loss("1*self_L2"), 0)(Network(Darker(1.0), CPU), noisy, 0)


def test_scores_of_other_sizes_and_hidden_shares_can_be_compared():
    """A constant error of 0.3 has a loss of 0.09 everywhere."""
    for height, width in ((64, 64), (100, 700), (300, 90), (900, 1100)):
        for share in (0.1, 0.5):
            assert score(torch.full((3, height, width), 0.3), share) == pytest.approx(0.09)
    assert score(torch.full((3, 64, 64), 0.3), 0.0) != score(torch.full((3, 64, 64), 0.3))  # none: no score


@pytest.mark.parametrize(
    ("height", "width", "count"), [(64, 80, 1), (256, 511, 1), (300, 512, 2), (512, 512, 4), (3000, 4000, 4)]
)
def test_at_most_four_blocks_are_scored_one_in_each_quarter(height, width, count):
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    blocks = blocks_of(torch.stack((rows, columns)))
    assert blocks.shape == (count, 2, min(height, BLOCK), min(width, BLOCK))
    centres = blocks.float().mean((2, 3)) + 0.5
    parts = (1 if height < 512 else 2, 1 if width < 512 else 2)
    expected = [
        ((2 * row + 1) * height / (2 * parts[0]), (2 * column + 1) * width / (2 * parts[1]))
        for row in range(parts[0])
        for column in range(parts[1])
    ]
    torch.testing.assert_close(centres, torch.tensor(expected), rtol=0, atol=1.0)
