import itertools

import torch

from src.util.seed import derive_seed, make_generator


def test_a_seed_is_the_same_on_every_machine():
    assert derive_seed(0, "mask", 3, 14) == 2307698347364908283
    assert torch.rand(2, generator=make_generator(0, "mask", 3, 14)).tolist() == [
        0.2257900834083557,
        0.2601056694984436,
    ]


def test_the_same_question_has_the_same_answer():
    first, second = (torch.rand(8, generator=make_generator(1, "crop", 2, 3)) for _ in range(2))
    assert torch.equal(first, second)


def test_every_argument_matters_and_none_runs_into_the_next():
    questions = [
        (seed, purpose, *counters)
        for seed, purpose in itertools.product((0, 1, 11), ("crop", "mask", "noise"))
        for counters in ((), (0,), (1,), (11,), (0, 0), (0, 1), (1, 0), (1, 1), (1, 11), (11, 1), (111,))
    ]
    seeds = {derive_seed(*question) for question in questions}
    assert len(seeds) == len(questions)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_streams_of_neighbours_have_nothing_in_common():
    draws = [torch.randn(1000, generator=make_generator(0, "noise", index)) for index in range(4)]
    for one, other in itertools.combinations(draws, 2):
        assert abs(torch.corrcoef(torch.stack([one, other]))[0, 1]) < 0.15


def test_c15_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    torch.rand(3, generator=make_generator(0, "mask"))
    assert torch.equal(torch.get_rng_state(), before)
