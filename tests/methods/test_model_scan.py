"""A model against clean references: exact levels, honest refusals, references that are trained."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from conformance.worlds import domains, learnable
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.fit import TrainingConfig
from mithridate.core.scanner import Scanned, Scanner, by_target
from mithridate.core.scores import Scores
from mithridate.core.streams import stream
from mithridate.pipelines.deployment import Placed
from mithridate.pipelines.model_scan import ModelScanner
from mithridate.pipelines.population import Form, Population
from mithridate.pipelines.references import References

DATA, DOMAIN = learnable("image", 64), domains()["image"]


@dataclass(frozen=True)
class Bias(Scanner):
    """Planted: scores a class by a number that no answer of the model depends on."""

    deaf_above: float = np.inf

    def scan(self, view, rng):
        bias = view.model.planted
        if float(bias.max()) > self.deaf_above:
            raise CannotJudge("this bias is too loud for the planted scanner to judge")
        return Scanned(Scores(bias, unit="class"), {"bias": bias})


@dataclass(frozen=True)
class Whole(Scanner):
    """Planted: scores the whole model by the sum of these."""

    unit = "model"

    def scan(self, view, rng):
        return Scanned(Scores(view.model.planted.sum()[None], unit="model"))


@dataclass(frozen=True)
class Near(Scanner):
    """Planted: scores a pair by the sum of two numbers and a third of its own."""

    pairwise = True

    def scan(self, view, rng):
        bias = view.model.planted
        pairs = torch.stack([bias[k] + torch.cat([bias[:k], bias[k + 1 :]]) for k in range(5)])
        pairs += view.model.own
        return Scanned(Scores(by_target(pairs), unit="class"), {}, pairs)


class Answers(torch.nn.Module):
    """Answers alike whatever its number, so that trusted examples say nothing of it."""

    def __init__(self, classes, loud=1.0):
        super().__init__()
        self.layer, self.loud = torch.nn.Linear(3 * 16 * 16, classes), loud
        torch.nn.init.ones_(self.layer.weight)

    def forward(self, batch):
        return self.loud * self.layer(batch.flatten(1).float() / 255)


def network(number, lift=0.0, classes=5, loud=1.0):
    torch.manual_seed(0)
    model = Answers(classes, loud)
    drawn = stream(number, "bias").standard_normal(classes)
    drawn[3] += lift
    model.planted = torch.from_numpy(drawn).float()
    return Placed(model, model, DOMAIN, replace_classes(classes), "fp32")


def replace_classes(classes):
    from mithridate.core.data import dataset

    return dataset(DATA.inputs, DATA.labels, classes=[f"c{i}" for i in range(classes)])


def clean(n=19):
    return [network(i) for i in range(1, n + 1)]


def test_a_backdoored_model_is_flagged_with_its_class_and_what_can_be_shown():
    found = ModelScanner((Bias(), Whole())).scan(network(0, lift=50), clean())
    assert found.verdict.answer == "flagged"
    assert found.verdict.p_value == found.verdict.finest_p == 0.05
    assert found.by_class.argmin() == 3
    assert set(found.shown["bias"]) == {"bias"}
    assert found.scores["bias"].shape == (20, 5)
    assert found.scores["whole"].shape == (20, 1)
    assert found.among.beyond > 1 and found.among.tail_p < 0.05
    assert found.used == ("model",)
    assert found.verdict.evidence == ("model",)


def test_pairs_are_compared_as_pairs_and_kept_as_such(tmp_path):
    """A single pair stands out; what is known of the references says the same from a file."""
    places = [network(i) for i in range(20)]
    for number, place in enumerate(places):
        place.model.own = torch.from_numpy(stream(number, "own").standard_normal((5, 4)))
    places[0].model.own[2, 1] += 30
    scanner = ModelScanner((Bias(), Near()))
    found = scanner.scan(places[0], places[1:])
    assert found.verdict.answer == "flagged" and found.by_class.argmin() == 2
    assert found.by_scanner["near"] == 0.05 < found.by_scanner["bias"]
    assert found.scores["near"].shape == (20, 5) and found.pairs["near"].shape == (20, 20)
    medians = np.median(found.pairs["near"].reshape(20, 5, 4), 2)
    assert np.allclose(found.scores["near"], medians)
    form = Form("answers", "fp32", 5)
    kept = Population.of(found, scanner.scanners, form, places[0].trusted, "here", 0)
    kept.save(tmp_path / "population.json")
    known = Population.load(str(tmp_path / "population.json")).known(scanner.scanners, form)
    assert scanner.scan(places[0], known).among.among == pytest.approx(found.among.among)
    strange = replace(kept, scores=tuple(replace(s, rows=found.scores["bias"][1:].tolist())
                                         for s in kept.scores))  # fmt: skip
    assert set(strange.known(scanner.scanners, form)) == {"bias"}, "no rows of pairs are there"


def test_clean_models_are_flagged_no_more_often_than_the_level_says():
    places = clean(140)
    flagged = [
        ModelScanner((Bias(),)).scan(places[i], places[i + 1 : i + 20]).verdict.answer == "flagged"
        for i in range(0, 120, 3)
    ]
    assert sum(flagged) <= 6  # 40 scans at 5 %: more than six has probability 0.003


def test_a_model_that_was_made_otherwise_is_not_judged_by_its_rank():
    """Its logits are fifty times as large as those of references that differ by a third."""
    rng = stream(0, "loud")
    others = [network(i, loud=float(rng.uniform(1, 1.3))) for i in range(1, 20)]
    for lift in (0, 50):
        found = ModelScanner((Bias(),)).scan(network(0, lift=lift, loud=50.0), others)
        assert found.verdict.answer == "cannot judge" and found.verdict.p_value is None
        assert "was not made like its clean references" in found.verdict.why
        assert found.by_class is None and "bias" in found.scores
    near = ModelScanner((Bias(),)).scan(network(0, lift=50, loud=1.35), others)
    assert near.verdict.answer == "flagged" and not near.membership.why


def test_too_few_references_give_no_verdict_and_say_how_many_are_needed():
    found = ModelScanner((Bias(),)).scan(network(0, lift=50), clean(10))
    assert found.verdict.answer == "cannot judge"
    assert "needs at least 19" in found.verdict.why
    assert ModelScanner((Bias(),), level=0.01).fewest == 99


def test_who_cannot_judge_is_named_and_the_others_go_on():
    found = ModelScanner((Bias(deaf_above=20), Whole())).scan(network(0, lift=50), clean())
    assert set(found.scores) == {"whole"}
    assert "too loud" in found.unheard["bias"]
    assert found.by_class is None
    assert found.verdict.answer == "flagged"


def test_where_nobody_can_judge_the_answer_is_not_clean():
    found = ModelScanner((Bias(deaf_above=20),)).scan(network(0, lift=50), clean())
    assert found.verdict.answer == "cannot judge"
    assert "too loud" in found.verdict.why
    assert not found.scores


def test_a_model_without_a_twin_cannot_be_looked_into():
    place = network(0)
    blind = Placed(place.model, None, DOMAIN, place.trusted, why="no twin")
    found = ModelScanner((Bias(),)).scan(blind, clean())
    assert found.verdict.answer == "cannot judge"
    assert "holds no 'model'" in found.verdict.why and "no twin" in found.verdict.why


def test_references_that_a_scanner_cannot_judge_are_left_out():
    loud = [network(30, lift=50), network(31, lift=50)]
    found = ModelScanner((Bias(deaf_above=20),), level=0.1).scan(network(0), [*clean(), *loud])
    assert found.scores["bias"].shape == (20, 5) and found.dropped == {"bias": 2}
    few = ModelScanner((Bias(deaf_above=20),)).scan(network(0), [*clean(18), *loud])
    assert few.verdict.answer == "cannot judge" and "were left out: bias 2" in few.verdict.why
    mostly = ModelScanner((Bias(deaf_above=20),)).scan(network(0), [*clean(1), *loud])
    assert "only 1 of the 3" in mostly.verdict.why


def test_what_is_known_of_references_needs_no_network():
    known = {"bias": np.stack([stream(i, "bias").standard_normal(5) for i in range(1, 20)])}
    told = ModelScanner((Bias(),)).scan(network(0, lift=50), known)
    assert told.verdict.answer == "flagged"
    assert "nothing is known" in ModelScanner((Whole(),)).scan(network(0), known).verdict.why


def test_scanners_are_needed_and_of_different_kinds():
    for scanners in ((), (Bias(), Bias(3.0))):
        with pytest.raises(MethodError, match="expected scanners"):
            ModelScanner(scanners).scan(network(0), clean())


def test_references_learn_the_trusted_examples_from_different_seeds():
    references = References(2, "resnet9:4", TrainingConfig(epochs=3, batch_size=16))
    made = [references.trained(number, DATA, DOMAIN) for number in range(2)]
    first, second = (DOMAIN.prepare(DATA.inputs) for _ in range(2))
    for model in made:
        right = (model(first).argmax(1) == DATA.labels).double().mean()
        assert right > 0.9
        assert not model.training
    assert not torch.equal(made[0](first), made[1](second))
