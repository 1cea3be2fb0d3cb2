"""What a scan that could not judge says would help: the flag and a value, and that value does."""

import re
from types import SimpleNamespace

import pytest
import torch

from mithridate.cli.answer import print_needed
from mithridate.core.data import dataset
from mithridate.pipelines import advice
from mithridate.pipelines.advice import trusted_needed
from mithridate.pipelines.scan import DataScanner

ONE = SimpleNamespace(judged=("one detector",))


@pytest.fixture
def data():
    """Forty examples of two classes."""
    return dataset(torch.zeros(40, 1), torch.arange(40) % 2, ("a", "b"))


def test_where_no_number_of_trusted_examples_helps_a_share_is_named_that_does(data, capsys):
    print_needed(ONE, data, DataScanner(smallest=0.001), 0)
    said = capsys.readouterr().out
    assert "rule out a backdoor of 0.1% of the data (--smallest 0.001): ask for a larger" in said
    share = float(re.search(r"larger one, --smallest (\S+)\.\n", said).group(1))
    assert 0.001 < share < 1 and trusted_needed(data, 1, share, 0.05, 0).trusted is not None


def test_a_number_of_trusted_examples_is_named_where_one_helps(data, capsys):
    print_needed(ONE, data, DataScanner(smallest=0.4), 0)
    assert re.search(r"a scan needs about \d+ trusted examples", capsys.readouterr().out)


def test_too_few_permutations_are_no_matter_of_examples(data, capsys):
    print_needed(ONE, data, DataScanner(permutations=19), 0)
    assert capsys.readouterr().out == "", "the verdict says how many permutations there must be"


def one_by_one(data, rankings, smallest, seed):
    """Try every number of trusted examples, as `trusted_needed` did before it had an estimate."""
    sizes = torch.bincount(data.labels, minlength=len(data.classes)).numpy()
    least = float("inf")
    for m in advice.numbers_to_try(sizes):
        least = min(least, advice.visible_with(sizes, m, rankings, 0.05, seed))
        if least <= smallest * len(data):
            return advice.Needed(m, least / len(data))
    return advice.Needed(None, least / len(data))


@pytest.mark.parametrize(
    "sizes, rankings, smallest",
    [((500, 500), 4, 0.01), ((900, 60, 40), 2, 0.05), ((100,) * 10, 1, 0.03), ((40, 40), 2, 0.001)],
)
def test_numbers_that_an_estimate_leaves_out_would_not_have_been_the_answer(
    monkeypatch, sizes, rankings, smallest
):
    labels = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    data = dataset(torch.zeros(len(labels), 1), labels)
    slow = one_by_one(data, rankings, smallest, 3)
    tried, visible = [], advice.visible_with
    monkeypatch.setattr(
        advice, "visible_with", lambda *given: (tried.append(1), visible(*given))[1]
    )
    assert trusted_needed(data, rankings, smallest, 0.05, 3) == slow
    assert (slow.trusted is None) == (smallest == 0.001)
    assert len(tried) <= 5
