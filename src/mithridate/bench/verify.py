"""Computing a sample of the stored steps again, to see whether the store tells the truth."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mithridate.bench.contents import MEASURED_AGAIN
from mithridate.bench.execute import Workbench
from mithridate.bench.plan import Plan
from mithridate.bench.step import NotDone, Output, Step
from mithridate.bench.store import Store
from mithridate.core.errors import ContractError, MithridateError
from mithridate.core.plain import finite


@dataclass(frozen=True)
class Checked:
    """One step computed again: same or not, and what differs."""

    key: str
    kind: str
    same: bool
    what: str = ""


def verify(
    plan: Plan,
    store: Store,
    sample: int,
    rng: np.random.Generator,
    progress: Callable[[Checked], None] | None = None,
) -> list[Checked]:
    """Compute a random sample of the steps that ended again, and compare bit by bit.

    The inputs of a step come from the store, its output is thrown away. On another processor or
    with other versions the last digits of trained weights differ; the sizes of differences are
    told, so that a reader can see which it is.
    """
    ended = [step for step in plan.steps if store.has(step)]
    chosen = sorted(rng.permutation(len(ended))[:sample].tolist())
    bench, checks = Workbench(store), []
    for i in chosen:
        with bench.runtime.active():
            checks.append(_check(ended[i], bench))
        if progress:
            progress(checks[-1])
    return checks


def _check(step: Step, bench: Workbench) -> Checked:
    try:
        what = _compare(step, bench)
    except Exception as error:  # whatever it is, it is a difference and no reason to stop
        what = f"{type(error).__name__}: {error}"
    return Checked(step.key, step.kind(), not what, what)


def _compare(step: Step, bench: Workbench) -> str:
    """Compute a step again and say how it differs; nothing where it is the same."""
    before = bench.store.entry(step.key).status
    again, status = Output(), "skipped"
    try:
        for parent in step.parents:
            if parent.stored and not step.answers_always:
                bench.check(parent)
        again, status = step.run(bench), "done"
    except NotDone as stopped:
        status = stopped.status
    except ContractError:
        raise
    except MithridateError:
        pass  # refused on purpose: skipped
    if status != before:
        return f"was {before}, is {status}"
    return difference(bench.store.output(step.key), again) if status == "done" else ""


def difference(first: Output, second: Output) -> str:
    """Say how two outputs differ; nothing where they are the same."""
    names = sorted({*first.tensors, *second.tensors})
    for name in names:
        if name not in first.tensors or name not in second.tensors:
            return f"only one has the tensor {name!r}"
        a, b = first.tensors[name], second.tensors[name]
        if a.shape != b.shape or a.dtype != b.dtype:
            return f"{name}: {list(a.shape)} {a.dtype} against {list(b.shape)} {b.dtype}"
        if not torch.equal(a, b) and not _same_with_nan(a, b):
            return f"{name}: differs by up to {float((a.double() - b.double()).abs().max()):.3g}"
    mine, other = _facts(first.facts), _facts(second.facts)
    wrong = [name for name in sorted({*mine, *other}) if mine.get(name) != other.get(name)]
    return f"facts differ: {wrong[0]}" if wrong else ""


def _same_with_nan(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.is_floating_point() and bool(((a == b) | (a.isnan() & b.isnan())).all())


def _facts(facts: dict[str, Any]) -> dict[str, Any]:
    kept = {k: v for k, v in facts.items() if k not in MEASURED_AGAIN}
    plain: dict[str, Any] = json.loads(json.dumps(finite(kept)))
    return plain


def find_unused(plans: Sequence[Plan], store: Store) -> list[str]:
    """The keys of stored steps that none of the plans needs, e.g. because their code changed."""
    needed = {step.key for plan in plans for step in plan.steps}
    return sorted(set(store.keys()) - needed)
