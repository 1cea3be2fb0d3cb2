"""Intervals over seeds and inputs cover what they say, in worlds whose truth is known."""

import numpy as np
import pytest
from scipy import stats

from mithridate.core.errors import MethodError
from mithridate.core.streams import stream
from mithridate.stats.crossed import crossed_mean, paired_difference

WORLDS = 2000
BAND = (0.93, 0.97)
"""Where the coverage of a nominal 95 % may lie, before the error of the simulation."""


def room(share, worlds=WORLDS):
    """Three standard errors of a share that was counted in so many worlds."""
    return 3 * np.sqrt(share * (1 - share) / worlds)


def within(covered, worlds=WORLDS):
    low, high = BAND
    return low - room(low, worlds) <= covered <= high + room(high, worlds)


def worlds(rng, number, seeds, inputs, rate, beta, seed_sd):
    """Draw bool[number, s, n] whose mean over seeds and inputs is exactly `rate`.

    Difficulties p are from Beta(beta rate, beta (1 - rate)); a seed moves them to p + u p (1 - p)
    with u in -1..1 of mean zero, so that the rate of a seed has the standard deviation `seed_sd`.
    """
    reach = rate * (1 - rate) * beta / (beta + 1)
    p = rng.beta(beta * rate, beta * (1 - rate), (number, 1, inputs)).astype(np.float32)
    u = np.clip(rng.normal(0, seed_sd / reach, (number, seeds, 1)), -1, 1).astype(np.float32)
    return rng.random((number, seeds, inputs), dtype=np.float32) < p + u * p * (1 - p)


def pairs(rng, number, seeds, inputs, rate, beta, seed_sd, gap, shared, own):
    """Draw two such arrays whose means differ by exactly `gap`.

    shared: how often both methods judge an input by the same chance; seeds move both alike by half;
    own: how far the second method differs on an input whatever the seed.
    """
    reach = rate * (1 - rate) * beta / (beta + 1)
    p = rng.beta(beta * rate, beta * (1 - rate), (number, 1, inputs)).astype(np.float32)
    common = rng.normal(0, 1, (number, seeds, 1))
    limit = 1 - abs(gap / reach) - own

    def moved():
        u = (common + rng.normal(0, 1, common.shape)) * seed_sd / reach / np.sqrt(2)
        return np.clip(u, -limit, limit).astype(np.float32)

    chance = rng.random((number, seeds, inputs), dtype=np.float32)
    same = rng.random(chance.shape, dtype=np.float32) < shared
    other = np.where(same, chance, rng.random(chance.shape, dtype=np.float32))
    effect = np.float32(gap / reach) + own * rng.choice([-1, 1], p.shape).astype(np.float32)
    spread = p * (1 - p)
    return other < p + (moved() + effect) * spread, chance < p + moved() * spread


def coverage(interval, truth, *drawn):
    found = [interval(*world) for world in zip(*drawn, strict=True)]
    return float(np.mean([i.low <= truth <= i.high for i in found]))


def batches(draw, number=WORLDS, size=250):
    """Draw worlds in parts that fit in memory."""
    return [draw(size) for _ in range(number // size)]


@pytest.mark.parametrize(
    "seeds, inputs, rate, beta, seed_sd",
    [
        (3, 500, 0.5, 1, 0.0),
        (3, 500, 0.99, 0.5, 0.0),
        (3, 500, 0.99, 20, 0.005),
        (3, 2000, 0.05, 3, 0.02),
        (3, 2000, 0.5, 1, 0.03),
        (5, 500, 0.05, 3, 0.02),
        (5, 500, 0.99, 20, 0.005),
    ],
)
def test_the_interval_of_a_rate_covers_new_seeds_and_new_inputs(seeds, inputs, rate, beta, seed_sd):
    rng = stream(0, "worlds", seeds, inputs, str(rate), str(beta), str(seed_sd))
    covered = np.mean(
        [
            coverage(crossed_mean, rate, drawn)
            for drawn in batches(lambda k: worlds(rng, k, seeds, inputs, rate, beta, seed_sd))
        ]
    )
    assert within(covered), covered


@pytest.mark.parametrize(
    "seeds, inputs, rate, beta, seed_sd, gap, shared, own",
    [
        (3, 500, 0.5, 1, 0.005, 0.01, 0.5, 0.7),
        (3, 500, 0.9, 3, 0.01, 0.01, 0.5, 0.5),
        (3, 2000, 0.05, 3, 0.01, 0.01, 0.5, 0.3),
        (5, 500, 0.5, 1, 0.03, 0.02, 0.9, 0.0),
        (5, 500, 0.99, 20, 0.002, 0.002, 0.5, 0.3),
    ],
)
def test_the_interval_of_a_paired_difference_covers_too(
    seeds, inputs, rate, beta, seed_sd, gap, shared, own
):
    rng = stream(0, "pairs", seeds, inputs, str(rate), str(own))
    covered = np.mean(
        [
            coverage(paired_difference, gap, *drawn)
            for drawn in batches(
                lambda k: pairs(rng, k, seeds, inputs, rate, beta, seed_sd, gap, shared, own)
            )
        ]
    )
    assert within(covered), covered


def test_missing_inputs_do_not_spoil_the_coverage():
    rng = stream(0, "missing")
    for lose in ("at random", "one seed for each input"):
        drawn = worlds(rng, WORLDS, 3, 200, 0.9, 3, 0.02).astype(float)
        if lose == "at random":
            drawn[rng.random(drawn.shape) < 0.3] = np.nan
        else:
            seed = rng.integers(0, 3, (WORLDS, 1, 200))
            drawn[seed != np.arange(3)[:, None]] = np.nan
        assert within(coverage(crossed_mean, 0.9, drawn)), lose


def test_an_average_of_cells_covers_although_cells_share_seeds_and_inputs():
    """Three attacks on the same models: seeds move all of them alike."""
    rng = stream(0, "cells")
    number, shape = 1000, (3, 3, 200)
    p = rng.beta(2.7, 0.3, (number, 1, 1, 200)) + np.zeros((1, 3, 1, 1))
    u = np.clip(rng.normal(0, 0.3, (number, 1, 3, 1)), -1, 1)
    drawn = rng.random((number, *shape)) < p + u * p * (1 - p)
    covered = coverage(crossed_mean, 0.9, drawn)
    assert within(covered, number), covered


def naive(values):
    """The planted fault: every value counts as an independent one."""
    k, n = int(values.sum()), values.size
    low, high = stats.beta.ppf([0.025, 0.975], [k, k + 1], [n - k + 1, n - k])
    return type("Found", (), {"low": low, "high": high})


def seeds_only_by_bootstrap(values):
    """Another fault: the percentile bootstrap over three seeds knows 27 means at most."""
    rates = values.mean(1)
    means = rates[np.indices((3, 3, 3)).reshape(3, -1)].mean(0)
    low, high = np.quantile(means, [0.025, 0.975])
    return type("Found", (), {"low": low, "high": high})


@pytest.mark.parametrize("fault", [naive, seeds_only_by_bootstrap])
def test_an_interval_that_ignores_seeds_or_has_too_few_is_caught(fault):
    drawn = worlds(stream(0, "fault"), 1000, 3, 500, 0.9, 3, 0.03)
    covered = coverage(fault, 0.9, drawn)
    assert covered < 0.8
    assert not within(covered, 1000)


def test_a_mean_by_hand():
    """Two seeds, three inputs; sums of squares by hand."""
    values = [[1, 1, 0], [1, 0, 0]]
    # mean 1/2; seeds 2/3, 1/3; inputs 1, 1/2, 0
    # squares: total 3/2, seeds 3 * 2 * (1/6)^2 = 1/6, inputs 2 * (1/4 + 1/4) = 1, rest 1/3
    # mean squares: seeds 1/6, inputs 1/2, rest 1/6; A = 1/6 / 6, B = (1/2 - 1/6) / 6
    a, b = 1 / 36, 2 / 36
    t = (a * 12.7062047 + b * 4.3026527) / (a + b)
    found = crossed_mean(values)
    assert (found.value, found.n) == (0.5, 6)
    wide = t * t * (a + b) / 0.25  # symmetric about one half
    half = np.sqrt(wide / 4 + wide**2 / 4) / (1 + wide)
    assert (found.low, found.high) == pytest.approx((0.5 - half, 0.5 + half))


def test_a_paired_difference_by_hand():
    """Differences are 1/2 - 1/2 y of the world above, so their interval is known."""
    second = np.array([[1, 1, 0], [1, 0, 0]]) / 2
    found = paired_difference(np.full((2, 3), 0.5), second)
    a, b = 1 / 144, 2 / 144
    t = (a * 12.7062047 + b * 4.3026527) / (a + b)
    assert (found.value, found.n) == (0.25, 6)
    half = t * np.sqrt(a + b)
    assert half > 0.75
    assert (found.low, found.high) == pytest.approx((0.25 - half, 1.0))


def analysis_of_variance(grid):
    """A slow literal reference for a table without gaps: mean squares of seeds, inputs, rest."""
    s, n = grid.shape
    mean = grid.mean()
    seeds = sum(n * (row.mean() - mean) ** 2 for row in grid) / (s - 1)
    inputs = sum(s * (column.mean() - mean) ** 2 for column in grid.T) / (n - 1)
    rest = sum(
        (grid[i, j] - grid[i].mean() - grid[:, j].mean() + mean) ** 2
        for i in range(s)
        for j in range(n)
    ) / ((s - 1) * (n - 1))
    a, b = seeds / (s * n), max(0.0, inputs - rest) / (s * n)
    t = (a * stats.t.ppf(0.975, s - 1) + b * stats.t.ppf(0.975, n - 1)) / (a + b)
    return mean, t * np.sqrt(a + b)


def test_without_gaps_it_is_the_analysis_of_variance(rng):
    for _ in range(20):
        first, second = rng.random((2, 4, 9)) * np.array([[0.3], [1.0]])[:, :, None]
        mean, half = analysis_of_variance(first - second)
        found = paired_difference(first, second)
        assert found.value == pytest.approx(mean)
        assert found.low == pytest.approx(max(-1, mean - half))
        assert found.high == pytest.approx(min(1, mean + half))


def test_cells_count_alike_whatever_is_missing():
    cells = np.array([[[1.0, 1, 1, 1], [1, 1, 1, 1]], [[0, np.nan, np.nan, 0], [0, 0, np.nan, 0]]])
    found = crossed_mean(cells)
    assert (found.value, found.n) == (0.5, 13)
    whole = np.stack([np.tile([1.0, 0, 1, 1], (2, 1)), np.tile([1.0, 0, 0, 1], (2, 1))])
    assert crossed_mean(whole) == pytest.approx((*crossed_mean(whole.mean(0))[:3], 16))


def test_one_seed_gives_the_interval_over_inputs():
    values = np.repeat([1.0, 0.0], [30, 70])[None]
    found = crossed_mean(values)
    t = stats.t.ppf(0.975, 99)
    error = 0.3 * 0.7 * 100 / 99 / 100
    for edge in (found.low, found.high):
        assert abs(edge - 0.3) == pytest.approx(t * np.sqrt(error * edge * (1 - edge) / 0.21))
    both = paired_difference(values, np.zeros((1, 100)))
    assert (both.low, both.high) == pytest.approx((0.3 - t * error**0.5, 0.3 + t * error**0.5))


def test_one_input_gives_the_interval_over_seeds():
    found = paired_difference([[0.5], [0.6], [0.7]], [[0.5], [0.5], [0.5]])
    half = 4.30265273 * 0.1 / np.sqrt(3)
    assert (found.low, found.value, found.high) == pytest.approx((0.1 - half, 0.1, 0.1 + half))


def test_where_nothing_varies_the_number_of_inputs_limits_the_interval():
    z = stats.t.ppf(0.975, 99) ** 2
    perfect, never = crossed_mean(np.ones((3, 100))), crossed_mean(np.zeros((3, 100)))
    assert (perfect.low, perfect.high) == pytest.approx((100 / (100 + z), 1.0))
    assert (never.low, never.high) == pytest.approx((0.0, z / (100 + z)))
    alike = paired_difference(np.ones((3, 100), bool), np.ones((3, 100), bool))
    assert (alike.value, alike.high) == pytest.approx((0.0, 1 - 0.025 ** (1 / 100)))
    assert alike.low == -alike.high
    thirds = crossed_mean(np.full((3, 100), 1 / 3))
    assert thirds.high - thirds.low > 0.1  # rounding is no evidence


def test_nothing_or_one_value_says_nothing():
    for values in (np.zeros((3, 0)), np.full((3, 5), np.nan), [[0.7]]):
        found = crossed_mean(values)
        assert (found.low, found.high) == (0.0, 1.0)
        both = paired_difference(values, values)
        assert (both.low, both.high) == (-1.0, 1.0)
    assert np.isnan(crossed_mean(np.full((3, 5), np.nan)).value)


def test_a_wider_level_gives_a_wider_interval():
    drawn = worlds(stream(0, "level"), 1, 3, 100, 0.8, 3, 0.02)[0]
    found = [crossed_mean(drawn, level) for level in (0.8, 0.95, 0.99)]
    assert sorted(found, key=lambda i: i.high - i.low) == found


@pytest.mark.parametrize("values", [[0.5, 1.0], np.zeros((1, 1, 1, 1)), [[1.2]], [[-0.1, 0.5]]])
def test_what_is_no_rate_is_refused(values):
    with pytest.raises(MethodError):
        crossed_mean(values)


def test_pairs_of_other_shapes_and_empty_cells_are_refused():
    with pytest.raises(MethodError, match="same shape"):
        paired_difference(np.zeros((3, 4)), np.zeros((3, 5)))
    with pytest.raises(MethodError, match="no value"):
        crossed_mean(np.stack([np.ones((2, 3)), np.full((2, 3), np.nan)]))
