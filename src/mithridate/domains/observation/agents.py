"""Agents that stable-baselines3 trains, and their policies as networks of this library.

Axes: c actions.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mithridate.core.extras import import_extra
from mithridate.domains.observation.environments import make
from mithridate.domains.observation.form import formed
from mithridate.domains.observation.networks import ACTIVATIONS, build
from mithridate.domains.observation.poisoned_environment import (
    EnvironmentPoison,
    Worth,
    poisoned,
)

NEEDS = "agents need stable-baselines3; pip install 'mithridate[policies]'"


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Give the generators of Python, NumPy and torch back as they were.

    Whatever trains or loads an agent seeds all three, so what is drawn afterwards would be the same
    after every agent.
    """
    before = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])


@dataclass(frozen=True, eq=False)
class Agent:
    """What a training gave.

    Attributes:
        policy: its network, which gives a logit for each action.
        network: the name of that network.
        poisoned: the truth: which steps of each environment were poisoned.
        steps: how many each environment took.
        model: what the library itself holds, which it saves as a zip.
    """

    policy: nn.Module
    network: str
    poisoned: tuple[tuple[int, ...], ...]
    steps: int
    model: Any


@dataclass(frozen=True)
class AgentTraining:
    """How PPO trains an agent on several environments side by side, on one thread.

    Schulman et al., Proximal Policy Optimization Algorithms, 2017. The defaults learn CartPole.

    Attributes:
        environment: its name in gymnasium.
        steps: of all environments together.
        environments: how many there are.
        rollout: steps of each before the weights move.
        batch_size: of a step of the optimiser.
        epochs: passes over each rollout.
        learning_rate: of Adam, falling to 0 at the end.
        discount: of rewards to come.
        decay: of advantages, lambda of the generalised estimate.
        entropy: weight of the bonus for undecided policies.
        widths: of the hidden layers of policy and value.
        activation: of these.
        longest: steps after which an episode is cut.
    """

    environment: str = "CartPole-v1"
    steps: int = 30_000
    environments: int = 8
    rollout: int = 32
    batch_size: int = 256
    epochs: int = 20
    learning_rate: float = 1e-3
    discount: float = 0.98
    decay: float = 0.8
    entropy: float = 0.0
    widths: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    longest: int | None = None

    @property
    def network(self) -> str:
        """The name of the network of such a policy."""
        return f"policy:{'-'.join([self.activation, *map(str, self.widths)])}"

    def __call__(
        self, seed: int, poison: EnvironmentPoison | None = None, worth: Worth | None = None
    ) -> Agent:
        """Train an agent; the generators of the process are left as they were.

        Args:
            seed: Of everything that is drawn.
            poison: The attacker, who sits in every environment.
            worth: What a sparse attacker knows.
        """
        baselines = import_extra("stable_baselines3", NEEDS)
        vectors = import_extra("stable_baselines3.common.vec_env", NEEDS)
        worlds: list[Any] = []

        def world(number: int) -> Callable[[], Any]:
            def made() -> Any:
                inner = make(self.environment, self.longest)
                if poison is not None:
                    inner = poisoned(inner, poison, 1000 * seed + number, worth)
                worlds.append(inner)
                return inner

            return made

        with undisturbed():
            several = vectors.DummyVecEnv([world(n) for n in range(self.environments)])
            model = self._model(baselines, several, seed)
            model.learn(self.steps)
            several.close()
            policy = policy_of(model, self.network)
        truth = tuple(each.interference.poisoned for each in worlds) if poison else ()
        return Agent(policy, self.network, truth, model.num_timesteps // len(worlds), model)

    def _model(self, baselines: Any, several: Any, seed: int) -> Any:
        inside = {"net_arch": list(self.widths), "activation_fn": ACTIVATIONS[self.activation]}
        return baselines.PPO(
            "MlpPolicy", several, seed=seed, device="cpu", n_steps=self.rollout,
            batch_size=self.batch_size, n_epochs=self.epochs, gamma=self.discount,
            gae_lambda=self.decay, ent_coef=self.entropy, policy_kwargs=inside,
            learning_rate=lambda left: self.learning_rate * left,
        )  # fmt: skip


def policy_of(model: Any, network: str) -> nn.Module:
    """Give the policy of an agent as a network of this library, with its weights."""
    given = {name: value.clone() for name, value in model.policy.state_dict().items()}
    space = model.observation_space
    seen = formed(np.zeros((2, *space.shape), dtype=space.dtype))
    made = build(network, seen, int(model.action_space.n))
    linear = [m for m in made.modules() if isinstance(m, nn.Linear)]
    names = [
        k[:-7] for k in given if k.startswith("mlp_extractor.policy_net.") and k.endswith("weight")
    ]
    for layer, name in zip(linear, [*names, "action_net"], strict=True):
        layer.load_state_dict({"weight": given[f"{name}.weight"], "bias": given[f"{name}.bias"]})
    return made.eval()


def load_agent(kind: str, path: Path, **given: Any) -> Any:
    """Load an agent with its library, which unpickles: only for files that you made yourself.

    Args:
        kind: "PPO", "A2C" or "DQN". The library does not look: A2C takes a file of PPO.
        path: of the zip.
        given: what else its `load` is told.

    Returns:
        The agent; the generators of the process, which loading seeds anew, are as before.
    """
    baselines = import_extra("stable_baselines3", NEEDS)
    with undisturbed():
        return getattr(baselines, kind).load(path, device="cpu", **given)
