"""Records written by hand: every status and result, controls, tunings, neighbours."""

import functools
import hashlib
import itertools
import json
import math

import numpy as np

from mithridate.bench.record import Record
from mithridate.report.bench.site import write_site
from mithridate.stats.intervals import Interval, proportion

CONTROLS = ("none", "do-nothing", "random-filter", "perfect-filter")
DEFENCES = ("ac", "ss", "early-loss", "fine-pruning")
AXES = {
    "domain": "image", "task": "cifar10", "attack": "badnets", "rate": 0.05, "defence": "ss",
    "network": "default",
    "precision": "bf16", "trusted": 250, "seed": 0, "tuning": "default", "role": "defence",
}  # fmt: skip


def record(status="done", *, key=None, settings=None, **given):
    """One record; axes by name, asr and accuracy, and other fields of a record as given."""
    cell = AXES | {name: given.pop(name) for name in tuple(given) if name in AXES}
    full = {
        "task": {"data": cell["task"]}, "attack": {"method": cell["attack"]},
        "defence": {"method": cell["defence"], **(settings or {})}, "rate": cell["rate"],
        "seed": cell["seed"],
    }  # fmt: skip
    named = json.dumps([cell, full], sort_keys=True, default=str)
    metrics = given.pop("metrics", {})
    if status == "done":
        metrics = rates(given.pop("asr", 0.9), given.pop("accuracy", 0.9)) | metrics
        given.setdefault("outcome", "open" if cell["rate"] else "kept")
    if cell["defence"] == "none":
        metrics.pop("accuracy_reduction", None)
    key = key or hashlib.sha256(named.encode()).hexdigest()[:32]
    return Record(key, cell, full, status, metrics=metrics, **given)


@functools.cache
def share(value, n=400):
    """The exact interval of a share; finding it takes most of the time of a sweep."""
    return proportion(round(value * n), n)


def rates(asr, accuracy):
    lost = 0.92 - accuracy
    return {
        "asr": share(round(asr, 2)),
        "accuracy": share(round(accuracy, 2)),
        "accuracy_reduction": Interval(lost, lost - 0.01, lost + 0.01, 400),
        "r_accuracy": share(round((1 - asr) * 0.9, 2)),
    }


def ending(rate, asr, accuracy):
    if accuracy <= 0.82:
        return "destroyed"
    if not rate:
        return "kept"
    return "secure" if asr < 0.1 else "open"


@functools.cache
def sweep(tasks=("cifar10",), attacks=("badnets", "blended", "wanet", "sig"),
          poison=(0.0, 0.01, 0.05), seeds=(0, 1, 2)):  # fmt: skip
    """A whole sweep with something of everything, the same on every call."""
    rng = np.random.default_rng(0)
    found = []
    for task, attack, rate, seed in itertools.product(tasks, attacks, poison, seeds):
        here = {"task": task, "attack": attack, "rate": rate, "seed": seed}
        found += [control(rng, here, name) for name in CONTROLS]
        found += [defended(rng, here, name) for name in DEFENCES]
        if rate:
            found += extras(rng, here)
    return tuple(found)


VOID = "the attack did not take: its success rate on the undefended network is 12.0%"


def took(here):
    return not here["rate"] or here["attack"] != "wanet" or here["rate"] != 0.01


def voided(here, **given):
    before = {f"undefended_{n}": share(v) for n, v in (("asr", 0.12), ("accuracy", 0.93))}
    return record("void", why=VOID, metrics=before, **here, **given)


def control(rng, here, name):
    given = {"defence": name, "role": "control", **here}
    if not took(here):
        own = rates(0.12, 0.93)
        return record("void", why=VOID, metrics=own, **given) if name == "none" else voided(given)
    asr = 0.01 if name == "perfect-filter" or not here["rate"] else 0.95
    accuracy = 0.92 + rng.normal(0, 0.004)
    end = "" if name == "none" else ending(here["rate"], asr, accuracy)
    return record(asr=asr, accuracy=accuracy, outcome=end, cost=cost(rng, 2.0), **given)


def cost(rng, seconds):
    return {"seconds": seconds * rng.uniform(0.9, 1.1), "peak_mb": 812.4, "forward": 150_000.0,
            "backward": 50_000.0, "clean_samples": 250.0, "shared_seconds": 300.0}  # fmt: skip


USUAL = {"ac": (0.6, 30.0), "ss": (0.05, 12.0), "early-loss": (0.3, 4.0),
         "fine-pruning": (0.02, 90.0)}  # fmt: skip
"""ASR that is left, and seconds."""


def defended(rng, here, name, **given):
    given = {"defence": name, **here, **given}
    if not took(here):
        return voided(given)
    if (name, here["attack"]) == ("fine-pruning", "sig"):
        return record("skipped", why="needs a convolution, and this network has none", **given)
    if (name, here["attack"], here["seed"]) == ("early-loss", "blended", 1):
        return record("failed", why="ZeroDivisionError: division by zero", **given)
    asr, seconds = USUAL[name]
    ruined = (name, here["attack"]) == ("fine-pruning", "badnets")
    accuracy = (0.3 if ruined else 0.91) + rng.normal(0, 0.005)
    asr = min(1.0, max(0.0, asr + rng.normal(0, 0.02))) if here["rate"] else 0.01
    given |= judged(rng, here) if name != "fine-pruning" else {}
    per_class = {"accuracy": rng.uniform(0.7, 1.0, 10).tolist(), "loss": [math.nan] * 10}
    return record(
        asr=asr, accuracy=accuracy, outcome=ending(here["rate"], asr, accuracy),
        cost=cost(rng, seconds), per_class=per_class, **given,
    )  # fmt: skip


def judged(rng, here):
    """What a detector leaves."""
    flagged = bool(here["rate"]) and rng.uniform() < 0.8
    verdict = {
        "answer": "flagged" if flagged else "clean", "p_value": 0.01, "finest_p": 0.001,
        "why": "", "level": 0.05, "evidence": ["features"],
    }  # fmt: skip
    metrics = {"realised_fpr": share(round(rng.uniform(0, 0.02), 3), 1000)}
    found = {"verdict": verdict, "evidence": ("clean", "features"), "metrics": metrics}
    if here["rate"]:
        auroc = round(rng.uniform(0.5, 0.95), 2)
        metrics["auroc"] = Interval(auroc, auroc - 0.04, auroc + 0.03, 90)
        metrics["auroc_in_class"] = Interval(auroc + 0.04, -math.inf, math.inf, 90)
        metrics["realised_tpr"] = share(auroc)
        metrics["realised_fdr"] = Interval(math.nan, 0.0, 1.0, 0)
        rises = [[float(x), float(x ** (1 - auroc))] for x in np.linspace(0, 1, 60)]
        found["curves"] = {"roc": rises, "loss": [2.0 / (1 + epoch) for epoch in range(12)]}
    return found


def extras(rng, here):
    """A detector tuned by either rule, and one neighbour of another."""
    tuned = [defended(rng, here, "ss", tuning=tuning) for tuning in ("oracle", "granted")]
    return [*tuned, defended(rng, here, "ac", role="neighbour", settings={"components": 11})]


def command(found):
    return f"mithridate bench run sweep.py --cell {found.key}"


def written(folder, records, title="A sweep", **given):
    """Write the site; returns the text of its index."""
    return write_site(records, folder, title, command, **given).read_text("utf-8")
