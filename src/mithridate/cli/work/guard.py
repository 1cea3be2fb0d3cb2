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

import numpy as np
import torch

from mithridate.cli import status
from mithridate.cli.class_order import ordered
from mithridate.cli.encoding import set_encoding
from mithridate.cli.guard import GuardNetwork
from mithridate.cli.settings import split
from mithridate.cli.sources import find_source
from mithridate.cli.terminal import duration, note, say
from mithridate.core.data import Dataset, dataset, of_classes
from mithridate.core.domain import Domain
from mithridate.core.errors import CannotJudge, DataError, MethodError, MissingExtra
from mithridate.core.inference import logits_of
from mithridate.core.method import Detector
from mithridate.core.runtime import Runtime, device_of
from mithridate.core.settings import build
from mithridate.core.streams import stream
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.text.domain import TextDomain
from mithridate.pipelines import kept_network
from mithridate.pipelines.calibration import POOLED, examples_needed
from mithridate.pipelines.guarded import Guarded
from mithridate.pipelines.kept_guard import load_guard, read_note, save
from mithridate.pipelines.plausibility import check_as_read, percent
from mithridate.report.quoting import shorten, spell_invisible
from mithridate.service.settings import Settings

DEFAULT = "strip"
"""Looks at answers only, so that it fits any network."""

TRIED = 16
"""Inputs by which the cost of judging is measured."""

BACKLOG = 2048
"""Connections that may wait to be accepted."""

DOMAINS: dict[str, Any] = {"image": ImageDomain, "text": TextDomain}


def run(request: GuardNetwork) -> int:
    """Fit or read a guard, then write or serve it; gives the exit status."""
    check(request)
    settings = Settings(**request.settings)
    door = None if request.fit_only else listening(request.host, request.port)
    try:
        guard, some = read(request) if request.fitted else fitted(request)
        describe(guard, some)
        if not any(judged(guard).values()):
            note(f"error: {hopeless(guard)}")
            return status.CANNOT_JUDGE
        if request.fit_only:
            save(guard, request.fit_only)
            say(f"wrote {request.fit_only}")
            return status.CLEAN
        return serve(guard, settings, cast(socket.socket, door))
    except CannotJudge as reason:
        note(f"cannot judge: {spell_invisible(str(reason))}")
        return status.CANNOT_JUDGE
    except KeyboardInterrupt:
        note("stopped")
        return status.STOPPED
    finally:
        if door is not None:
            door.close()


def check(request: GuardNetwork) -> None:
    """Refuse at once, and not after the fitting, what cannot be done."""
    if (request.trusted is None) == (request.fitted is None):
        raise MethodError("expected either --trusted examples or a --fitted guard")
    fits = (
        request.fit_only, request.guard, request.set, request.mean, request.std, request.classes
    )  # fmt: skip
    if request.fitted and any(fits):
        raise MethodError(
            "--fitted serves a guard as it is; --fit-only, --guard, --set, --mean, --std and "
            "--classes fit one"
        )
    out = request.fit_only
    if out and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{str(out)!r}: expected a new or empty folder, found something there")
    if not out:
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


def fitted(request: GuardNetwork) -> tuple[Guarded, Dataset]:
    """Read the weights and the trusted examples, and fit the guard; also gives some examples."""
    runtime = Runtime(device=device_of(request.device))
    names = list(dict.fromkeys(request.guard or [DEFAULT]))
    given = split(request.set or [], dict.fromkeys(names))
    detectors = [build(cast(Any, Detector), name, given[name]) for name in names]
    kept = kept_network.noted(request.model)
    options = {"size": request.size, "label": request.label, "content": request.content}
    source = find_source(cast(str, request.trusted), request.split, **options)
    classes, doubt = ordered(request.classes, kept, request.network, source.data.classes)
    trusted = of_classes(source.data, classes, "trusted")
    if doubt:
        note(doubt)
    rng = stream(request.seed, "weights")
    graph = kept_network.is_onnx(request.model)
    domain = set_encoding(source.domain, request.network, request.mean, request.std, graph=graph)
    model = kept_network.deployed(
        request.model, domain, trusted, request.network, rng, request.part
    )
    note(
        f"read {len(trusted):,} trusted examples ({source.domain.name}, {source.format}), "
        f"{len(trusted.classes)} classes"
    )
    plausible = check_as_read(model, trusted, domain, runtime=runtime, seed=request.seed)
    note(plausible.described())
    if plausible.why:
        raise CannotJudge(plausible.why)
    began = time.perf_counter()
    guard = Guarded.fitted(
        model, trusted, domain, detectors, request.level, request.seed,
        calibrate=request.calibrate, runtime=runtime,
    )  # fmt: skip
    note(f"fitted {', '.join(names)} in {duration(time.perf_counter() - began)}")
    guard = replace(guard, accuracy=plausible.accuracy)
    return guard, trusted.subset(range(min(TRIED, len(trusted))))


def read(request: GuardNetwork) -> tuple[Guarded, Dataset]:
    """Read a fitted guard and the network it belongs to; also gives some inputs."""
    folder = cast(Path, request.fitted)
    kept = read_note(folder)
    try:
        described = dict(kept["domain"])
        domain: Domain = DOMAINS[described["name"]](**described)
        classes, form = tuple(map(str, kept["classes"])), tuple(map(int, kept["form"]))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{str(folder)!r}: expected a whole guard ({error!r:.200})") from None
    some: Any = np.full(TRIED, "", dtype=object)
    if domain.name == "image":
        some = torch.zeros(TRIED, *form, dtype=torch.uint8)
    data = dataset(some, torch.zeros(TRIED), classes)
    rng = stream(request.seed, "weights")
    model = kept_network.deployed(request.model, domain, data, request.network, rng, request.part)
    return load_guard(folder, model, domain, Runtime(device=device_of(request.device))), data


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
    found, calibration = judged(guard), guard.calibration
    if guard.accuracy:
        say(f"accuracy on {guard.accuracy.n:,} trusted examples: {percent(guard.accuracy)}")
    for group, enough in found.items():
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
