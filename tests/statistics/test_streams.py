"""Random streams: the same on every machine, paired by place, independent between places."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mithridate.core.streams import seed_torch, stream, torch_generator

places = st.lists(st.text("abc.-", min_size=1, max_size=4) | st.integers(0, 99), max_size=3)


def test_a_stream_is_the_same_on_every_machine():
    """These numbers may never change: every record of every experiment depends on them."""
    assert stream(0, "poison").integers(0, 1000, 5).tolist() == [149, 611, 542, 29, 752]


@given(st.integers(0, 10**6), places, st.integers(0, 10**6), places)
def test_streams_of_different_places_differ(seed, place, other_seed, other_place):
    one, other = stream(seed, *place), stream(other_seed, *other_place)
    same = seed == other_seed and [*map(str, place)] == [*map(str, other_place)]
    assert (one.integers(2**62) == other.integers(2**62)) == same


def test_a_stream_does_not_depend_on_what_was_drawn_before():
    first = stream(3, "train").random(4)
    stream(3, "poison").random(100)
    np.random.default_rng().random(100)
    assert np.array_equal(stream(3, "train").random(4), first)


def test_streams_are_uniform_across_seeds_and_uncorrelated_across_places():
    draws = np.array(
        [[stream(seed, place).random() for place in ("poison", "train")] for seed in range(2000)]
    )
    assert stats.kstest(draws[:, 0], "uniform").pvalue > 1e-4
    assert stats.kstest(draws[:, 1], "uniform").pvalue > 1e-4
    assert abs(np.corrcoef(draws.T)[0, 1]) < 4 / np.sqrt(2000)


def test_torch_generators_are_paired_and_move_on():
    rng, again = stream(0, "x"), stream(0, "x")
    first, second = torch_generator(rng), torch_generator(rng)
    assert first.initial_seed() == torch_generator(again).initial_seed()
    assert first.initial_seed() != second.initial_seed()


def test_torch_is_seeded_as_by_its_own_function_and_restored():
    before = torch.get_rng_state()
    with seed_torch(stream(0, "init")):
        drawn = torch.randn(5)
    assert torch.equal(before, torch.get_rng_state())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(stream(0, "init").integers(2**62)))
        assert torch.equal(drawn, torch.randn(5))
