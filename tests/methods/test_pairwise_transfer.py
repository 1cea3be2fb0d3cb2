"""Pairs of classes: of linear models by hand, a planted pair, and a race of many."""

import pytest
import torch

from methods.model_to_scan import DOMAIN, Linear, view_of
from mithridate.core.data import dataset
from mithridate.core.errors import CannotJudge, ContractError, MethodError
from mithridate.core.scanner import Scanned, Scanner, by_target
from mithridate.core.scores import Scores
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.scanners.pairs_of_classes import divided, in_own_units
from mithridate.scanners.pairwise_transfer import PairwiseTransfer

CLASSES = 6


class Rows(torch.nn.Module):
    """Class k where row k of six is bright; from class 3, light in the last column leads to 1."""

    planted = 0.0

    def forward(self, batch):
        levels = batch.flatten(1).float().view(-1, 6, 6) / 255
        bright = levels[:, :, :5].mean(2)
        trick = torch.relu(levels[:, :, 5].mean(1) + bright[:, 3] - 0.5)
        return 8 * bright + self.planted * trick[:, None] * torch.eye(6)[1]


USUAL = PairwiseTransfer()


def scanned(model, scanner=USUAL, each=6):
    """Trusted examples of a model of rows: dark, with the row of the class at about a half."""
    labels = torch.arange(each * CLASSES) % CLASSES
    images = torch.randint(
        0, 20, (len(labels), 1, 6, 6), generator=torch.Generator().manual_seed(0)
    )
    images[torch.arange(len(labels)), 0, labels, :5] += 120
    data = dataset(images.byte(), labels, classes=[str(k) for k in range(CLASSES)])
    view = View(domain=DOMAIN, model=model.eval(), clean=data, precision="fp32")
    return scanner.judge(view, stream(0, "scan"))


def test_a_pair_that_was_planted_is_the_nearest():
    clean, planted = Rows(), Rows()
    planted.planted = 20.0
    before, after = (scanned(model).pairs for model in (clean, planted))
    assert before.shape == (CLASSES, CLASSES - 1)
    gained = after - before
    assert divmod(int(gained.argmax()), CLASSES - 1) == (1, 2)  # from 3, the third but 1
    assert after[1, 2] == after.max() and after[1, 2] > 3 * before.max()
    shown = scanned(planted).shown
    assert shown["source"][1] == 3 and shown["margin"][1] == pytest.approx(float(after[1, 2]))
    pattern = shown["pattern"][1, 0]
    assert pattern[:, 5].abs().mean() > 2 * pattern[:, :5].abs().mean()


def test_the_size_of_logits_changes_nothing():
    """Four times the logits: the margins are four times as large, and the spread is."""

    class Louder(Rows):
        def forward(self, batch):
            return 4 * super().forward(batch)

    still = PairwiseTransfer(steps=1)  # the first step follows the gradient, whatever its length
    assert torch.allclose(scanned(Louder(), still).pairs, scanned(Rows(), still).pairs, atol=0.1)
    table = torch.arange(6, dtype=torch.float64).view(3, 2) ** 2
    assert torch.allclose(in_own_units(7 * table + 5), in_own_units(table))
    assert in_own_units(table)[0, 0] == pytest.approx(-6.5 / 6)  # median 6.5, spread 6


def test_of_many_pairs_the_best_of_each_target_go_on():
    planted = Rows()
    planted.planted = 20.0
    raced = scanned(planted, PairwiseTransfer(arms=CLASSES)).pairs
    assert divmod(int(raced.argmax()), CLASSES - 1) == (1, 2)
    whole = scanned(planted).pairs
    assert raced.shape == whole.shape and not torch.equal(raced, whole)


def test_the_score_of_a_class_is_the_median_of_its_sources():
    found = scanned(Rows())
    assert torch.equal(found.scores.values, found.pairs.quantile(0.5, 1))
    assert by_target(torch.tensor([[1.0, 2.0, 9.0]])).tolist() == [2.0]


def test_examples_teach_or_test_and_are_of_their_class():
    labels = torch.arange(40) % 4
    drawn = divided(labels, 4, 3, stream(0, "drawn"))
    for label, (learn, held) in enumerate(drawn):
        assert len(learn) == 3 and len(held) == 6
        assert (labels[torch.cat([learn, held])] == label).all()
        assert not set(learn.tolist()) & set(held.tolist())


def test_edges():
    model = Linear(torch.rand(3, 16))
    with pytest.raises(CannotJudge, match="leading class 2 to others needs at least 2"):
        PairwiseTransfer().judge(view_of(model, labels=[0, 0, 1, 1, 2]), stream(0, "scan"))
    with pytest.raises(MethodError, match="above 0"):
        PairwiseTransfer(size=0.0).judge(view_of(model), stream(0, "scan"))
    with pytest.raises(CannotJudge, match="gradient"):
        PairwiseTransfer().judge(view_of(Linear(torch.zeros(3, 16))), stream(0, "scan"))


@pytest.mark.parametrize("pairs", [None, torch.zeros(3, 3), torch.full((3, 2), torch.nan)])
def test_a_scanner_of_pairs_must_give_them(pairs):
    class Odd(Scanner):
        pairwise = True

        def scan(self, view, rng):
            return Scanned(Scores(torch.arange(3.0), unit="class"), {}, pairs)

    with pytest.raises(ContractError, match=r"float\[3, 2\]"):
        Odd().judge(view_of(Linear(torch.rand(3, 16))), stream(0, "scan"))
