"""The strongest set: the identity of its worth, swaps against brute force, and a sign."""

from itertools import product

import numpy as np
import pytest
import torch

from mithridate.core.streams import stream
from mithridate.stats import strongest
from mithridate.stats.official_search import _Start, official_search
from mithridate.stats.strongest import Attributions


def random_factors(n: int, r: int = 5, seed: int = 0) -> Attributions:
    rng = stream(seed, "factors")
    rows, columns = (torch.from_numpy(rng.standard_normal((n, r))) for _ in range(2))
    return Attributions(rows, columns)


def matrix(w: Attributions) -> torch.Tensor:
    whole = w.rows @ w.columns.T
    return whole - torch.diag(whole.diagonal())


def with_diagonal(w: Attributions, k: int) -> torch.Tensor:
    whole = matrix(w)
    return whole - torch.diag(whole.sum(1)) * k / len(whole)


def some(n: int, k: int, seed: int = 0) -> torch.Tensor:
    members = torch.zeros(n, dtype=torch.bool)
    members[torch.from_numpy(stream(seed, "members").permutation(n)[:k])] = True
    return members


def from_matrix(whole: torch.Tensor) -> Attributions:
    return Attributions(whole.double(), torch.eye(len(whole), dtype=torch.float64))


@pytest.mark.parametrize("k", [1, 7, 29])
def test_the_worth_is_the_same_in_its_three_forms(k):
    w, v = random_factors(30), some(30, k)
    plain, x = matrix(w), v.double()
    centre = torch.eye(30, dtype=torch.float64) - 1 / 30
    h = x / k - (1 - x) / (30 - k)
    worth = strongest.objective(w, v)
    assert worth == pytest.approx(float(x @ with_diagonal(w, k) @ x))
    assert worth == pytest.approx(float(x @ plain @ centre @ x))
    assert worth * 30 / (k * (30 - k)) == pytest.approx(float(x @ plain @ h))
    assert strongest.strength(w, v) == pytest.approx(float((plain @ h)[v].mean()))


def test_marginals_are_what_coming_and_leaving_change():
    w, v = random_factors(20), some(20, 6)
    a, worth = with_diagonal(w, 6), strongest.marginals(w, v)
    for row in range(20):
        other = v.clone()
        other[row] = ~other[row]
        x, y = v.double(), other.double()
        change = float(y @ a @ y - x @ a @ x)
        assert change == pytest.approx(float(worth[row]) * (-1 if v[row] else 1))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("n, k", [(12, 3), (40, 11)])
def test_after_the_exchange_no_single_swap_is_better(n, k, seed):
    w = random_factors(n, seed=seed)
    members = strongest.exchanged(w, some(n, k, seed))
    assert int(members.sum()) == k
    worth = strongest.objective(w, members)
    assert worth >= strongest.objective(w, some(n, k, seed))
    for out, into in product(members.nonzero().flatten(), (~members).nonzero().flatten()):
        other = members.clone()
        other[out], other[into] = False, True
        assert strongest.objective(w, other) <= worth + 1e-8


@pytest.mark.parametrize("n", [60, 300])
def test_the_relaxation_is_the_first_eigenvector(n):
    w = random_factors(n)
    plain, centre = matrix(w), torch.eye(n, dtype=torch.float64) - 1 / n
    both = plain @ centre
    values, vectors = torch.linalg.eigh((both + both.T) / 2)
    value, direction = strongest.relaxed(w)
    assert value == pytest.approx(float(values[-1]), rel=1e-6)
    assert abs(float(direction @ vectors[:, -1])) == pytest.approx(1, abs=1e-6)
    assert float((direction**3).sum()) > 0
    second = strongest.relaxations(w, 2)[1]
    assert second.value == pytest.approx(float(values[-2]), rel=1e-6)
    assert abs(float(second.direction @ vectors[:, -2])) == pytest.approx(1, abs=1e-5)


def test_a_planted_block_is_recovered():
    rng, n, k = stream(0, "block"), 400, 30
    whole = torch.from_numpy(rng.standard_normal((n, n)))
    planted = some(n, k)
    whole[planted.nonzero(), planted.nonzero().flatten()] += 2.0
    (best,) = strongest.search(from_matrix(whole), (k,))
    assert int((best.members & planted).sum()) >= k - 1
    assert best.worth >= strongest.objective(from_matrix(whole), planted) - 1e-6


def test_a_search_in_single_precision_needs_no_matrix():
    w = random_factors(2000, 8)
    narrow = Attributions(w.rows.float(), w.columns.float())
    (exact,), (rough,) = (strongest.search(each, (50,), exchange=False) for each in (w, narrow))
    assert rough.worth == pytest.approx(exact.worth, rel=1e-3)


def test_similar_natives_do_not_pass_for_sensitive_poison():
    """What is alike is not yet what depends on its like: each matrix gives the set it describes."""
    natives, poison = torch.arange(60) < 40, torch.arange(60) >= 40

    def blocks(of_natives: float, of_poison: float) -> Attributions:
        whole = torch.zeros(60, 60)
        whole[natives.nonzero(), natives.nonzero().flatten()] = of_natives
        whole[poison.nonzero(), poison.nonzero().flatten()] = of_poison
        return from_matrix(whole)

    alike, sensitive = blocks(1.0, 0.3), blocks(0.05, 0.3)
    assert strongest.strength(sensitive, poison) > 3 * strongest.strength(sensitive, natives)
    (best,) = strongest.search(sensitive, (20,))
    assert torch.equal(best.members, poison)
    (best,) = strongest.search(alike, (20,))
    assert not (best.members & poison).any()


def test_the_released_search_has_the_wrong_sign_at_who_comes():
    w, v = random_factors(24), some(24, 8)
    diagonal = -w.totals * 8 / 24
    released, exact = _Start(w, diagonal, v).scores(), strongest.marginals(w, v)
    torch.testing.assert_close(released[v], exact[v])
    torch.testing.assert_close(released[~v], exact[~v] - 2 * diagonal[~v])


def test_the_released_swap_leaves_out_what_the_pair_shares():
    w, v = random_factors(24), some(24, 8)
    diagonal = torch.zeros(24, dtype=torch.float64)
    start = _Start(w, diagonal, v)
    scores, whole = start.scores(), matrix(w)
    out, into = int(v.nonzero()[0]), int((~v).nonzero()[0])
    x, y = v.double(), v.double()
    y[out], y[into] = 0, 1
    shared = float(whole[out, into] + whole[into, out])
    told, true = float(scores[into] - scores[out]), float(y @ whole @ y - x @ whole @ x)
    assert told - true == pytest.approx(shared)
    assert start._true_gain(scores, out, into) == pytest.approx(true)


def test_the_released_value_takes_the_diagonal_of_the_first_rows():
    whole = torch.tensor([[0.0, 1.0, 2.0], [3.0, 0.0, 4.0], [5.0, 6.0, 0.0]])
    members, diagonal = torch.tensor([False, True, True]), torch.tensor([1.0, 10.0, 100.0])
    start = _Start(from_matrix(whole), diagonal.double(), members)
    assert start.value() == pytest.approx(2 * (4 + 6 + 110 - (1 + 10)))


def test_the_released_scores_stay_exact_as_they_are_kept_up():
    w, v = random_factors(30), some(30, 9)
    start = _Start(w, -w.totals * 9 / 30, v)
    before = start.scores()
    out, into = int(v.nonzero()[0]), int((~v).nonzero()[0])
    kept_up = before + start._column(into) - start._column(out)
    start.members[out], start.members[into] = False, True
    torch.testing.assert_close(kept_up, start.scores())


def test_the_released_search_loses_to_the_exact_one_on_the_same_matrix():
    w, sizes = random_factors(80, 6), (10, 20, 500)
    released = official_search(w, sizes, 5, stream(0, "starts"))
    assert set(released.best) == {10, 20}, "a size of more than all examples is left out"
    assert released.swaps > 0 and released.wrong > 0
    assert float(released.scores.sum()) == pytest.approx(10)
    for k, best in zip((10, 20), strongest.search(w, (10, 20)), strict=True):
        assert best.worth >= released.best[k] - 1e-8
    again = official_search(w, sizes, 5, stream(0, "starts"))
    assert torch.equal(released.scores, again.scores)
    assert np.isfinite(list(released.best.values())).all()
