"""Explanation-guided triggers against boosted trees: success by columns and share, and who sees it.

    python recipes/explained.py run      # about ten minutes of one core; resumable
    python recipes/explained.py table

A world is a table (ClaMP: headers of programs; UNSW-NB15: records of network traffic, rows that
repeat taken once), a way to choose the trigger, a number of columns, a share of the training rows
that is poisoned and a seed. Poison is clean-label: benign rows get the trigger and stay benign.
Only columns that an attacker can move are set: for programs those that survive a changed header or
an appended section, for traffic what the sender decides. ASR is the share of malicious test rows
with the trigger that are called benign, beside the same share in the clean twin, which the values
alone may lead there. Detectors are asked about the features that scans use, and judged by the AUROC
of poison among benign training rows. The search for values scores the class "benign" of both.
"""

from __future__ import annotations

import functools
import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import nn

from cells import average, markdown, records
from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import CleanLabel
from mithridate.bench.metrics.evaluate import accuracy, attack_success
from mithridate.core.data import Dataset, dataset
from mithridate.core.method import State, Trained
from mithridate.core.runtime import environment
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.domains.table.columns import columns_of
from mithridate.domains.table.domain import TableDomain
from mithridate.domains.table.explained_trigger import ExplainedTrigger, trigger_in
from mithridate.pipelines.scan import default_detectors
from mithridate.scanners.value_search import ValueSearch
from mithridate.stats.ranking import auroc
from mithridate.trainers.boosted_trees import BoostedTrees
from worlds import World, ask, command_line

FOLDER = "explained"
BENIGN, CLASSES, SEEDS = 0, ("benign", "malicious"), 3
SETS = {
    "clamp": ("clamp_integrated", "class", ()),
    "unsw": ("unsw_nb15", "label", ("id", "attack_cat")),
}
MOVABLE = {
    "clamp": "e_cblp,e_cp,e_maxalloc,e_sp,CreationYear,NumberOfSections,MajorLinkerVersion,"
    "MinorLinkerVersion,SizeOfInitializedData,SizeOfUninitializedData,SizeOfImage,CheckSum,"
    "MajorOperatingSystemVersion,MinorOperatingSystemVersion,MajorImageVersion,MinorImageVersion,"
    "MajorSubsystemVersion,MinorSubsystemVersion,SizeOfStackReserve,SizeOfHeapReserve,"
    "SizeOfHeapCommit,non_sus_sections,filesize,E_file,fileinfo",
    "unsw": "dur,spkts,sbytes,rate,sttl,sload,sloss,sinpkt,sjit,swin,stcpb,smean,trans_depth,"
    "ct_flw_http_mthd",
}
"""What an attacker can set: fields that no loader checks, and what an appended section moves; what
the sender of traffic decides."""

CURVES, WAYS = ("rare", "greedy"), ("dense", "aligned")
COUNTS, RATES, POINT = (2, 4, 8, 12), (0.0025, 0.01, 0.04), (8, 0.01)
"""Ways that are followed over columns and shares, and those that are seen at one point."""
TRAINER = BoostedTrees(rounds=60)
TRAINED, TESTED = 5_000, 3_000


@functools.cache
def rows_of(name: str) -> tuple[Any, np.ndarray[Any, Any]]:
    """Rows of a table that differ, and their labels."""
    file, label, left_out = SETS[name]
    table = pq.read_table(Path(os.environ["MITHRIDATE_DATA"]) / "tabular" / f"{file}.parquet")
    names = [column for column in table.column_names if column not in (label, *left_out)]
    columns = [table[column].to_numpy(zero_copy_only=False) for column in names]
    kinds = ["O" if c.dtype == object else "i8" if c.dtype.kind in "iub" else "f8" for c in columns]
    rows = np.empty(len(table), dtype=list(zip(names, kinds, strict=True)))
    for column, values in zip(names, columns, strict=True):
        rows[column] = values
    once = sorted({row.item(): place for place, row in reversed(list(enumerate(rows)))}.values())
    return rows[once], np.asarray(table[label])[once].astype(np.int64)


@functools.cache
def parts(name: str, seed: int) -> tuple[Dataset, Dataset, Dataset, TableDomain]:
    """Training, trusted and test rows, and their domain."""
    rows, labels = rows_of(name)
    order = stream(seed, "split").permutation(len(rows))
    trained = min(TRAINED, len(rows) * 6 // 10)
    ends = (0, trained, trained + 600, min(len(rows), trained + 600 + TESTED))
    made = [
        dataset(rows[order[a:b]], labels[order[a:b]], CLASSES) for a, b in itertools.pairwise(ends)
    ]
    return made[0], made[1], made[2], TableDomain(columns=columns_of(rows))


def grown(data: Dataset, domain: TableDomain, seed: int) -> Trained:
    """Trees on some rows."""
    room = TRAINER.form(nn.Linear(1, len(CLASSES)))
    return TRAINER.train(room, data, domain, stream(seed, "trees"))


@functools.cache
def twin(name: str, seed: int) -> tuple[nn.Module, float]:
    """The trees without poison, and what the search for values says of them."""
    data, _, _, domain = parts(name, seed)
    model = grown(data, domain, seed).model
    return model, searched(name, model, seed)


def searched(name: str, model: nn.Module, seed: int) -> float:
    """The score of the class "benign"."""
    _, trusted, _, domain = parts(name, seed)
    view = View(domain=domain, model=model, clean=trusted, precision="fp32")
    return float(ValueSearch().judge(view, stream(seed, "search")).scores.values[BENIGN])


@functools.cache
def learnt(name: str, way: str, count: int, seed: int) -> tuple[State, float]:
    """What the attacker chose, and the seconds of a processor that it took."""
    data, began = parts(name, seed)[0], time.process_time()
    state = attack(name, way, count, 0.01).learn(data, stream(seed, "learn"))
    return state, time.process_time() - began


def attack(name: str, way: Any, count: int, rate: float) -> Poisoning:
    """Benign rows get the trigger and stay benign."""
    trigger = ExplainedTrigger(count=count, strategy=way, columns=MOVABLE[name])
    return Poisoning(trigger, AllToOne(BENIGN), CleanLabel(rate))


def world(name: str, way: str, count: int, rate: float, seed: int) -> dict[str, Any]:
    """Poison, train, and measure."""
    data, _, test, domain = parts(name, seed)
    state, seconds = learnt(name, way, count, seed)
    by, (clean, clean_search) = attack(name, way, count, rate), twin(name, seed)
    poisoned = by.poison(data, stream(seed, "poison"), state)
    trained = grown(poisoned.data, domain, seed)
    model = trained.model
    asr = [
        attack_success(m, by, test, domain, stream(seed, "test"), state=state)[0]
        for m in (model, clean)
    ]
    view = View(poisoned.data, domain=domain, model=model, losses=trained.losses)
    judged, unheard = ask({d.name(): d for d in default_detectors()}, view, len(data))
    own = poisoned.data.labels == BENIGN
    ranked = {
        each: float(auroc(found.scores.values[own], poisoned.truth.poisoned[own]))
        for each, found in judged.items()
    }
    return {
        "set": name, "way": way, "columns": count, "rate": rate, "seed": seed,
        "accuracy": accuracy(model, test, domain)[0],
        "clean_accuracy": accuracy(clean, test, domain)[0], "asr": asr[0], "clean_asr": asr[1],
        "auroc": ranked, "unheard": unheard, "search": searched(name, model, seed),
        "clean_search": clean_search, "cpu_seconds": seconds,
        "trigger": trigger_in({"trigger": next(iter(state.values()))}),
        "environment": environment(),
    }  # fmt: skip


def worlds(sets: list[str]) -> Iterator[World]:
    """Curves of two ways over columns and shares, and the other ways at one point."""
    points = [(way, c, r) for way in CURVES for c in COUNTS for r in RATES]
    points += [(way, *POINT) for way in WAYS]
    for seed in range(SEEDS):
        for name in sets:
            for way, columns, share in points:
                label = f"{name}-{way}-{columns}-{share}-seed{seed}"
                yield label, functools.partial(world, name, way, columns, share, seed)


def cells_of(kept: list[Any], *where: Any) -> list[Any]:
    """The records of one place."""
    names = ("set", "way", "columns", "rate")
    return [r for r in kept if tuple(r[n] for n in names) == where]


def table() -> str:
    """Write success, damage and what detectors say, by table, way, columns and share."""
    kept = records(FOLDER, "*-seed*")
    places = sorted({(r["set"], r["way"], r["columns"], r["rate"]) for r in kept})
    order = sorted({name for r in kept for name in r["auroc"]})
    success, seen = [], []
    for place in places:
        cell = cells_of(kept, *place)
        name, way, columns, rate = place
        head = [name, way, str(columns), f"{100 * rate:g} %"]
        shares = ("asr", "clean_asr", "accuracy", "clean_accuracy")
        search = [f"{np.mean([r[n] for r in cell]):.2f}" for n in ("search", "clean_search")]
        cost = f"{np.median([r['cpu_seconds'] for r in cell]):.0f} s"
        success.append(
            [*head, *(average((r[n] for r in cell), bounded=True) for n in shares), *search, cost]
        )
        values = [[r["auroc"][each] for r in cell if each in r["auroc"]] for each in order]
        seen.append([*head, *(f"{np.mean(v):.2f}" if v else "" for v in values)])
    head = ["table", "way", "columns", "poison"]
    first = [*head, "ASR", "in the clean twin", "accuracy", "of the clean twin",
             "search for values", "in the clean twin", "attacker"]  # fmt: skip
    return f"{markdown(first, success)}\n{markdown([*head, *order], seen)}"


if __name__ == "__main__":
    torch.set_num_threads(1)
    command_line(__doc__, FOLDER, table, {"run": worlds}, list(SETS))
