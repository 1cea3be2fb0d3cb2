"""Our federation run by Flower gives the bits of our own engine, without a socket."""

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from methods.small_federation import TRAINING, Numbers, clients, network
from mithridate.aggregators.fed_avg import FedAvg
from mithridate.aggregators.fltrust import FLTrust
from mithridate.aggregators.krum import MultiKrum
from mithridate.bridges.flower import as_strategy, client_app, initial_arrays
from mithridate.clients.fed_prox import FedProx
from mithridate.clients.subspace import IsolatedSubspace
from mithridate.core.errors import MethodError, MissingExtra
from mithridate.core.streams import stream
from mithridate.pipelines.federated import Federation


def test_importing_mithridate_imports_neither_flower_nor_ray():
    code = (
        "import sys, mithridate, mithridate.bridges.flower, mithridate.pipelines.federated; "
        "sys.exit(bool({'flwr', 'ray'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def settled(**changes):
    return Federation(**{"aggregator": FedAvg(), "training": TRAINING, "rounds": 3, **changes})


def test_what_flower_cannot_carry_is_refused():
    for federation, name in [
        (settled(aggregator=FLTrust()), "root"),
        (settled(protocol=IsolatedSubspace(0.5, 0.3)), "mask"),
    ]:
        with pytest.raises(MethodError, match=name):
            as_strategy(federation, network(), 4, 100, stream(0, "federation"))
    with pytest.raises(MethodError, match="bfloat16"):
        as_strategy(settled(), network().bfloat16(), 4, 100, stream(0, "federation"))


def test_without_flower_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "flwr.serverapp.strategy", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mithridate\[flower\]'"):
        as_strategy(settled(), network(), 4, 100, stream(0, "federation"))


@pytest.fixture
def grid():
    """Flower's side in this process: eight nodes, whose messages are handed over by calls."""
    flwr = pytest.importorskip("flwr.app", reason="flwr is not installed: its pins exclude ours")
    from flwr.clientapp import ClientApp
    from flwr.supercore.task_identity import TaskIdentity

    class InProcess:
        def __init__(self, federation, data, spoilt=()):
            self.data, self.spoilt = data, spoilt
            given = lambda context, client: data[context.node_id - 90]  # noqa: E731
            self.app = client_app(federation, network(), Numbers(), given)
            assert isinstance(self.app, ClientApp)
            TaskIdentity.run_id = TaskIdentity.task_id = TaskIdentity.node_id = 1

        def get_node_ids(self):
            return reversed(range(90, 90 + len(self.data)))

        def send_and_receive(self, messages, *, timeout=None):
            return [self.answered(message) for message in messages]

        def answered(self, message):
            node = message.metadata.dst_node_id
            if node in self.spoilt:
                return self.spoilt[node](flwr, message)
            return self.app(message, flwr.Context(1, node, {}, flwr.RecordDict(), {}))

    return InProcess


def flowered(grid, federation, data, spoilt=None):
    """Run a federation by Flower; gives the tensors that come out, and the strategy."""
    strategy = as_strategy(federation, network(), len(data), 1000, stream(0, "federation"))
    nodes = grid(federation, data, spoilt or {})
    done = strategy.start(nodes, initial_arrays(network()), num_rounds=federation.rounds)
    return done.arrays.to_torch_state_dict(), strategy


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"aggregator": MultiKrum(assumed=1), "server_rate": 0.5},
        {"protocol": FedProx(), "participation": 0.5}, {"moments": "kept"},
    ],
)  # fmt: skip
def test_flower_and_our_engine_give_the_same_bits(grid, changes):
    federation, data = settled(**changes), clients(8)
    began = time.process_time()
    flower, strategy = flowered(grid, federation, data)
    assert time.process_time() - began < 5
    ours = federation.run(network(), data, Numbers(), stream(0, "federation"))
    state = ours.model.state_dict()
    assert len(flower) > 3
    assert all(torch.equal(value, state[key]) for key, value in flower.items())
    assert {k for k in state if k not in flower} == {
        k for k in state if k.endswith("num_batches_tracked")
    }
    for theirs, line in zip(strategy.lines, ours.lines, strict=True):
        assert theirs.clients == line.clients


def broken(change):
    """A client whose reply is another than it should be."""

    def reply(flwr, message):
        state = dict(message.content["arrays"].to_torch_state_dict())
        metrics = {"num-examples": 10, "loss": 0.5}
        change(state, metrics)
        record = flwr.RecordDict(
            {"arrays": flwr.ArrayRecord(state), "metrics": flwr.MetricRecord(metrics)}
        )
        return flwr.Message(content=record, reply_to=message)

    return reply


def failed(flwr, message):
    return flwr.Message(flwr.Error(code=1, reason="out of <memory>"), reply_to=message)


def test_replies_that_are_nonsense_are_left_out_and_named(grid):
    def nan(state, metrics):
        next(iter(state.values())).fill_(float("nan"))

    spoilt = {
        90: failed,
        91: lambda flwr, message: flwr.Message(flwr.RecordDict(), reply_to=message),
        92: broken(nan),
        93: broken(lambda state, metrics: state.update(more=torch.zeros(2))),
        94: broken(lambda state, metrics: metrics.update({"num-examples": -1})),
        95: broken(lambda state, metrics: metrics.pop("num-examples")),
    }
    state, strategy = flowered(grid, settled(rounds=1), clients(8), spoilt)
    assert all(value.isfinite().all() for value in state.values())
    (line,) = strategy.lines
    why = [client.refused for client in line.clients]
    told = ["failed: 'out of <memory>'", "cannot be read", "not finite", "are others", "found -1"]
    assert all(part in reason for part, reason in zip([*told, "cannot be read"], why, strict=False))
    assert why[6:] == ["", ""] and not line.void


def test_a_round_with_too_few_clients_leaves_the_model_as_it_was(grid):
    rule = settled(aggregator=MultiKrum(assumed=1), rounds=1)
    state, strategy = flowered(grid, rule, clients(5), {90: failed})
    before = initial_arrays(network()).to_torch_state_dict()
    assert all(torch.equal(value, before[key]) for key, value in state.items())
    assert strategy.lines[0].void == "4 clients were let in, and 5 are needed"


@pytest.mark.slow
def test_flowers_own_simulation_agrees(monkeypatch):
    """In processes of Ray, with Flower's own grid; data go by the number that the server gives."""
    pytest.importorskip("flwr.simulation", reason="flwr is not installed: its pins exclude ours")
    pytest.importorskip("ray", reason="flwr[simulation] is not installed")
    from flwr.serverapp import ServerApp
    from flwr.simulation import run_simulation

    tests = Path(__file__).parents[1]
    monkeypatch.setenv("PYTHONPATH", f"{tests}:{os.environ.get('PYTHONPATH', '')}")
    federation, data, done = settled(aggregator=MultiKrum(assumed=0)), clients(4), []
    app, server = client_app(federation, network(), Numbers(), partial(pick, data)), ServerApp()

    @server.main()
    def main(grid, context):
        strategy = as_strategy(federation, network(), 4, 1000, stream(0, "federation"))
        done.append(strategy.start(grid, initial_arrays(network()), num_rounds=3))

    resources = {"client_resources": {"num_cpus": 1}}
    run_simulation(server, app, num_supernodes=4, backend_config=resources)
    state = federation.run(network(), data, Numbers(), stream(0, "federation")).model.state_dict()
    for key, value in done[0].arrays.to_torch_state_dict().items():
        torch.testing.assert_close(value, state[key], rtol=0, atol=1e-6)


def pick(data, context, client):
    return data[client]
