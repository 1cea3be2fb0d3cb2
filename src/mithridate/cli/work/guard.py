"""The work of `mithridate guard`: read, fit, say what it costs, serve.

Axes: m trusted examples that calibrate.
"""

from __future__ import annotations

import signal
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch

from mithridate.cli import status
from mithridate.cli.answer import print_decisions
from mithridate.cli.given_network import accuracy_told, reading_of
from mithridate.cli.groups import HowToCompute, HowToRead, WhichNetwork
from mithridate.cli.guard import HowToFit, WhereToServe
from mithridate.cli.places import empty_folder
from mithridate.cli.settings import split
from mithridate.cli.sources import find_source
from mithridate.cli.terminal import Watch, agreed, duration, note, say
from mithridate.core.data import Dataset, dataset
from mithridate.core.errors import (
    CannotJudge,
    DataError,
    MethodError,
    MissingExtra,
)
from mithridate.core.inference import logits_of
from mithridate.core.method import Detector
from mithridate.core.runtime import Runtime, device_of
from mithridate.core.settings import build
from mithridate.core.streams import stream
from mithridate.domains.registry import domain_named
from mithridate.pipelines import kept_network
from mithridate.pipelines.calibration import POOLED, examples_needed
from mithridate.pipelines.given_network import GivenNetwork
from mithridate.pipelines.guarded import Guarded
from mithridate.pipelines.kept_guard import load_guard, read_note, save
from mithridate.pipelines.plausibility import percent
from mithridate.pipelines.ready_guard import ReadyGuard
from mithridate.report.quoting import shorten, spell_invisible
from mithridate.service.settings import Settings

DEFAULT = "strip"
"""Looks at answers only, so that it fits any network."""

TRIED = 16
"""Inputs by which the cost of judging is measured."""

BACKLOG = 2048
"""Connections that may wait to be accepted."""


def run(
    *, model: Path, fitting: HowToFit, fitted: Path | None, serving: WhereToServe,
    network: WhichNetwork, reading: HowToRead, computing: HowToCompute, settings: dict[str, Any],
) -> int:  # fmt: skip
    """Fit or read a guard, then write or serve it; gives the exit status."""
    check(fitting, fitted, network)
    service = Settings(**settings)
    out = fitting.fit_only
    door = None if out else listening(serving.host, serving.port)
    try:
        if fitted is not None:
            guard, some = read(fitted, model, network, computing)
        else:
            guard, some = fit(model, fitting, network, reading, computing)
        describe(guard, some)
        if not any(judged(guard).values()):
            note(f"error: {hopeless(guard)}")
            return status.CANNOT_JUDGE
        if out:
            save(guard, out)
            say(f"wrote {out}")
            return status.CLEAN
        return serve(guard, service, cast(socket.socket, door))
    except CannotJudge as reason:
        note(f"cannot judge: {spell_invisible(str(reason))}")
        return status.CANNOT_JUDGE
    except KeyboardInterrupt:
        note("stopped")
        return status.STOPPED
    finally:
        if door is not None:
            door.close()


def check(fitting: HowToFit, fitted: Path | None, network: WhichNetwork) -> None:
    """Refuse at once, and not after the fitting, what cannot be done."""
    if (fitting.trusted is None) == (fitted is None):
        raise MethodError("expected either --trusted examples or a --fitted guard")
    fits = (
        fitting.fit_only,
        fitting.guard,
        fitting.set,
        network.mean,
        network.std,
        network.classes,
    )
    if fitted and any(fits):
        raise MethodError(
            "--fitted serves a guard as it is; --fit-only, --guard, --set, --mean, --std and "
            "--classes fit one"
        )
    if fitting.fit_only:
        empty_folder(fitting.fit_only, "the guard")
    else:
        _uvicorn()


def listening(host: str, port: int) -> socket.socket:
    """Take the address before the work begins, so that it is known to be free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    door = socket.socket(family, socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((host, port))
    except (OSError, OverflowError) as error:
        door.close()
        raise MethodError(f"cannot listen on {host!r}, port {port}: {error}") from None
    return door


def fit(
    model: Path, fitting: HowToFit, network: WhichNetwork, reading: HowToRead,
    computing: HowToCompute,
) -> tuple[Guarded, Dataset]:  # fmt: skip
    """Read the weights and the trusted examples, and fit the guard; also gives some examples."""
    runtime = Runtime(device=device_of(computing.device))
    names = list(dict.fromkeys(fitting.guard or [DEFAULT]))
    settings = split(fitting.set or [], dict.fromkeys(names))
    detectors = tuple(build(cast(Any, Detector), name, settings[name]) for name in names)
    source = find_source(cast(str, fitting.trusted), reading)
    print_decisions(source)
    given = GivenNetwork.of(model, reading_of(network), source.data, source.domain, computing.seed)
    trusted = given.trusted
    note(
        f"read {len(trusted):,} trusted examples ({source.domain.name}, {source.format}), "
        f"{len(trusted.classes)} classes"
    )
    accuracy = accuracy_told(given, runtime, computing.seed)
    job = ReadyGuard(given, detectors, fitting.level, fitting.calibrate, computing.seed, runtime)
    agreed(f"fitting {', '.join(names)}", job.seconds(), yes=True)
    began = time.perf_counter()
    with Watch() as watch:
        guard = job.fitted(watch.step)
    note(f"fitted {', '.join(names)} in {duration(time.perf_counter() - began)}")
    return replace(guard, accuracy=accuracy), trusted.subset(range(min(TRIED, len(trusted))))


def read(
    folder: Path, model: Path, network: WhichNetwork, computing: HowToCompute
) -> tuple[Guarded, Dataset]:
    """Read a fitted guard and the network it belongs to; also gives some inputs."""
    kept = read_note(folder)
    try:
        described = dict(kept["domain"])
        domain = domain_named(str(described.pop("name")), **described)
        classes, form = tuple(map(str, kept["classes"])), tuple(map(int, kept["form"]))
    except (KeyError, TypeError, ValueError, DataError) as error:
        raise DataError(f"{str(folder)!r}: expected a whole guard ({error!r:.200})") from None
    data = dataset(domain.blank(TRIED, form), torch.zeros(TRIED), classes)
    rng = stream(computing.seed, "weights")
    how = reading_of(network)
    guarded = kept_network.deployed(model, domain, data, how.network, rng, how.part, how.columns)
    runtime = Runtime(device=device_of(computing.device))
    return load_guard(folder, guarded, domain, runtime), data


def judged(guard: Guarded) -> dict[int, bool]:
    """Say which calibration groups can reach the level."""
    least = examples_needed(guard.level)
    return {group: guard.calibration.count(group) >= least for group in guard.calibration.groups}


def hopeless(guard: Guarded) -> str:
    """Say why nothing can be judged, and what would be needed."""
    m, least = len(guard.calibration.predicted), examples_needed(guard.level)
    share = m / (m + guard.fitted_on)
    return (
        f"cannot judge at level {guard.level:g} with {m} trusted examples for the calibration; "
        f"needs at least {least}, that is about {round(least / share)} trusted examples in all, "
        f"or a level of {1 / (m + 1):.3g} or more"
    )


def describe(guard: Guarded, some: Dataset) -> None:
    """Say what was calibrated, what level is reached, and what judging costs."""
    enough_by_group, calibration = judged(guard), guard.calibration
    if guard.accuracy:
        say(f"accuracy on {guard.accuracy.n:,} trusted examples: {percent(guard.accuracy)}")
    for group, enough in enough_by_group.items():
        pooled = [guard.classes[c] for c in (calibration.group_of == POOLED).nonzero().flatten()]
        names = pooled if group == POOLED else [guard.classes[group]]
        which = shorten(spell_invisible(", ".join(names)), 60)
        reached = f"refuses {100 * calibration.reached(group, guard.level):.2f} % of clean inputs"
        says = reached if enough else f"abstains, since it needs {examples_needed(guard.level)}"
        together = "pooled: " if group == POOLED else ""
        say(f"{together}{which}: calibrated on {calibration.count(group)}, {says}")
    guard.decide(some.inputs)  # the first time, memory and kernels are still being prepared
    began = time.perf_counter()
    guard.decide(some.inputs)
    full = time.perf_counter() - began
    prepared = guard.checked(some.inputs)
    began = time.perf_counter()
    logits_of(guard.model, prepared, guard.runtime, guard.precision)
    alone = time.perf_counter() - began
    say(
        f"judging an input, in batches of {len(some)}: {1000 * full / len(some):.2f} ms "
        f"with the network's own {1000 * alone / len(some):.2f} ms"
    )


def serve(guard: Guarded, settings: Settings, door: socket.socket) -> int:
    """Answer requests until a signal ends it; everything that was taken in is answered first."""
    from mithridate.service.app import app

    uvicorn = _uvicorn()
    config = uvicorn.Config(
        app(guard, settings), lifespan="on", access_log=False, log_level="warning", ws="none",
        server_header=False, proxy_headers=False, backlog=BACKLOG,
        timeout_graceful_shutdown=int(settings.timeout) + 2,
    )  # fmt: skip
    door.listen(BACKLOG)  # who comes from now on waits for the start and is not turned away
    host, port = door.getsockname()[:2]
    say(f"serving on http://{f'[{host}]' if ':' in host else host}:{port}")
    sys.stdout.flush()
    # uvicorn raises the signal again when it is done, which must not undo a good end
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    server = uvicorn.Server(config)
    try:
        server.run(sockets=[door])
    except KeyboardInterrupt:
        note("stopped")
    finally:
        signal.signal(signal.SIGTERM, before)
    return status.CLEAN if server.started else status.ERROR


def _uvicorn() -> Any:
    try:
        import uvicorn
    except ImportError:
        raise MissingExtra("the service runs on uvicorn; pip install 'mithridate[serve]'") from None
    return uvicorn
