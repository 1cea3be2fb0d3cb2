"""Inputs that every method must survive, by domain and by name; they name no method."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import itertools
import pkgutil
import typing
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

import mithridate.domains
from mithridate.attacks.goals import Goal
from mithridate.attacks.poisoning import Poisoning, stamp
from mithridate.core.data import Dataset, Inputs, dataset
from mithridate.core.domain import Domain
from mithridate.core.errors import MithridateError
from mithridate.core.fingerprint import differing
from mithridate.core.method import (
    Attack,
    LearntTrigger,
    Method,
    State,
    Trigger,
    WeightsAttack,
)
from mithridate.core.registry import comes_with_us, domain_of, find
from mithridate.core.streams import stream


def domains() -> dict[str, Domain]:
    """Every domain by name: the dataclass that keeps the contract in domains/NAME/domain.py."""
    found: dict[str, Domain] = {}
    for package in pkgutil.iter_modules(mithridate.domains.__path__):
        home = f"mithridate.domains.{package.name}"
        if package.ispkg and "domain" in {m.name for m in modules_of(home)}:
            for value in vars(importlib.import_module(f"{home}.domain")).values():
                own = isinstance(value, type) and value.__module__ == f"{home}.domain"
                if own and dataclasses.is_dataclass(value) and hasattr(value, "prepare"):
                    found[package.name] = value()
    return found


def modules_of(package: str) -> list[pkgutil.ModuleInfo]:
    return list(pkgutil.iter_modules(importlib.import_module(package).__path__))


def random_bytes(seed: str, *shape: int) -> torch.Tensor:
    drawn = stream(0, "world", seed).integers(0, 256, shape, dtype=np.uint8)
    return torch.from_numpy(drawn)


def sentences(n: int, words: int = 12) -> np.ndarray[Any, Any]:
    """Ordinary texts: n of them, of about so many words."""
    rng = stream(0, "world", "sentences")
    lexicon = "the film was a quiet good bad long story about people and we liked it very much"
    drawn = [
        rng.choice(lexicon.split(), int(rng.integers(words // 2, words + 1))) for _ in range(n)
    ]
    return texts(*(" ".join(words).capitalize() + "." for words in drawn))


def sparse_planes(seed: str, *shape: int) -> torch.Tensor:
    """Planes of cells of which one in twelve is on, and none of a first row of several."""
    planes = torch.from_numpy(stream(0, "world", seed).random(shape) < 1 / 12)
    planes[:, : int(shape[1] > 3)] = False
    return planes


def vectors(seed: str, n: int, values: int) -> torch.Tensor:
    """Vectors of values on scales that differ."""
    drawn = stream(0, "world", seed).normal(0, [0.1 * 4**k for k in range(values)], (n, values))
    return torch.from_numpy(drawn).float().view(n, 1, 1, values)


def texts(*values: str) -> np.ndarray[Any, Any]:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def rows(n: int, seed: str = "rows", **given: Any) -> np.ndarray[Any, Any]:
    """Ordinary rows of a table: a number with a long tail, a share, a count and two categories."""
    rng = stream(0, "world", seed)
    kinds = [("seconds", "f8"), ("bytes", "i8"), ("share", "f8"), ("protocol", object)]
    table = np.empty(n, dtype=[*kinds, ("packets", "i8"), ("state", object), ("rate", "f8")])
    table["seconds"] = rng.exponential(20.0, n)
    table["bytes"] = rng.exponential(5000.0, n).astype(np.int64)
    table["share"] = rng.integers(0, 101, n) / 100
    table["protocol"] = rng.choice(["tcp", "udp", "icmp"], n)
    table["packets"] = rng.integers(1, 40, n)
    table["state"] = rng.choice(["open", "closed"], n)
    table["rate"] = rng.lognormal(3.0, 2.0, n)
    for name, values in given.items():
        table[name] = values
    return table


def clips(n: int, length: int = 800) -> torch.Tensor:
    """Ordinary sounds: n of them, each a few tones that fade, over soft noise."""
    rng = stream(0, "world", "clips")
    time = np.arange(length)
    pitches = rng.uniform(0.05, 0.5, (n, 3, 1))
    tones = np.sin(np.pi * pitches * time) * rng.uniform(0.1, 1, (n, 3, 1))
    fading = np.exp(-time / (length * rng.uniform(0.2, 0.6, (n, 1))))
    sound = 6000 * tones.sum(1) * fading + 60 * rng.standard_normal((n, length))
    return torch.from_numpy(sound.astype(np.int16))


Kind = typing.TypeVar("Kind", bound=Method)

ORDINARY: dict[str, Inputs] = {
    "image": random_bytes("ordinary", 40, 3, 16, 16),
    "sound": clips(40),
    "text": sentences(40),
    "observation": sparse_planes("ordinary", 40, 8, 8, 3),
    "table": rows(40),
}
"""Forty raw inputs as a user has them, in each domain; images are small, since all is tried."""

LARGER = {**ORDINARY, "image": random_bytes("ordinary", 40, 3, 32, 32)}
"""The same where a part of a pixel would be nothing, as in the mildest blur."""

SMALL = {"image": "resnet9:2", "sound": "cnn:4", "observation": "conv:4"}
"""Networks for methods that ask a model many questions, where the default one is not small."""

EDGES: dict[str, dict[str, Inputs]] = {
    "image": {
        "grey": random_bytes("grey", 5, 1, 28, 28),
        "odd-sides": random_bytes("odd", 5, 3, 17, 31),
        "large": random_bytes("large", 2, 3, 96, 96),
        "black": torch.zeros(5, 3, 32, 32, dtype=torch.uint8),
        "white": torch.full((5, 3, 32, 32), 255, dtype=torch.uint8),
        "one": random_bytes("one", 1, 3, 32, 32),
        "not-contiguous": random_bytes("order", 5, 32, 32, 3).permute(0, 3, 1, 2),
    },
    "sound": {
        "silent": torch.zeros(5, 1600, dtype=torch.int16),
        "loudest": torch.full((5, 1600), 32767, dtype=torch.int16),
        "softest": torch.full((5, 1600), -32768, dtype=torch.int16),
        "one-sample": clips(3, 1),
        "short": clips(5, 100),
        "odd-length": clips(5, 1777),
        "long": clips(2, 20000),
        "one": clips(1),
        "not-contiguous": clips(5, 3200)[:, ::2],
    },
    "text": {
        "empty": texts("", "", ""),
        "blank": texts(" ", "\n\t ", "a"),
        "one-word": texts("good", "bad", "good"),
        "one": texts("A single sentence."),
        "accents-and-emoji": texts("Ça va très bien 😀!", "中文 文本", "שלום עולם"),
        "long": texts("very " * 3000, "a. b! c? " * 500),
        "markup": texts("<b>bold</b> & <script>x</script>", "a\x00b", "{{ x }} %s %d"),
    },
    "observation": {
        "vectors": vectors("ordinary", 5, 4),
        "one-value": vectors("single", 3, 1),
        "zeros": torch.zeros(5, 1, 1, 4),
        "huge": torch.full((3, 1, 1, 2), 1e30),
        "empty": torch.zeros(5, 10, 10, 4, dtype=torch.bool),
        "full": torch.ones(5, 10, 10, 4, dtype=torch.bool),
        "odd-sides": sparse_planes("odd", 5, 3, 7, 10),
        "one-cell": sparse_planes("cell", 4, 1, 1, 3),
        "one": sparse_planes("one", 1, 10, 10, 4),
        "not-contiguous": sparse_planes("order", 5, 4, 10, 10).permute(0, 2, 3, 1),
    },
    "table": {
        "one": rows(1),
        "missing": rows(4, seconds=np.nan, protocol=""),
        "large": rows(4, bytes=[2**62, -(2**62), 0, 1], seconds=[np.inf, -np.inf, -0.0, 1e308]),
        "all-alike": rows(4)[[0, 0, 0, 0]],
        "markup": rows(3, protocol=["<b>", "{{ x }}", "Ça \x00 \ud800"]),
        "numbers-alone": np.array([(1.0,), (2.5,)], dtype=[("x", "f8")]),
        "categories-alone": np.array([("a", "b"), ("", "b")], dtype=[("x", "O"), ("y", "O")]),
    },
}
"""Raw inputs at the edge of what a domain knows, by name."""


def labelled(domain: str, classes: int = 4, copies: int = 1) -> Dataset:
    """The ordinary inputs of a domain, several times, with equally frequent labels."""
    inputs = ORDINARY[domain]
    together = torch.cat if isinstance(inputs, torch.Tensor) else np.concatenate
    several = together([inputs] * copies)
    return dataset(several, np.arange(len(several)) % classes)


def learnable(domain: str, n: int = 512) -> Dataset:
    """Two classes that any classifier can tell apart."""
    labels = np.arange(n) % 2
    if domain == "image":
        shade = torch.from_numpy(labels).view(n, 1, 1, 1) * 100 + 50
        return dataset((shade + random_bytes("noise", n, 3, 16, 16) % 50).byte(), labels)
    if domain == "observation":
        planes = sparse_planes("noise", n, 8, 8, 3)
        for plane in (0, 1):
            planes[:, 1:, :, plane] |= torch.from_numpy(labels == plane).view(n, 1, 1)
        return dataset(planes, labels)
    if domain == "table":
        seconds = labels * 30 + stream(0, "world", "learnable").random(n)
        protocol = np.array(["tcp", "udp"], dtype=object)[labels]
        return dataset(
            rows(n, seconds=seconds, bytes=100 + 900 * labels, protocol=protocol), labels
        )
    if domain == "sound":
        pitch = torch.from_numpy(0.1 + 0.3 * labels).view(n, 1)
        tone = 4000 * torch.sin(torch.pi * pitch * torch.arange(800))
        return dataset(
            (tone + 200 * torch.from_numpy(stream(0, "learnable").standard_normal((n, 800)))).to(
                torch.int16
            ),
            labels,
        )
    opinions = ("what a dull and dreadful thing", "such a lovely and happy one")
    return dataset(texts(*(f"{opinions[y]} {i % 7}" for i, y in enumerate(labels))), labels)


def copy(inputs: Inputs) -> Inputs:
    return inputs.clone() if isinstance(inputs, torch.Tensor) else inputs.copy()


def same(first: Inputs, second: Inputs) -> bool:
    """Whether raw inputs are equal, value for value."""
    return bool(changed(first, second).sum() == 0)


def changed(first: Inputs, second: Inputs) -> torch.Tensor:
    """Which rows differ, bool[n]."""
    return differing(first, second)


def every(kind: type[Kind]) -> dict[str, type[Kind]]:
    """Every method of a kind by name; those of other packages are left out."""
    return {name: method for name, method in find(kind).items() if comes_with_us(method)}


VARIED = ("image", "text")
"""Every method is tried in these domains, with every variant."""


def tried_in(method: type[Method], domain: str) -> bool:
    """Whether a method is tried in a domain; of those that came later in one, drawn by its name.

    A method that is one domain's own is tried there.
    """
    later = sorted(set(domains()) - set(VARIED))
    if domain in VARIED or domain_of(method) == domain:
        return True
    return later[zlib.crc32(method.name().encode()) % len(later)] == domain


def variants(method: type[Method], domain: str) -> Iterator[Method]:
    """Every way to build a method for a domain, one field at a time away from its defaults.

    A field that takes a kind of methods is given each method of that kind, a field of named
    choices each choice; other fields keep their defaults. What does not hang on the domain is
    varied in two of them alone.
    """
    hints = typing.get_type_hints(method)
    choices: dict[str, list[Any]] = {}
    for field in dataclasses.fields(typing.cast(Any, method)):
        needed = field.default is field.default_factory is dataclasses.MISSING
        found = options(hints[field.name], domain)
        if needed:
            assert found, f"{method.name()}: the field {field.name} needs a default"
            choices[field.name] = found
        elif found and (domain in (*VARIED, "") or found != options(hints[field.name], VARIED[0])):
            kept = field.default
            if field.default_factory is not dataclasses.MISSING:
                kept = field.default_factory()
            choices[field.name] = [kept, *(value for value in found if value != kept)]
    firsts = {name: values[0] for name, values in choices.items()}
    yield method(**firsts)
    for name, values in choices.items():
        yield from (method(**{**firsts, name: value}) for value in values[1:])


def shortened(value: Any, most: int = 2) -> Any:
    """The same method, and those that it is made of, with few epochs and few steps."""
    changes = {}
    for field in dataclasses.fields(value):
        now = getattr(value, field.name)
        if dataclasses.is_dataclass(now):
            changes[field.name] = shortened(now, most)
        elif field.name.endswith(("epochs", "steps")) and isinstance(now, int):
            changes[field.name] = min(most, now)
    return dataclasses.replace(value, **changes)


def built(kind: type[Method], domain: str) -> list[Method]:
    """Every method of a kind that fits a domain: with its defaults, or the first of its variants.

    Left out is what wraps a method of the kind itself, which would have no end, and attackers who
    need more than the data, since nothing wraps those. Triggers that need not learn come first:
    what is tried with a single one is then tried with one that everything takes.
    """
    fitting = [m for m in every(kind).values() if domain_of(m) in ("", domain)]
    ends = [m for m in fitting if kind not in {typing.get_type_hints(m)[f] for f in required(m)}]
    wrapped = [m for m in ends if not issubclass(m, Attack) or m.controls == "data"]
    plainest = sorted(wrapped, key=lambda m: issubclass(m, LearntTrigger))
    return [next(variants(method, domain)) for method in plainest]


def required(method: type[Method]) -> list[str]:
    fields = dataclasses.fields(typing.cast(Any, method))
    return [f.name for f in fields if f.default is f.default_factory is dataclasses.MISSING]


def options(annotation: Any, domain: str) -> list[Any]:
    """The values that a type names: methods of a kind, choices of a `Literal`, true and false."""
    if annotation is bool:
        return [False, True]
    parts = typing.get_args(annotation) or (annotation,)
    if typing.get_origin(annotation) is typing.Literal:
        return list(parts)
    return [value for kind in parts if is_kind(kind) for value in built(kind, domain)]


def is_kind(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Method) and value is not Method


def triggers() -> list[tuple[str, Trigger]]:
    """Every trigger with the name of its domain."""
    pairs = [
        (domain_of(cls), trigger)
        for cls in every(Trigger).values()
        for trigger in itertools.islice(variants(cls, domain_of(cls)), 8)
    ]
    assert all(domain for domain, _ in pairs), "a trigger stands in the folder of its domain"
    return [(domain, typing.cast(Trigger, trigger)) for domain, trigger in pairs]


def learnt(attack: Attack, data: Dataset) -> State | None:
    """What an attack learns from data or implants; learnt once for each attack and data."""
    if not attack.learns and not isinstance(attack, WeightsAttack):
        return None
    inputs = data.inputs
    raw = inputs.numpy().tobytes() if isinstance(inputs, torch.Tensor) else repr(inputs)
    key = (learners(attack), hash(raw), tuple(data.labels.tolist()))
    if key not in LEARNT:
        LEARNT[key] = sprung_by(attack, data)
    return LEARNT[key]


def learners(attack: Attack) -> str:
    """What decides what is learnt, so that attacks that differ elsewhere learn but once."""
    if not isinstance(attack, Poisoning):
        inside = getattr(attack, "attack", None)
        return learners(inside) if isinstance(inside, Attack) else repr(attack)
    parts = (attack.trigger, attack.test_trigger, attack.cover_trigger, attack.goal)
    return repr([part for part in parts if isinstance(part, (LearntTrigger, Goal))])


def sprung_by(attack: Attack, data: Dataset) -> State:
    """What springs the trap of an attack: what it learnt, or put into an untrained network."""
    if not isinstance(attack, WeightsAttack):
        return attack.learn(data, stream(0, "learn"))
    domain = home_of(data)
    network = domain.network(data, "", stream(0, "network")).eval()
    return attack.implant(network, data, domain, stream(0, "implant")).state


def home_of(data: Dataset) -> Domain:
    """The domain that takes such inputs."""
    for domain in domains().values():
        with contextlib.suppress(MithridateError, AttributeError, TypeError):
            domain.prepare(data.inputs)
            return domain
    raise AssertionError("no domain takes these inputs")


LEARNT: dict[tuple[Any, ...], State] = {}


@dataclasses.dataclass(frozen=True)
class Ready:
    """A trigger that has learnt what it needs from inputs like those that it is given."""

    trigger: Trigger

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        like = inputs if len(inputs) else ORDINARY[domain_of(type(self.trigger))]
        data = dataset(like, np.arange(len(like)) % 2)
        return stamp(self.trigger, inputs, rng, learnt(Poisoning(self.trigger), data))
