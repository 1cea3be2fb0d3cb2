"""`mithridate federate PATH`: the flags; the work is in work/federate.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from mithridate.cli.completing import names_of
from mithridate.cli.groups import HowToComputeLong, HowToRead
from mithridate.cli.poison import WhichAttack

Flag = typer.Option


@dataclass(frozen=True)
class WhoTakesPart:
    """Who takes part in a federation, and what each has."""

    clients: Annotated[int, Flag(help="How many clients there are.")] = 10
    division: Annotated[
        str,
        Flag(
            help="How the examples come to lie with the clients: iid, at random; dirichlet, each "
            "class in uneven shares; unequal, some have more; by-group, see --groups."
        ),
    ] = "iid"
    groups: Annotated[
        Path | None,
        Flag(
            help="For --division by-group: a file with the group of each example, such as its "
            "writer, on a line, in the order of the data."
        ),
    ] = None
    participation: Annotated[
        float, Flag(help="The share of the clients, above 0, that are asked in each round.")
    ] = 1.0
    rounds: Annotated[int, Flag(help="How many rounds there are.")] = 15
    network: Annotated[
        str, Flag(help="The name of the network; by default that of the domain.")
    ] = ""


@dataclass(frozen=True)
class WhatServerDoes:
    """How the server makes one step of the updates, and what it asks of clients."""

    aggregator: Annotated[
        str,
        Flag(
            help="How updates become one step: fedavg, krum, lockdown, ...; see `mithridate "
            "methods aggregator`.",
            autocompletion=names_of("aggregator"),
        ),
    ] = "fedavg"
    protocol: Annotated[
        str | None,
        Flag(
            help="What clients are asked to do beside plain descent: fed-prox or "
            "isolated-subspace; by default what the aggregator needs.",
            autocompletion=names_of("client-protocol"),
        ),
    ] = None
    trusted: Annotated[
        str | None,
        Flag(help="Trusted examples of the server, for aggregators that need them, as fltrust."),
    ] = None


@dataclass(frozen=True)
class WhoLies:
    """How many clients attack, and how."""

    attackers: Annotated[int, Flag(help="How many of the clients attack.")] = 0
    client_attack: Annotated[
        str,
        Flag(
            help="How they attack, beside poisoning by --attack or --trigger: data-poisoning, "
            "neurotoxin, ...; see `mithridate methods client-attack`.",
            autocompletion=names_of("client-attack"),
        ),
    ] = "data-poisoning"


@dataclass(frozen=True)
class FederateClients:
    """Run a federation in which some clients lie, and see what the server makes of it.

    The data are divided among clients, who train in turn on this machine; the server makes one step
    of their updates in each round. With --attackers 1 --attack badnets --poison-rate 0.5 one client
    plants a backdoor. Settings are given as --set aggregator.assumed=2 --set protocol.alpha=0.1
    --set training.epochs=1 --set division.alpha=0.5 --set client.radius=1 --set trigger.size=2;
    `mithridate methods` lists those of methods.

    Writes OUT/federation.html and OUT/federation.json: accuracy and attack success by round, what
    the server saw of each client, and whom it doubted; and OUT/model.safetensors. Interrupted, it
    goes on at its round. Exit status: 0 done, 2 error.
    """

    path: Annotated[
        str, typer.Argument(help="A folder, a file or a named set; cifar10:test names its split.")
    ]
    out: Annotated[Path, Flag(help="A new folder for the model and the report.")]
    test: Annotated[
        str | None,
        Flag(help="Test data; by default those of a named set, or else a fifth of the examples."),
    ] = None
    parties: WhoTakesPart = field(default_factory=WhoTakesPart)
    server: WhatServerDoes = field(default_factory=WhatServerDoes)
    liars: WhoLies = field(default_factory=WhoLies)
    asked: WhichAttack = field(default_factory=WhichAttack)
    limit: Annotated[
        int | None, Flag(help="Divide so many examples, drawn at random; by default all.")
    ] = None
    computing: HowToComputeLong = field(default_factory=HowToComputeLong)
    reading: HowToRead = field(default_factory=HowToRead)
    force: Annotated[bool, Flag("--force", help="Replace an earlier federation in OUT.")] = False
