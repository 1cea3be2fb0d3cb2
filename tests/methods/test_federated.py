"""The engine of a federation against the one training loop, stopped, in parts, and lied to."""

import json
from dataclasses import dataclass, replace

import pytest
import torch

from methods.small_federation import TRAINING, Numbers, clients, federate, network, same
from mithridate.aggregators.fed_avg import FedAvg
from mithridate.clients.data_poisoning import DataPoisoning
from mithridate.clients.fed_prox import FedProx
from mithridate.clients.subspace import IsolatedSubspace
from mithridate.core.clients import ClientAttack
from mithridate.core.errors import MethodError
from mithridate.core.federated import Aggregated, Aggregator
from mithridate.core.fit import fit
from mithridate.core.flat import FlatForm
from mithridate.core.streams import stream
from mithridate.core.training_run import TrainingRun
from mithridate.pipelines.federated import Federation
from mithridate.pipelines.federation_lines import ClientLine, RoundLine, doubts, excesses


def test_one_client_and_one_round_are_one_training():
    """The client trains bit for bit; the server adds its update, which float32 rounds once."""
    (data,), model, form = clients(1), network(), FlatForm.of(network())
    result = federate([data], rounds=1)
    seed = int(stream(0, "federation").integers(2**62))
    alone = fit(model, data, Numbers(), TRAINING, stream(seed, "round", 0, "client", 0))
    start, mine = (form.flatten(m.state_dict()) for m in (network(), alone.model))
    there = form.flatten(result.model.state_dict())
    assert torch.equal(there, start + (mine - start))
    torch.testing.assert_close(there, mine, rtol=0, atol=2**-24)
    moments = form.moments_of(alone.model.state_dict())
    assert torch.equal(form.moments_of(result.model.state_dict()), moments)


class Stopped(Exception):
    pass


@pytest.mark.parametrize("protocol", [FedProx(), IsolatedSubspace(0.5, 0.3)])
def test_a_stopped_federation_goes_on_with_the_same_bits(protocol, tmp_path):
    def stop(done, total):
        if done == 2:
            raise Stopped

    settings = {"protocol": protocol, "rounds": 4, "participation": 0.75}
    straight = federate(**settings)
    with pytest.raises(Stopped):
        federate(run=TrainingRun(checkpoint=tmp_path, progress=stop), **settings)
    seen = []
    run = TrainingRun(checkpoint=tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert same(federate(run=run, **settings), straight)
    assert seen == [(3, 4), (4, 4)]
    other = {**settings, "server_rate": 0.5}
    run = TrainingRun(checkpoint=tmp_path)
    assert same(federate(run=run, **other), federate(**other)), "that of another is passed over"
    (kept,) = tmp_path.iterdir()
    whole = kept.read_bytes()
    for torn in (b"", whole[:100], b"\xff" * 300, whole[:-40]):
        kept.write_bytes(torn)
        run = TrainingRun(checkpoint=tmp_path)
        assert same(federate(run=run, **settings), straight), "so is a damaged one"


def test_what_a_federation_is_known_by_holds_no_place_in_memory():
    usual = Federation(FedAvg())
    assert repr(usual) == repr(Federation(FedAvg())) and " at 0x" not in repr(usual)
    assert json.dumps(usual.protocol.config())


def test_the_order_in_which_clients_train_changes_nothing():
    """An attacker trains after the others; one that attacks nothing is like an honest client."""
    assert same(federate(attackers={0: DataPoisoning(), 2: DataPoisoning()}), federate())


def test_a_part_of_the_clients_is_asked_anew_in_each_round():
    lines = federate(clients(6), participation=0.5, rounds=6).lines
    asked = [tuple(c.client for c in line.clients) for line in lines]
    assert all(len(each) == 3 for each in asked)
    assert len(set(asked)) > 2


@dataclass(frozen=True)
class Nonsense(ClientAttack):
    """Planted: sends what is no number."""

    def submit(self, update, known, rng):
        return update * float("nan")


def test_a_client_that_sends_nonsense_is_named_and_the_round_goes_on():
    result = federate(attackers={1: Nonsense()})
    for line in result.lines:
        told = {c.client: c.refused for c in line.clients}
        assert "not finite" in told.pop(1) and not any(told.values())
        assert not line.void
    assert doubts(result.lines) == {}, "that of one and no other is no ranking of clients"
    start = FlatForm.of(network()).flatten(network().state_dict())
    assert not torch.equal(FlatForm.of(network()).flatten(result.model.state_dict()), start)


@dataclass(frozen=True)
class Needy(Aggregator):
    """Planted: needs three clients and trusted data."""

    needs = frozenset({"root"})

    def least(self):
        return 3

    def step(self, state, seen):
        assert seen.root is not None and seen.root.any()
        return Aggregated(seen.updates.mean(0), state, torch.ones(len(seen.ids)))


def test_too_few_clients_leave_the_model_as_it_was():
    attackers = {0: Nonsense(), 1: Nonsense()}
    result = federate(attackers=attackers, aggregator=Needy(), root=clients(1)[0])
    assert [line.void for line in result.lines] == ["2 clients were let in, and 3 are needed"] * 3
    for name, value in network().state_dict().items():
        assert torch.equal(value, result.model.state_dict()[name])
    whole = federate(aggregator=Needy(), root=clients(1)[0])
    assert {c.trust for line in whole.lines for c in line.clients} == {1.0}


@pytest.mark.parametrize(
    "settings, says",
    [
        ({"rounds": 0}, "1 round or more"),
        ({"participation": 0.0}, r"in \(0, 1\]"),
        ({"attackers": {9: DataPoisoning()}}, r"clients 0..3, found \[9\]"),
        ({"aggregator": Needy(), "participation": 0.5}, "at least 3 clients in a round, and 2"),
        ({"aggregator": Needy()}, "needs trusted data"),
        ({"server_rate": float("inf")}, "server_rate above 0"),
        ({"data": []}, "needs clients"),
    ],
)
def test_what_cannot_be_run_is_refused(settings, says):
    with pytest.raises(MethodError, match=says):
        federate(**settings)


def test_what_is_looked_at_is_kept_for_each_form_of_the_model():
    def look(model, number):
        assert not model.training
        return {"weight": float(model[0].weight.detach().abs().sum())} if number == 2 else {}

    plain, isolated = federate(look=look), federate(look=look, protocol=IsolatedSubspace(0.5, 0.1))
    assert [set(line.seen) for line in plain.lines] == [set(), set(), {"model"}]
    seen = isolated.lines[-1].seen
    assert seen["fused"]["weight"] < seen["unfused"]["weight"]
    assert plain.unfused is None and isolated.unfused is not None
    assert all(c.overlap is not None for c in isolated.lines[-1].clients)


def test_integers_stay_the_servers_and_moments_are_a_choice():
    start = network().state_dict()
    kept, mean = federate(moments="kept"), federate()
    for result in (kept, mean):
        counter = result.model.state_dict()["1.num_batches_tracked"]
        assert counter.dtype == torch.int64 and counter == start["1.num_batches_tracked"]
    assert torch.equal(kept.model.state_dict()["1.running_mean"], start["1.running_mean"])
    assert not torch.equal(mean.model.state_dict()["1.running_mean"], start["1.running_mean"])


def test_a_stronger_pull_keeps_clients_nearer():
    def norms(strength):
        lines = federate(protocol=FedProx(strength), rounds=1).lines
        return sum(c.norm for c in lines[0].clients)

    assert norms(5.0) < norms(0.5) < norms(0.0)
    assert norms(0.0) == pytest.approx(sum(c.norm for c in federate(rounds=1).lines[0].clients))


CERTAIN = (ClientLine(0, trust=1.0), ClientLine(1, trust=0.5))


def test_doubt_is_the_mean_rank_of_suspicion():
    lines = [
        RoundLine(0, tuple(ClientLine(c, trust=t) for c, t in enumerate((1.0, 0.0, 0.5)))),
        RoundLine(1, (*CERTAIN, ClientLine(2, "nonsense"))),
        RoundLine(2, (ClientLine(0), ClientLine(1), ClientLine(2))),
    ]  # fmt: skip
    assert doubts(lines) == {0: 0.0, 1: 0.75, 2: 0.75}
    assert RoundLine.read(lines[1].plain()) == lines[1]


def test_excess_is_how_far_a_client_stands_out_from_the_median_of_its_rounds():
    def line(*suspicions):
        return RoundLine(0, tuple(ClientLine(c, suspicion=s) for c, s in enumerate(suspicions)))

    assert excesses([line(0.0, 1.0, 2.0, 3.0, 9.0)]) == {0: -2.0, 1: -1.0, 2: 0.0, 3: 1.0, 4: 7.0}
    assert excesses([line(0.5, 0.5, 0.5)] * 2) == {0: 0.0, 1: 0.0, 2: 0.0}
    alike = excesses([line(0.0, 0.0, 0.0, 1.0)])
    assert alike[0] == 0.0 and alike[3] > 2, "by the standard deviation"
    assert excesses([RoundLine(0, (ClientLine(0), ClientLine(1)))]) == {}


def test_the_same_settings_give_the_same_bits_twice():
    assert same(federate(), federate())
    assert not same(federate(), federate(aggregator=FedAvg(), training=replace(TRAINING, epochs=2)))
