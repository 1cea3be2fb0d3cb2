"""A fitted guard as a folder: tensors and JSON, so that a service starts without fitting.

guard.safetensors holds the states and the calibration, guard.json what they belong to. Nothing in
them is ever run, and a guard is only taken up for a model that answers like the one it was fitted
for.
"""

from __future__ import annotations

import hashlib
import json
import typing
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from mithridate.core.domain import Domain
from mithridate.core.errors import DataError, MethodError
from mithridate.core.files import replacement, write_json, write_tensors
from mithridate.core.inference import logits_of
from mithridate.core.method import Detector, Method, State
from mithridate.core.registry import by_any_name
from mithridate.core.runtime import Runtime
from mithridate.pipelines.calibration import Calibration
from mithridate.pipelines.guarded import Asked, Guarded
from mithridate.stats.intervals import Interval

SCHEMA = "mithridate.guard/1"
TENSORS, NOTE = "guard.safetensors", "guard.json"
ALIKE = 1e-2
"""By how much the answers of the same model may differ between machines and arithmetics."""


def save(guard: Guarded, folder: Path) -> None:
    """Write a guard, each file whole or not at all; the model itself is not written."""
    tensors = {
        f"{number}.{name}": value
        for number, state in enumerate(guard.states)
        for name, value in state.items()
    }
    calibration = guard.calibration
    tensors |= {
        "calibration.scores": calibration.scores, "calibration.called": calibration.predicted,
        "calibration.group_of": calibration.group_of, "blank": guard.blank,
        "answer": logits_of(guard.model, guard.blank, guard.runtime, guard.precision),
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    with replacement(folder / NOTE) as noted, replacement(folder / TENSORS) as kept:
        write_tensors(kept, tensors)
        note = {"schema": SCHEMA, "sha256": hashlib.sha256(kept.read_bytes()).hexdigest()}
        write_json(noted, note | _about(guard), indent=1)


def _about(guard: Guarded) -> dict[str, Any]:
    """Say what is needed to build a guard again, beside its tensors."""
    return {
        "detectors": [detector.config() for detector in guard.detectors],
        "domain": _domain(guard.domain), "classes": list(guard.classes),
        "form": list(guard.blank.shape[1:]),
        "level": guard.level, "precision": guard.precision, "features": guard.features,
        "fitted_on": guard.fitted_on,
        "accuracy": None if guard.accuracy is None else list(guard.accuracy),
    }  # fmt: skip


def read_note(folder: Path) -> dict[str, Any]:
    """Read what a folder says about its guard; raises DataError where it holds none."""
    try:
        note: Any = json.loads((folder / NOTE).read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{str(folder)!r}: expected a fitted guard, found none ({error})") from None
    if not isinstance(note, dict) or note.get("schema") != SCHEMA:
        raise DataError(f"{str(folder / NOTE)!r}: expected the schema {SCHEMA}, found another")
    return note


def load_guard(
    folder: Path, model: nn.Module | Any, domain: Domain, runtime: Runtime | None = None,
) -> Guarded:  # fmt: skip
    """Read a guard for its model.

    Args:
        model: a module or a function, as for `Guarded.fitted`.

    Raises:
        DataError: where the files are broken or do not belong together.
        MethodError: where the model or the domain is another.
    """
    note, runtime = read_note(folder), runtime or Runtime()
    module = model if isinstance(model, nn.Module) else Asked(model)
    try:
        tensors = _tensors(folder, note)
        guard = _guard(note, tensors, module, domain, runtime)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{str(folder)!r}: expected a whole guard, found a broken one ({error!r:.200})"
        ) from None
    if json.loads(json.dumps(_domain(domain))) != note["domain"]:
        raise MethodError(
            f"{str(folder)!r}: the guard was fitted for the domain {str(note['domain'])[:200]}, "
            f"found {_domain(domain)}"
        )
    logits = logits_of(module, tensors["blank"], runtime, guard.precision)
    known = tensors["answer"]
    close = logits.shape == known.shape and torch.allclose(
        logits, known, rtol=ALIKE, atol=ALIKE, equal_nan=True
    )
    if not close:
        raise MethodError(
            f"{str(folder)!r}: the guard was fitted for another model: to a blank input this one "
            "answers otherwise; fit it again"
        )
    return guard


def _guard(
    note: Mapping[str, Any], tensors: State, module: nn.Module, domain: Domain, runtime: Runtime,
) -> Guarded:  # fmt: skip
    calibration = Calibration(
        *(tensors[f"calibration.{name}"] for name in ("scores", "called", "group_of"))
    )
    detectors = tuple(_method(Detector, config) for config in note["detectors"])
    classes = tuple(map(str, note["classes"]))
    c, k, m = len(classes), len(detectors), len(calibration.predicted)
    predicted, level = calibration.predicted, float(note["level"])
    fits = (
        k > 0
        and calibration.scores.shape == (m, k)
        and bool(torch.isfinite(calibration.scores).all())
        and calibration.group_of.shape == (c,)
        and (m == 0 or 0 <= int(predicted.min()) <= int(predicted.max()) < c)
        and 0 < level < 1
        and note["precision"] in ("bf16", "fp32")
    )
    if not fits:
        raise ValueError("the calibration does not fit the detectors and classes")
    states = tuple(
        {
            name.partition(".")[2]: value
            for name, value in tensors.items()
            if name.partition(".")[0] == str(number)
        }
        for number in range(k)
    )
    told = note.get("accuracy")
    accuracy = (
        None
        if told is None
        else Interval(float(told[0]), float(told[1]), float(told[2]), int(told[3]))
    )
    return Guarded(
        module, domain, detectors, states, calibration, classes, tensors["blank"],
        level, note["precision"], bool(note["features"]), int(note["fitted_on"]), accuracy, runtime,
    )  # fmt: skip


def _tensors(folder: Path, note: Mapping[str, Any]) -> State:
    try:
        content = (folder / TENSORS).read_bytes()
        if hashlib.sha256(content).hexdigest() != note["sha256"]:
            raise ValueError(f"{TENSORS} is not the file that {NOTE} was written with")
        return load(content)
    except (OSError, SafetensorError) as error:
        raise ValueError(str(error)) from None


def _method(kind: type[Method], config: Mapping[str, Any]) -> Any:
    """Build a method from its configuration, methods and settings inside it included."""
    methods = by_any_name(kind)
    if config["method"] not in methods:
        raise ValueError(f"unknown method {str(config['method'])[:60]!r}")
    return _built(methods[config["method"]], config)


def _built(kind: Any, config: Mapping[str, Any]) -> Any:
    hints = typing.get_type_hints(kind)
    given = {name: value for name, value in config.items() if name != "method"}
    unknown = sorted(set(given) - {f.name for f in fields(kind)})
    if unknown:
        raise ValueError(f"unknown setting {unknown[0][:60]!r}")
    return kind(**{name: _value(hints[name], value) for name, value in given.items()})


def _value(hint: Any, value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_value(None, each) for each in value)
    if not isinstance(value, dict):
        return value
    if "method" in value:
        return _method(Method, value)
    parts: list[Any] = [part for part in typing.get_args(hint) or (hint,) if is_dataclass(part)]
    return _built(parts[0], value) if parts else value


def _domain(domain: Domain) -> dict[str, Any]:
    fields: dict[str, Any] = asdict(cast(Any, domain)) if is_dataclass(domain) else {}
    return {**fields, "name": domain.name}
