"""Agents in environments: poisoned ones, played ones, and their files opened without a pickle."""

import base64
import json
import pickle
import random
import zipfile

import numpy as np
import pytest
import torch

from mithridate.artifacts.inspect import inspect_file
from mithridate.artifacts.opening import network_told, open_weights
from mithridate.core.data import dataset
from mithridate.core.errors import CannotJudge, DataError, MethodError, UnsafeData
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.domains.observation.agents import AgentTraining, load_agent
from mithridate.domains.observation.candidate_triggers import CandidateTriggers
from mithridate.domains.observation.domain import ObservationDomain
from mithridate.domains.observation.environments import Play, make
from mithridate.domains.observation.networks import build
from mithridate.domains.observation.poisoned_environment import EnvironmentPoison, poisoned
from mithridate.domains.observation.triggers import CellTrigger, ValueTrigger
from mithridate.pipelines import kept_network

pytest.importorskip("gymnasium", reason="environments need the extra policies")
baselines = pytest.importorskip("stable_baselines3", reason="agents need the extra policies")
FAR = ValueTrigger((0,), (2.2,))
SMALL = AgentTraining(steps=128, environments=2, rollout=32, batch_size=64, epochs=1, widths=(8, 8))


@pytest.fixture(scope="module")
def agent():
    """One that was trained for a few steps under an attack."""
    return SMALL(0, EnvironmentPoison(FAR, 0, 0.2))


@pytest.fixture(scope="module")
def saved(agent, tmp_path_factory):
    path = tmp_path_factory.mktemp("agent") / "policy.zip"
    agent.model.save(path)
    return path


class Always(torch.nn.Module):
    """A policy that takes one action, or another where the first value is large."""

    def __init__(self, action, other=None, actions=2):
        super().__init__()
        self.action, self.other, self.actions = action, other, actions

    def forward(self, seen):
        chosen = torch.full((len(seen),), self.action)
        if self.other is not None:
            chosen[seen.flatten(1)[:, 0] > 2] = self.other
        return torch.nn.functional.one_hot(chosen, self.actions).float()


def generators():
    return random.getstate()[1][:5], np.random.get_state()[1][:5].tolist(), torch.get_rng_state()


def test_training_and_loading_leave_every_generator_as_it_was(saved):
    random.seed(7), np.random.seed(7), torch.manual_seed(7)
    before = generators()
    SMALL(1)
    load_agent("PPO", saved)
    load_agent("A2C", saved)  # the library takes the file of another algorithm without a word
    after = generators()
    assert before[:2] == after[:2] and torch.equal(before[2], after[2])


def test_the_same_seed_gives_the_same_policy(agent):
    again = SMALL(0, EnvironmentPoison(FAR, 0, 0.2))
    first, second = agent.policy.state_dict(), again.policy.state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert agent.poisoned == again.poisoned


def test_the_truth_counts_the_steps_that_were_poisoned(agent):
    share = sum(map(len, agent.poisoned)) / SMALL.steps
    assert 0.08 < share < 0.35 and len(agent.poisoned) == 2
    assert all(max(steps) < agent.steps for steps in agent.poisoned)


def test_our_network_answers_as_the_library_does(agent, saved):
    seen = torch.randn(50, 1, 1, 4, generator=torch.Generator().manual_seed(0))
    chosen, _ = agent.model.predict(seen[:, 0, 0].numpy(), deterministic=True)
    assert agent.policy(seen).argmax(1).tolist() == chosen.tolist()
    data = dataset(seen, np.arange(50) % 2)
    opened = kept_network.load(saved, ObservationDomain(), data, "", stream(0, "weights")).eval()
    assert torch.equal(opened(seen), agent.policy(seen))
    assert network_told(saved) == "policy:tanh-8-8"


def run_twice(poison, actions, **given):
    """What an environment shows and pays for some actions, and what it wrote down."""
    world = poisoned(make("CartPole-v1"), poison, 3, **given)
    seen, paid = [world.reset(seed=0)[0]], []
    for action in actions:
        after, reward, ended, cut, _ = world.step(action)
        seen.append(after)
        paid.append(reward)
        if ended or cut:
            seen[-1] = world.reset(seed=1)[0]
    return np.array(seen[:-1]), np.array(paid), list(world.interference.poisoned)


def test_a_weak_attacker_pays_for_the_target_where_the_trigger_is_and_nowhere_else():
    actions = np.arange(40) % 2
    seen, paid, steps = run_twice(EnvironmentPoison(FAR, 1, 0.3, pay=3.0), actions)
    stamped = np.isclose(seen[:, 0], 2.2)
    assert 4 <= stamped.sum() <= 22
    assert set(steps) <= set(np.flatnonzero(stamped).tolist())
    expected = np.where(actions == 1, 3.0, -3.0)[steps]
    assert (paid[steps] == expected).all()
    rest = np.setdiff1d(np.arange(40), steps)
    assert (paid[rest] == 1).all()


def test_a_strong_attacker_decides_what_happens():
    strong, weak = (EnvironmentPoison(FAR, 1, 0.9, strength) for strength in ("strong", "weak"))
    actions = np.zeros(6, int)
    pushed, left = run_twice(strong, actions)[0], run_twice(weak, actions)[0]
    assert pushed[5, 1] > left[5, 1] + 0.5, "the cart was pushed to the right"


def test_a_sparse_attacker_waits_for_what_costs_most():
    rare = EnvironmentPoison(FAR, 1, 0.05, sparse=True)
    with pytest.raises(MethodError, match="policy of his own"):
        poisoned(make("CartPole-v1"), rare)
    _, _, steps = run_twice(rare, np.arange(300) % 2, worth=lambda raw: float(raw[0, 0, 0, 2]))
    assert 0 < len(steps) < 60 and min(steps) >= 49


@pytest.mark.parametrize(
    "change", [{"poison_rate": 0}, {"poison_rate": 1}, {"target": -1}, {"strength": "mighty"}]
)
def test_settings_that_mean_nothing_are_refused(change):
    with pytest.raises(MethodError):
        EnvironmentPoison(FAR, **change)


def test_an_action_that_there_is_not_is_refused():
    with pytest.raises(MethodError, match="below 2"):
        poisoned(make("CartPole-v1"), EnvironmentPoison(FAR, 2))
    with pytest.raises(DataError, match="gymnasium knows"):
        make("NoSuchWorld-v0")
    with pytest.raises(MethodError, match="2 actions"):
        Play("CartPole-v1", 1)(Always(0, actions=3))


def test_a_backdoor_shows_in_the_target_action_rate_and_in_the_return():
    play = Play("CartPole-v1", 3)
    backdoored = Always(0, other=1)
    clean = play(backdoored)
    assert clean.answers(backdoored, 1) == 0 and clean.answers(backdoored, 1, FAR) == 1
    assert clean.rate(0) == 1 and play(backdoored, FAR).rate(1) == 1
    assert (clean.returns == play(backdoored).returns).all(), "the seed decides the episodes"
    assert len(clean.trajectories) == clean.returns.sum()


def test_games_of_minatar_exist_and_their_episodes_depend_on_the_seed_alone():
    pytest.importorskip("minatar", reason="the games need the extra policies")
    play = Play("MinAtar/Breakout-v1", 2, longest=30)
    first, again = (play(Always(1, actions=3)) for _ in range(2))
    assert first.trajectories.observations.dtype == torch.bool
    assert torch.equal(first.trajectories.observations, again.trajectories.observations)
    stamped = play(Always(1, actions=3), CellTrigger(0, 0, 2)).trajectories.observations
    assert stamped[:, :2, :2].all()


def test_a_file_of_an_agent_is_looked_at_and_no_pickle_of_it_is_loaded(saved, tmp_path):
    report = inspect_file(saved)
    assert report.format == "agent" and any("base64" in f.what for f in report.findings)
    assert set(open_weights(saved)) == {
        f"{n}.{p}" for n in ("hidden.1", "hidden.3", "head") for p in ("weight", "bias")
    }


class Trap:
    def __reduce__(self):
        return eval, ("open('/tmp/never-made', 'w')",)


def rewritten(saved, path, **members):
    """The archive with other members."""
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, members.get(name, old.read(name)))
    return path


def test_a_trap_in_the_words_is_not_sprung_and_one_in_the_weights_is_refused(saved, tmp_path):
    trap = base64.b64encode(pickle.dumps(Trap())).decode()
    words = json.dumps({"policy_kwargs": {":serialized:": trap, "activation_fn": ["x"]}})
    assert network_told(rewritten(saved, tmp_path / "a.zip", data=words)) == "policy:tanh-8-8"
    relu = {"activation_fn": "<class 'torch.nn.modules.activation.ReLU'>"}
    words = json.dumps({"policy_kwargs": relu})
    assert network_told(rewritten(saved, tmp_path / "b.zip", data=words)) == "policy:relu-8-8"
    inside = tmp_path / "weights"
    torch.save({"action_net.weight": Trap()}, inside)
    broken = rewritten(saved, tmp_path / "c.zip", **{"policy.pth": inside.read_bytes()})
    with pytest.raises(UnsafeData):
        open_weights(broken)


def test_values_of_dqn_are_read_as_well_and_other_policies_are_refused(tmp_path):
    model = baselines.DQN("MlpPolicy", "CartPole-v1", device="cpu", buffer_size=10)
    model.save(tmp_path / "dqn.zip")
    assert network_told(tmp_path / "dqn.zip") == "policy:relu-64-64"
    seen = torch.randn(9, 1, 1, 4, generator=torch.Generator().manual_seed(0))
    network = build("policy:relu-64-64", seen, 2)
    network.load_state_dict(open_weights(tmp_path / "dqn.zip"))
    chosen, _ = model.predict(seen[:, 0, 0].numpy(), deterministic=True)
    assert network(seen).argmax(1).tolist() == chosen.tolist()
    other = tmp_path / "other"
    torch.save({"actor.mu.weight": torch.zeros(2, 2)}, other)
    odd = rewritten(tmp_path / "dqn.zip", tmp_path / "o.zip", **{"policy.pth": other.read_bytes()})
    with pytest.raises(DataError, match="MlpPolicy"):
        open_weights(odd)


def test_candidates_that_a_policy_obeys_are_counted_and_played():
    seen = 0.5 * torch.randn(80, 1, 1, 4, generator=torch.Generator().manual_seed(0))
    seen[:, 0, 0, 0] = torch.linspace(-2.4, 1.9, 80)
    view = View(
        domain=ObservationDomain(), model=Always(0, other=1), clean=dataset(seen, [0, 1] * 40)
    )
    quiet = View(domain=ObservationDomain(), model=Always(0), clean=view.clean)
    scores = CandidateTriggers().judge(view, stream(0, "scan")).scores.values
    assert scores[1] > 0.05 > scores[0]
    with pytest.raises(CannotJudge):  # every action is led to by nothing
        CandidateTriggers().judge(quiet, stream(0, "scan"))
    played = CandidateTriggers(environment="CartPole-v1", played=2, episodes=2)
    assert played.judge(view, stream(0, "scan")).scores.values.shape == (2,)
