from itertools import product

import numpy as np
import pytest
import torch

from src.model import DenoisingNetwork
from src.model.denoiser import _pad_to_multiple
from src.trainer.network.network import Network
from src.trainer.network.tiling import BLEND, Tiling, divide, padded_positions, stitch
from src.util.errors import ConfigError, OutOfMemoryError

CASES = [
    (length, tile, margin, stride, blend)
    for length in (16, 48, 144, 1008)
    for tile in (0, 8, 32, 64, 200, 5000)
    for margin in (0, 4, 40)
    for stride in (4, 16)
    for blend in (0, BLEND)
]


@pytest.mark.parametrize(("length", "tile", "margin", "stride", "blend"), CASES)
def test_tiles_cover_the_image_with_margins_and_weights_that_sum_to_one(length, tile, margin, stride, blend):
    spans, total = divide(length, tile, margin, stride, blend), torch.zeros(length)
    for span in spans:
        assert 0 <= span.start <= span.first < span.last <= span.stop <= length
        assert span.start % stride == span.stop % stride == 0
        assert span.weights.min() >= 0
        total[span.first : span.last] += span.weights
        assert span.start == 0 or span.first - span.start >= margin - blend
        assert span.stop == length or span.stop - span.last >= margin - blend
        if tile:
            assert span.stop - span.start <= max(tile, stride) + 2 * (margin + stride)
    torch.testing.assert_close(total, torch.ones(length), rtol=0, atol=1e-6)
    assert (len(spans) == 1) is (tile == 0 or max(tile, stride) >= length)


def test_tiles_have_nearly_equal_sizes():
    spans = divide(1000, 432, 40, 4)
    assert [(span.start, span.stop) for span in spans] == [(0, 372), (292, 704), (624, 1000)]


@pytest.mark.parametrize("tile", [8, 32, 64])
@pytest.mark.parametrize("margin", [0, 4, 40])
@pytest.mark.parametrize("blend", [0, BLEND])
def test_stitching_restores_the_image_in_bands(tile, margin, blend):
    image = torch.rand(3, 144, 112, generator=torch.Generator().manual_seed(0))
    rows, columns = (divide(length, tile, margin, 4, blend) for length in (144, 112))
    tiles = (image[:, r.start : r.stop, c.start : c.stop] for r, c in product(rows, columns))
    bands = list(stitch(rows, columns, tiles))
    tops = [top for top, _ in bands]
    assert tops == np.cumsum([0, *(band.shape[1] for _, band in bands)]).tolist()[:-1]
    assert all(band.shape[1] <= tile + 2 * BLEND for _, band in bands)
    torch.testing.assert_close(torch.cat([band for _, band in bands], 1), image, rtol=0, atol=1e-6)


def test_differing_results_are_blended():
    columns = divide(64, 32, 16, 4, BLEND)
    tiles = [torch.full((1, 4, c.stop - c.start), float(c.start > 0)) for c in columns]
    ((_, band),) = stitch(divide(4, 0, 0, 4), columns, tiles)
    assert torch.equal(band[0, 0, :24], torch.zeros(24)) and torch.equal(band[0, 0, 40:], torch.ones(24))
    torch.testing.assert_close(band[0, 0].diff()[24:39], torch.full((15,), 1 / 16))


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 16, 17])
@pytest.mark.parametrize("multiple", [4, 16])
def test_padding_matches_the_network(length, multiple):
    line = torch.arange(float(length))[None, None, None].expand(1, 1, multiple, length)
    expected = _pad_to_multiple(line, multiple)[0, 0, 0]
    assert padded_positions(length, multiple).tolist() == expected.tolist()


def test_auto_divides_only_large_images():
    assert Tiling().edge(860, 860, "cpu", 32) == 0
    assert Tiling().edge(860, 880, "cpu", 32) == 432
    assert Tiling().edge(2000, 2000, "cuda", 32) == 0
    assert Tiling().edge(4000, 6000, "cuda", 32) == 1024
    assert Tiling(0).edge(10**4, 10**4, "cpu", 32) == 0
    assert Tiling(64).edge(64, 64, "cpu", 32) == 0
    assert Tiling(64).edge(64, 65, "cpu", 32) == 64


def test_tiles_overlap_by_the_receptive_radius_or_are_blended():
    assert (Tiling().margin(32), Tiling().blend(32)) == (32, 0)
    assert (Tiling(overlap=32).margin(32), Tiling(overlap=32).blend(32)) == (32, 0)
    assert (Tiling(overlap=12).margin(32), Tiling(overlap=12).blend(32)) == (12, BLEND)


@pytest.mark.parametrize(("tile", "overlap", "message"), [(-1, 0, "--tile -1"), ("auto", -8, "--overlap -8")])
def test_a_negative_size_is_refused(tile, overlap, message):
    with pytest.raises(ConfigError, match=f"{message}: expected auto, or a number of pixels"):
        Tiling(tile, overlap)


class Blurred(DenoisingNetwork):
    """A network with unknown receptive field."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 3, 3, padding=1, padding_mode="replicate")

    def forward(self, images):
        return self.conv(images)


def test_an_unknown_receptive_field_needs_an_overlap(monkeypatch):
    torch.manual_seed(0)
    network = Network(Blurred().eval(), torch.device("cpu"))
    image = torch.rand(3, 1000, 900)  # larger than `auto` leaves whole
    whole = network.denoise(image, "whole")
    network.tiling = Tiling(tile=100)
    with pytest.raises(ConfigError, match="--tile 100: the receptive field of this network is unknown"):
        network.denoise(image, "tiled")
    network.tiling = Tiling(tile=100, overlap=16)
    torch.testing.assert_close(network.denoise(image, "tiled"), whole, rtol=0, atol=1e-5)
    network.tiling = Tiling()

    def scarce(self, images, window=None):
        raise MemoryError

    monkeypatch.setattr(Network, "__call__", scarce)
    with pytest.raises(OutOfMemoryError, match="add --overlap N"):
        network.denoise(image, "a.png")
