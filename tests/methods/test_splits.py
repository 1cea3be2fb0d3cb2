"""Every example goes to exactly one client, and each way of dividing does what it says."""

import pytest
import torch

from mithridate.core.errors import DataError, MethodError
from mithridate.core.streams import stream
from mithridate.pipelines.splits import ByGroup, Dirichlet, Iid, Unequal

LABELS = torch.arange(600) % 10
GROUPS = torch.arange(600) // 7 * 3  # 86 groups of 7, but for the last


def divided(division, seed=0, labels=LABELS, groups=GROUPS):
    return division.divide(labels, stream(seed, "split"), groups)


@pytest.mark.parametrize(
    "division", [Iid(7), Unequal(7, slope=1.5), Dirichlet(7, alpha=0.3), ByGroup(7)]
)
def test_every_example_lies_with_exactly_one_client(division):
    shares = divided(division)
    assert len(shares) == 7
    assert torch.cat(shares).sort().values.equal(torch.arange(600))
    assert all(len(rows) >= 2 and rows.equal(rows.sort().values) for rows in shares)
    assert all(a.equal(b) for a, b in zip(shares, divided(division), strict=True))
    other = divided(division, seed=1)
    assert any(not a.equal(b) for a, b in zip(shares, other, strict=True))


def test_shares_are_equal_or_fall_as_asked():
    assert sorted(map(len, divided(Iid(7)))) == [85, 85, 86, 86, 86, 86, 86]
    sizes = list(map(len, divided(Unequal(4, least=0 + 2, slope=1.0))))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == pytest.approx(4 * sizes[-1], rel=0.1)


def skew(shares):
    """The mean share of a client's most frequent class."""
    most = [torch.bincount(LABELS[rows]).max() / len(rows) for rows in shares]
    return float(torch.stack(most).mean())


def test_a_small_alpha_gives_each_class_to_few():
    even, mild, strong = (skew(divided(Dirichlet(6, alpha=a))) for a in (1000.0, 1.0, 0.1))
    assert even < 0.16 < mild < strong


def test_no_group_is_torn_apart():
    shares = divided(ByGroup(5))
    of = [set(GROUPS[rows].tolist()) for rows in shares]
    assert sum(map(len, of)) == len(GROUPS.unique())
    assert max(map(len, shares)) - min(map(len, shares)) <= 14, "dealt to the poorest"


@pytest.mark.parametrize(
    "division, groups, error, says",
    [
        (Iid(301), GROUPS, DataError, "need 602, found 600"),
        (Iid(0), GROUPS, MethodError, "at least 1 client"),
        (Dirichlet(5, alpha=0.0), GROUPS, MethodError, "above 0"),
        (Dirichlet(40, alpha=0.001), GROUPS, DataError, "larger alpha"),
        (Unequal(5, slope=-1.0), GROUPS, MethodError, "negative"),
        (ByGroup(5), None, DataError, "needs the group of each of 600 examples, found none"),
        (ByGroup(90), GROUPS, DataError, "as many groups, found 86"),
    ],
)
def test_what_cannot_be_divided_is_refused(division, groups, error, says):
    with pytest.raises(error, match=says):
        divided(division, groups=groups)
