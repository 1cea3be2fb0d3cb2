"""What a scan that could not judge says would help: the flag and a value, and that value does."""

import re
from types import SimpleNamespace

import pytest
import torch

from mithridate.cli.answer import print_needed
from mithridate.core.data import dataset
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
