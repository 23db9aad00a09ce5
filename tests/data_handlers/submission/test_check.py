"""Mistakes for which a submission is refused, and poor results that only give a warning."""

import re

import numpy as np
import pytest

from src.data_handlers.submission.dnd import check_dnd, submit_dnd
from src.data_handlers.submission.sidd import check_sidd, submit_sidd
from src.util.errors import DataError

# Small benchmarks have fewer boxes than the real one.
pytestmark = pytest.mark.filterwarnings("ignore:.*boxes are missing")


@pytest.fixture(params=["sidd", "dnd"])
def kind(request):
    return request.param


@pytest.fixture
def benchmark(request, kind):
    return request.getfixturevalue(f"small_{kind}")


@pytest.fixture
def submit(benchmark, kind, tmp_path):
    """Make a submission of 8-bit blocks, check it again, and return its files."""
    out = tmp_path / "out"

    def made(blocks):
        for number, block in enumerate(blocks):
            benchmark.write(number, block)
        if kind == "sidd":
            submit_sidd(benchmark.noisy_folder, benchmark.results, out / "sidd.csv")
            check_sidd(out / "sidd.csv", benchmark.noisy_folder)
        else:
            submit_dnd(benchmark.results, out, benchmark.noisy_folder)
            check_dnd(out, benchmark.noisy_folder)
        return list(out.iterdir())

    return made


def same_image(clean):
    """The output of a network that gives one value, except for the padding at an edge."""
    blocks = np.full_like(clean, 90)
    blocks[:, :4] = 40
    return blocks


POOR = {
    "constant": lambda clean: np.full_like(clean, 128),
    "noise": lambda clean: np.random.default_rng(0).integers(0, 256, clean.shape, np.uint8),
    "half as bright": lambda clean: clean // 2,
    "the same image": same_image,
    "inverted": lambda clean: 255 - clean,
}


@pytest.mark.parametrize("network", POOR)
def test_a_bad_networks_results_are_written_with_a_warning(submit, benchmark, messages, network):
    assert submit(POOR[network](benchmark.clean))
    warnings = [message for message in messages if "hardly resemble their noisy ones: correlation" in message]
    assert len(warnings) == 2  # the second of the check
    assert warnings[0].startswith("WARNING ") and warnings[0].count("\n") == 0


def test_the_warning_counts_and_names_the_blocks_with_figures(submit, benchmark, messages):
    blocks = benchmark.clean.copy()
    blocks[[1, 4]] = 128
    submit(blocks)
    named = f"2 of 6 blocks ({benchmark.layout.labels([1, 4])}) hardly"
    warning, _ = (message for message in messages if named in message)
    assert re.search(r"correlation 0\.7\d on average over all blocks, 0\.[12]\d at worst", warning)


def test_another_image_in_the_place_of_a_block_is_poor_too(submit, benchmark, soft, messages):
    submit([*benchmark.clean[:5], soft(1, seed=9)[0][0]])
    named = f"1 of 6 blocks ({benchmark.layout.label(5)}) hardly"
    assert any(named in message for message in messages)


def test_of_many_poor_blocks_the_first_are_named(submit, benchmark, messages):
    submit(np.full_like(benchmark.clean, 128))
    first = benchmark.layout.labels(range(5))
    assert any(f"6 of 6 blocks ({first}, ...) hardly" in message for message in messages)


def exchanged(clean):
    return clean[[0, 4, 2, 3, 1, 5]]


WRONG = {
    "two exchanged": (exchanged, "not in its place"),
    "two exchanged, half as bright": (lambda clean: exchanged(clean) // 2, "not in its place"),
    "reversed": (lambda clean: clean[::-1], "not in its place"),
    "off by one": (lambda clean: np.roll(clean, 1, axis=0), "not in its place"),
    "images and blocks exchanged": (lambda clean: clean[[0, 3, 1, 4, 2, 5]], "not in its place"),
    "BGR": (lambda clean: clean[..., ::-1], "6 block.*BGR"),
    "turned": (lambda clean: clean.swapaxes(1, 2), "6 block.*rows and columns swapped"),
}


@pytest.mark.parametrize("order", WRONG)
def test_results_in_a_wrong_order_are_refused_and_nothing_is_left(submit, benchmark, tmp_path, order):
    spoil, message = WRONG[order]
    with pytest.raises(DataError, match=message):
        submit(spoil(benchmark.clean))
    assert list((tmp_path / "out").iterdir()) == []
