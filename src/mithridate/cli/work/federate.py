"""The work of `mithridate federate`: read, divide, run, measure, write."""

from __future__ import annotations

import json
import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

import torch

from mithridate.attacks.poisoning import Poisoning
from mithridate.cli import answer, status
from mithridate.cli.asked_attack import KINDS, attack_of, check_names
from mithridate.cli.federate import WhatServerDoes, WhoLies, WhoTakesPart
from mithridate.cli.groups import HowToComputeLong, HowToRead
from mithridate.cli.poison import WhichAttack
from mithridate.cli.settings import split
from mithridate.cli.sources import find_source, trusted_beside
from mithridate.cli.terminal import Watch, agreed, command_line, note, say, stopped
from mithridate.clients.data_poisoning import DataPoisoning, DistributedBackdoor
from mithridate.clients.plain_descent import PlainDescent
from mithridate.core.clients import ClientAttack
from mithridate.core.data import Dataset
from mithridate.core.domain import suited
from mithridate.core.errors import DataError, MethodError
from mithridate.core.federated import Aggregator
from mithridate.core.protocols import ClientProtocol
from mithridate.core.registry import resolve
from mithridate.core.runtime import Runtime, device_of
from mithridate.core.settings import build, changed_by, name_near
from mithridate.core.streams import stream
from mithridate.domains.catalogue import is_named
from mithridate.domains.formats import Source
from mithridate.pipelines import kept_network
from mithridate.pipelines.drawing import draw_examples
from mithridate.pipelines.examples import beside
from mithridate.pipelines.federated import LOCAL, Federation
from mithridate.pipelines.ready_federation import UNFINISHED, FederationOutcome, ReadyFederation
from mithridate.pipelines.splits import ByGroup, Dirichlet, Division, Iid, Unequal
from mithridate.report.federation import (
    PAGE,
    RECORD,
    SCHEMA,
    FederationWork,
    told,
    write_federation,
)
from mithridate.report.quoting import spell_invisible

DIVISIONS: dict[str, type[Division]] = {
    "iid": Iid, "dirichlet": Dirichlet, "unequal": Unequal, "by-group": ByGroup,
}  # fmt: skip
OWN = ("aggregator", "protocol", "client", "training", "division", "server")
"""The parts of a federation that --set changes, beside those of the attack on data."""
WEIGHTS = "model.safetensors"
"""The file of the model."""
TEST = 0.2
"""Share of the examples that measure the model where no test data are given."""
LARGEST = 2**26
"""Bytes of a file of groups that is read."""


def run(
    *, path: str, out: Path, test: str | None, parties: WhoTakesPart, server: WhatServerDoes,
    liars: WhoLies, asked: WhichAttack, limit: int | None, computing: HowToComputeLong,
    reading: HowToRead, force: bool,
) -> int:  # fmt: skip
    """Run a federation and write what came out; gives the exit status."""
    given = split(asked.set or [], {**KINDS, **dict.fromkeys(OWN)})
    asked = replace(asked, set=_others(asked.set or []))
    check_liars(asked, liars, parties.clients, given["client"])
    check_groups(parties)
    check_out(out, force)
    federation = federation_of(server, parties, given)
    source = find_source(path, reading)
    answer.print_decisions(source)
    data, measured, origin = tested(source, path, test, reading, computing.seed)
    data = draw_examples(data, limit, computing.seed, "client")
    shares = division_of(parties, given["division"]).divide(
        data.labels, stream(computing.seed, "division"), groups_of(parties.groups, source, data)
    )
    attackers = attackers_of(
        liars, asked, given["client"], path, source, parties.clients, computing.seed
    )
    job = ReadyFederation(
        federation, tuple(data.subset(rows) for rows in shares), measured,
        suited(source.domain, parties.network), parties.network, attackers,
        None if server.trusted is None else trusted_beside(source, server.trusted, reading),
        computing.seed, Runtime(device=device_of(computing.device)), out,
    )  # fmt: skip
    outcome = made(job, computing.yes)
    if outcome is None:
        return stopped(job.checkpoint)
    origins = {"data": path, "test data": origin} | (
        {"trusted data": server.trusted} if server.trusted else {}
    )
    work = FederationWork(job, outcome, origins, divided_in_words(parties, shares), command_line())
    write(work, data.classes, out)
    return status.CLEAN


def check_liars(asked: WhichAttack, liars: WhoLies, clients: int, given: dict[str, str]) -> None:
    """Refuse before data are read who cannot attack as is said.

    Raises:
        MethodError: for names that there are not, or flags that contradict each other.
    """
    poisons = asked.attack is not None or asked.trigger is not None
    if poisons:
        check_names(asked)
    kind = resolve(cast(Any, ClientAttack), liars.client_attack)
    if not 0 <= liars.attackers <= clients:
        raise MethodError(f"expected --attackers in 0..{clients}, found {liars.attackers}")
    attacks = poisons or given or kind is not DataPoisoning
    if attacks and not liars.attackers:
        raise MethodError("an attack needs somebody who makes it: say --attackers 1 or more")
    if liars.attackers and not poisons and kind in (DataPoisoning, DistributedBackdoor):
        raise MethodError(
            f"{kind.name()} does nothing but poison: say how by --attack or --trigger, or name "
            "another --client-attack"
        )


def check_groups(parties: WhoTakesPart) -> None:
    """Refuse groups without their division, and the division without groups; raises MethodError."""
    if (parties.groups is not None) != (parties.division == "by-group"):
        raise MethodError(
            "--division by-group needs the group of each example, and no other division takes "
            "groups: give both it and --groups FILE, or neither"
        )


def check_out(out: Path, force: bool) -> None:
    """Refuse what is in the way of what is written; raises DataError."""
    if out.exists() and not out.is_dir():
        raise DataError(f"{str(out)!r}: expected a folder, found a file")
    there = {each.name for each in out.iterdir()} if out.exists() else set()
    if UNFINISHED in there and RECORD not in there:  # somebody stopped it while it wrote
        there -= {UNFINISHED, WEIGHTS, PAGE}
    if there and not _ours(out):
        raise DataError(
            f"{str(out)!r} holds something that is no result of federate; choose another folder "
            "for --out"
        )
    if there and not force:
        raise DataError(f"{str(out)!r} holds a federation already; --force replaces it")


def _ours(out: Path) -> bool:
    """Whether a folder holds what `write` has written."""
    try:
        mark: Any = json.loads((out / RECORD).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(mark, dict) and mark.get("schema") == SCHEMA


def _others(given: list[str]) -> list[str]:
    """The settings of the attack on data."""
    return [each for each in given if each.strip().partition(".")[0] not in OWN]


def federation_of(
    server: WhatServerDoes, parties: WhoTakesPart, given: dict[str, dict[str, str]]
) -> Federation:
    """Build what the server does, and what it asks of clients.

    Raises:
        MethodError: for a name or a setting that there is not.
    """
    aggregator: Aggregator = build(cast(Any, Aggregator), server.aggregator, given["aggregator"])
    name = server.protocol or ("isolated-subspace" if "masks" in aggregator.needs else None)
    if name is None and given["protocol"]:
        raise MethodError("--set protocol....: name one with --protocol")
    protocol = PlainDescent() if name is None else build(
        cast(Any, ClientProtocol), name, given["protocol"]
    )  # fmt: skip
    usual = Federation(aggregator, protocol, parties.rounds, LOCAL, parties.participation)
    settings = changed_by(usual, "server", given["server"])
    return replace(settings, training=changed_by(LOCAL, "training", given["training"]))


def division_of(parties: WhoTakesPart, given: dict[str, str]) -> Division:
    """Build the division; raises MethodError for a name or a setting that there is not."""
    if parties.division not in DIVISIONS:
        raise MethodError(
            f"unknown division {parties.division!r}: {name_near(parties.division, DIVISIONS)}"
        )
    usual = DIVISIONS[parties.division](parties.clients)
    return changed_by(usual, "division", given)


def tested(
    source: Source, path: str, test: str | None, reading: HowToRead, seed: int
) -> tuple[Dataset, Dataset, str]:
    """Give the examples to divide, those that measure, and where the latter came from."""
    where = test
    if where is None and is_named(path):
        where = f"{path}:test"
    if where is not None:
        return source.data, beside(source, find_source(where, reading), "test"), where
    n = len(source.data)
    order = torch.from_numpy(stream(seed, "test").permutation(n))
    apart = round(TEST * n)
    if not 0 < apart < n:
        raise DataError(f"expected examples of which a fifth can be set apart, found {n}")
    data, measured = (
        source.data.subset(rows.sort().values) for rows in order.split([n - apart, apart])
    )
    return data, measured, "a fifth of the examples, set apart at random"


def groups_of(file: Path | None, source: Source, data: Dataset) -> torch.Tensor | None:
    """Read the group of each example, int64[n]; None where no file is given.

    Raises:
        DataError: where the file is no text, or has another number of lines than there are
            examples.
    """
    if file is None:
        return None
    if file.stat().st_size > LARGEST:
        raise DataError(f"{str(file)!r} is larger than {LARGEST:,} bytes, too large for groups")
    try:
        lines = file.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{str(file)!r}: expected lines of UTF-8, found {error.reason}") from None
    if len(lines) != len(source.data):
        raise DataError(
            f"{str(file)!r}: expected a line for each of {len(source.data):,} examples, found "
            f"{len(lines):,}"
        )
    number = {name: place for place, name in enumerate(dict.fromkeys(lines))}
    return torch.tensor([number[line] for line in lines])[data.ids]


def attackers_of(
    liars: WhoLies,
    asked: WhichAttack,
    given: dict[str, str],
    path: str,
    source: Source,
    clients: int,
    seed: int,
) -> dict[int, ClientAttack]:
    """Draw who attacks, and build how; the first ones of a random order, so that few nest in many.

    Raises:
        MethodError: where a setting is wrong.
    """
    if not liars.attackers:
        return {}
    drawn = stream(seed, "attackers").permutation(clients)[: liars.attackers]
    wanted = asked.attack is not None or asked.trigger is not None
    data = attack_of(asked, path, source) if wanted else None
    attack: Any = build(cast(Any, ClientAttack), liars.client_attack, given)
    own = {f.name for f in fields(attack)}
    if data is not None and "data" not in own:
        raise MethodError(
            f"{attack.name()} changes data in a way of its own; leave out --attack and --trigger"
        )
    if data is not None:
        attack = replace(attack, data=data)
        if "parts" in own:
            attack = replace(attack, parts=parts_of(data, max(2, liars.attackers)))
    return dict.fromkeys(sorted(drawn.tolist()), attack)


def parts_of(attack: Poisoning, count: int) -> tuple[Poisoning, ...]:
    """Give the same attack with one part of its trigger each.

    Raises:
        MethodError: where the trigger cannot be divided.
    """
    whole = attack.test_trigger or attack.trigger
    pieces = attack.trigger.divided(count)
    return tuple(replace(attack, trigger=each, test_trigger=whole) for each in pieces)


def made(job: ReadyFederation, yes: bool) -> FederationOutcome | None:
    """Run it, showing how far it is; None where somebody stopped it."""
    job.check()
    there = job.checkpoint is not None and job.checkpoint.exists()
    if there:
        note(f"going on with the federation that is kept in {job.checkpoint}, if it is this one")
    what = f"{job.federation.rounds} rounds of {len(job.clients)} clients on {job.runtime.device}"
    try:
        if not agreed(what, job.seconds(), yes):
            return None
        with Watch() as watch:
            return job.made(watch.step, watch.epochs)
    except KeyboardInterrupt:
        return None


def divided_in_words(parties: WhoTakesPart, shares: tuple[torch.Tensor, ...]) -> str:
    """Say how the examples were divided."""
    sizes = sorted(map(len, shares))
    return f"{parties.division}, {sizes[0]:,} to {sizes[-1]:,} examples of a client"


def write(work: FederationWork, classes: tuple[str, ...], out: Path) -> None:
    """Write the model and the report, and say what came out."""
    kept = kept_network.Note(work.job.network, classes)
    written = kept_network.save(work.outcome.made.model, out / WEIGHTS, kept)
    content = write_federation(work, out)
    shutil.rmtree(out / UNFINISHED, ignore_errors=True)
    for sentence in told(content):
        say(spell_invisible(sentence))
    for name, words in (("accuracy", "Accuracy"), ("success", "Attack success")):
        for form, interval in content[name].items():
            where = "" if form == "deployed" else f" of the {form} model"
            value, low, high = (100 * interval[key] for key in ("value", "low", "high"))
            say(f"{words}{where}: {value:.1f} % ({low:.1f} to {high:.1f})")
    answer.print_places([*written, out / PAGE, out / RECORD])
