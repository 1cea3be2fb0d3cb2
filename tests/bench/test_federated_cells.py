"""A federation takes the place of a training in a cell, and its server is judged like a defence."""

from dataclasses import replace

import pytest
import torch

from bench.conftest import Swept
from bench.planted import PATCH, RATE
from mithridate.aggregators.coordinates import CoordinateMedian
from mithridate.aggregators.lockdown import Lockdown
from mithridate.bench.cell import Aggregation, Parties, Rules, Task, federated
from mithridate.bench.chain import build_chain
from mithridate.bench.steps.federate import Federate
from mithridate.clients.mask_holders import FixMask
from mithridate.clients.subspace import IsolatedSubspace
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig
from mithridate.detectors.controls import Constant
from mithridate.pipelines.federated import Federation
from mithridate.pipelines.splits import Iid
from mithridate.repairs.controls import DoNothing

TRAINING = TrainingConfig(epochs=1, batch_size=16, learning_rate=0.1, momentum=0.0, schedule="flat")
PARTIES = Parties(Iid(4), 1, federation=Federation(rounds=2, training=TRAINING))
DEFENCES = {
    "median": Aggregation(CoordinateMedian()),
    "lockdown": Aggregation(Lockdown(), IsolatedSubspace(0.5, 0.2)),
    "do-nothing": DoNothing(),
}


def cells(defences, rates=(0.0, RATE), parties=PARTIES, least=0.0):
    return federated(
        {"digits": Task("digits", train=160, test=60)}, {"four": parties}, {"badnets": PATCH},
        defences, rates=rates, seeds=(0,), network="resnet9:2", rules=Rules(min_asr=least),
    )  # fmt: skip


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    return Swept(cells(DEFENCES), tmp_path_factory.mktemp("federated"))


def weight(swept, *cell, **axes):
    """The last layer of the model of a cell."""
    tensors = swept.store.output(swept.end(*cell, **axes).defended.model.key).tensors
    return [value for name, value in tensors.items() if name.endswith("weight")][-1]


def test_every_cell_is_judged_and_says_what_it_cost(swept):
    for name in ("none", *DEFENCES):
        record = swept(name)
        assert record.status == "done", record.why
        assert {"accuracy", "asr"} <= set(record.metrics)
        assert record.cell["task"] == "digits, four"
    assert swept("lockdown").cost["forward"] > 0


def test_a_repair_is_given_the_model_of_the_plain_mean(swept):
    assert swept("do-nothing").value("asr") == swept("none").value("asr")
    assert not torch.equal(weight(swept, "median"), weight(swept, "none"))


def test_who_ranks_clients_is_scored_by_how_attackers_rank(swept):
    assert 0 <= swept("lockdown").value("naming_auroc") <= 1
    assert "naming_auroc" not in swept("median").metrics, "it names nobody"
    assert "naming_auroc" not in swept("lockdown", rate=0.0).metrics


def test_without_attackers_it_is_the_clean_twin(swept):
    assert swept("none", rate=0.0).status == "done"
    assert not torch.equal(weight(swept, "none", rate=0.0), weight(swept, "none"))


def test_an_attack_that_does_not_take_under_the_plain_mean_is_void(tmp_path):
    strict = Swept(cells({"median": DEFENCES["median"]}, (RATE,), least=1.01), tmp_path)
    assert strict("median").status == "void"


def test_an_attacker_who_is_another_one_shares_nothing_but_the_data():
    one, other = (
        build_chain(cells({}, (RATE,), replace(PARTIES, by=by))[0])
        for by in (PARTIES.by, FixMask())
    )
    assert one.undefended.model.key != other.undefended.model.key
    assert isinstance(one.undefended.model, Federate)
    assert one.poison.data == other.poison.data


@pytest.mark.parametrize(
    "defence, parties, says",
    [
        (Constant(), PARTIES, "no server of a federation can"),
        (DoNothing(), replace(PARTIES, attackers=5), "5 attackers among 4 clients"),
    ],
)
def test_what_means_nothing_for_a_federation_is_refused(defence, parties, says):
    with pytest.raises(MethodError, match=says):
        build_chain(cells({"other": defence}, (RATE,), parties)[1])
