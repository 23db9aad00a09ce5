import itertools

import torch

from src.util.seed import derive_seed, make_generator


def test_a_seed_is_the_same_on_every_machine():
    assert derive_seed(0, "mask", 3, 14) == 2307698347364908283
    assert torch.rand(2, generator=make_generator(0, "mask", 3, 14)).tolist() == [
        0.2257900834083557,
        0.2601056694984436,
    ]


def test_different_arguments_give_different_seeds():
    arguments = [
        (seed, purpose, *counters)
        for seed, purpose in itertools.product((0, 1, 11), ("crop", "mask", "noise"))
        for counters in ((), (0,), (1,), (11,), (0, 0), (0, 1), (1, 0), (1, 1), (1, 11), (11, 1), (111,))
    ]
    seeds = {derive_seed(*each) for each in arguments}
    assert len(seeds) == len(arguments)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_neighbouring_streams_are_uncorrelated():
    draws = [torch.randn(1000, generator=make_generator(0, "noise", index)) for index in range(4)]
    for one, other in itertools.combinations(draws, 2):
        assert abs(torch.corrcoef(torch.stack([one, other]))[0, 1]) < 0.15


def test_c15_the_global_generator_is_not_used():
    before = torch.get_rng_state()
    torch.rand(3, generator=make_generator(0, "mask"))
    assert torch.equal(torch.get_rng_state(), before)
