"""Measure a served guard: its rate on clean inputs, what it finds, and how it takes overload.

    python recipes/guard_load.py          # three minutes of two cores; needs `ab` of apache2-utils
    python recipes/guard_load.py --data fashion-mnist --guard nearest-neighbours

A small network is trained on data with a patch and served by `mithridate guard` in a process of
its own, on the loopback. (a) Clean test inputs and triggered ones are sent over HTTP: the share
that is refused, with its interval. One guard has one calibration, whose luck a rate contains; so
calibration and clean test inputs are also exchanged 200 times, and the mean rate is compared with
the level. (b) `ab` sends more than the queue holds, while another client sends the clean inputs
again, one by one: every decision must be the one from the quiet time, and what was accepted must
have been answered. (c) The server is told to end while requests are under way.
"""

from __future__ import annotations

import argparse
import csv
import http.client
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from prometheus_client.parser import text_string_to_metric_families

from cells import save
from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.bench.metrics.evaluate import accuracy, attack_success
from mithridate.core.data import Dataset
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.runtime import environment
from mithridate.core.streams import stream
from mithridate.domains.catalogue import load_named
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.pipelines import kept_network
from mithridate.pipelines.calibration import Calibration
from mithridate.pipelines.kept_guard import load_guard
from mithridate.stats.intervals import mean, proportion

FOLDER = "guard_load"
MITHRIDATE = [sys.executable, "-c", "from mithridate.cli import main; main()"]
ATTACK = Poisoning(PatchTrigger(), AllToOne(0), RandomSelection(0.05))
RECIPE = TrainingConfig(epochs=5, batch_size=64, learning_rate=0.1, augment=False)
DOMAIN = ImageDomain()
TRAINED, TRUSTED, CLEAN, TRAPPED = 4_000, 1_500, 2_000, 500
LEVEL, EXCHANGES = 0.05, 200
BATCH, QUEUE, CLIENTS, SECONDS, REQUESTS = 32, 64, 100, 40, 40_000
"""What the server may hold, and what `ab` sends: connections at a time, and the bounds of it."""

TRIES, INSISTING = 4_000, 64
"""How often one input is sent again after a 429, and how many are sent at a time beside `ab`."""


class Door:
    """A connection to the server that is kept open."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, content: Any) -> tuple[int, Any]:
        """Send a request; gives the status and what was answered."""
        headers = {"Content-Type": "application/json"}
        self.connection.request("POST", "/v1/classify", json.dumps(content), headers)
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read())


def figures(port: int) -> dict[tuple[str, ...], float]:
    """The server's counters, by name and labels."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def prepare(folder: Path, data: str) -> tuple[torch.nn.Module, Dataset, Dataset, dict[str, Any]]:
    """Train the victim and write what the server is given; also gives what is sent to it."""
    train, test = load_named(data).data, load_named(data, "test").data
    train = train.subset(stream(0, "guard", "train").permutation(len(train))[:TRAINED])
    order = stream(0, "guard", "test").permutation(len(test))
    trusted, clean = test.subset(order[:TRUSTED]), test.subset(order[TRUSTED:][:CLEAN])
    poisoned = ATTACK.poison(train, stream(0, "poison")).data
    model = DOMAIN.network(poisoned, "resnet9:4", stream(0, "network"))
    fit(model, poisoned, DOMAIN, RECIPE, stream(0, "train"))
    kept_network.save(
        model, folder / "model.safetensors", kept_network.Note("resnet9:4", test.classes)
    )
    images = trusted.inputs.permute(0, 2, 3, 1).squeeze(-1).numpy()
    np.savez(folder / "trusted.npz", images=images, labels=trusted.labels.numpy())
    triggered_test = ATTACK.triggered_test(clean, stream(0, "trap"))
    success = attack_success(model, ATTACK, clean, DOMAIN, stream(0, "trap"))
    victim = {"accuracy": accuracy(model, clean, DOMAIN)._asdict(), "asr": success._asdict()}
    return model, clean, triggered_test.subset(range(min(TRAPPED, len(triggered_test)))), victim


@contextmanager
def server(folder: Path, *flags: object) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run the real server; gives its process and port."""
    command = [*MITHRIDATE, "guard", folder / "model.safetensors", "--fitted", folder / "guard",
               "--port", 0, *flags]  # fmt: skip
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith("serving on"):
                yield process, int(line.rpartition(":")[2])
                return
        raise SystemExit("the server did not start")
    finally:
        process.kill()


def quiet(port: int, data: Dataset) -> list[dict[str, Any]]:
    """Send inputs in full requests while nothing else is going on."""
    door, found = Door(port), []
    for part in data.inputs.split(BATCH):
        status, answer = door.ask({"inputs": part.tolist()})
        assert status == 200, answer
        found += answer["results"]
    return found


def rate(answers: list[dict[str, Any]]) -> dict[str, float]:
    """The share of inputs that were refused, with its interval."""
    refused = sum(answer["action"] == "refuse" for answer in answers)
    return proportion(refused, len(answers))._asdict()


def exchanged(folder: Path, model: torch.nn.Module, clean: Dataset) -> dict[str, float]:
    """The mean rate of clean inputs over exchanges of calibration and test examples."""
    guard = load_guard(folder / "guard", model, DOMAIN)
    decided, own = guard.decide(clean.inputs), guard.calibration
    scores = torch.cat([own.scores, decided.scores])
    predicted = torch.cat([own.predicted, decided.predicted])
    rates = []
    for number in range(EXCHANGES):
        order = torch.from_numpy(stream(number, "exchange").permutation(len(predicted)))
        ours, theirs = order[: len(own.predicted)], order[len(own.predicted) :]
        drawn = Calibration(scores[ours], predicted[ours], own.group_of)
        found = drawn.p_values(scores[theirs], predicted[theirs])
        rates.append(float((found <= guard.level).double().mean()))
    return mean(rates)._asdict()


def flood(folder: Path, port: int, body: Path) -> dict[str, Any]:
    """Send one input from many connections by `ab`, bounded in number and time."""
    table = folder / "percentiles.csv"
    command = ["ab", "-q", "-l", "-r", "-s", "60", "-t", SECONDS, "-n", REQUESTS, "-c", CLIENTS,
               "-p", body, "-T", "application/json", "-e", table,
               f"http://127.0.0.1:{port}/v1/classify"]  # fmt: skip
    said = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=True
    ).stdout
    with table.open() as opened:
        rows = {int(row[0]): float(row[1]) for row in list(csv.reader(opened))[1:]}

    def number(words: str) -> int:
        found = re.search(rf"{words}:\s+(\d+)", said)
        return int(found[1]) if found else 0

    return {
        "complete": number("Complete requests"), "failed": number("Failed requests"),
        "not 200": number("Non-2xx responses"),
        "latency_ms_all": {f"p{at}": rows.get(at) for at in (50, 95, 99)},
    }  # fmt: skip


def insisting(port: int, data: Dataset, stop: threading.Event) -> dict[str, Any]:
    """Send inputs one by one, again after a 429, for as long as the flood lasts."""
    doors = threading.local()
    tries: Counter[int] = Counter()
    took: list[float] = []

    def one(pixels: torch.Tensor) -> dict[str, Any] | None:
        if not hasattr(doors, "door"):
            doors.door = Door(port)
        for _ in range(TRIES):
            if stop.is_set():
                return None
            began = time.perf_counter()
            status, answer = doors.door.ask({"input": pixels.tolist()})
            tries[status] += 1
            if status == 200:
                took.append(1000 * (time.perf_counter() - began))
                return dict(answer)
            time.sleep(0.005)
        return None

    with ThreadPoolExecutor(INSISTING) as pool:
        answers = list(pool.map(one, data.inputs))
    shares = (50, 95, 99)
    at = [round(float(np.percentile(took, share)), 1) for share in shares] if took else []
    return {
        "answers": answers, "statuses": {str(k): v for k, v in tries.items()},
        "latency_ms_200": {f"p{p}": ms for p, ms in zip(shares, at, strict=False)},
    }  # fmt: skip


def overload(
    folder: Path, port: int, clean: Dataset, before: list[dict[str, Any]]
) -> dict[str, Any]:
    """Flood the server while the clean inputs are sent again, and compare with the quiet time."""
    body, stop = folder / "body.json", threading.Event()
    body.write_text(json.dumps({"input": clean.inputs[0].tolist()}))
    start = figures(port)
    with ThreadPoolExecutor(1) as beside:
        calm = beside.submit(insisting, port, clean, stop)
        sent = flood(folder, port, body)
        stop.set()
        asked = calm.result()
    end = figures(port)
    grown = {" ".join(key): end[key] - start.get(key, 0.0) for key in end
             if key[0].endswith("_total") and end[key] != start.get(key, 0.0)}  # fmt: skip
    pairs = [(b, a) for b, a in zip(before, asked.pop("answers"), strict=True) if a is not None]
    ended = sum(v for k, v in grown.items() if k.startswith("mithridate_answered"))
    return {
        "ab": sent, "beside": asked, "server": grown,
        "accepted": grown["mithridate_accepted_total"], "answered": ended,
        "asked_again": len(pairs), "refused_quiet": rate([b for b, _ in pairs]),
        "refused_overloaded": rate([a for _, a in pairs]),
        "actions_that_differ": sum(b["action"] != a["action"] for b, a in pairs),
    }  # fmt: skip


def ending(process: subprocess.Popen[str], port: int, clean: Dataset) -> dict[str, Any]:
    """Tell the server to end while requests are under way; every one of them wants its answer."""
    before = figures(port)[("mithridate_accepted_total",)]
    ask = {"inputs": clean.inputs[:8].tolist()}

    def one(_: int) -> int:
        return Door(port).ask(ask)[0]

    with ThreadPoolExecutor(8) as pool:  # 64 inputs, as many as the queue holds
        under_way = [pool.submit(one, number) for number in range(8)]
        while figures(port)[("mithridate_accepted_total",)] < before + 8:
            time.sleep(0.002)
        process.send_signal(signal.SIGTERM)
        statuses = Counter(str(each.result()) for each in under_way)
    return {"under_way": 8, "statuses": dict(statuses), "exit_status": process.wait(timeout=30)}


def main() -> None:
    """Run everything and keep the record."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--data", default="mnist")
    options.add_argument("--guard", default=["strip", "mahalanobis"], nargs="+")
    given = options.parse_args()
    if shutil.which("ab") is None:
        raise SystemExit("needs `ab`: apt-get install apache2-utils")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, clean, triggered_test, victim = prepare(folder, given.data)
        print("victim", victim, flush=True)
        subprocess.run(
            [*MITHRIDATE, "guard", str(folder / "model.safetensors"), "--trusted",
             str(folder / "trusted.npz"), *(f"--guard={name}" for name in given.guard),
             "--level", str(LEVEL), "--fit-only", str(folder / "guard")], check=True,
        )  # fmt: skip
        with server(folder, "--batch", BATCH, "--queue", QUEUE) as (process, port):
            before = quiet(port, clean)
            found = {"clean": rate(before), "triggered": rate(quiet(port, triggered_test))}
            print(found, flush=True)
            loaded = overload(folder, port, clean, before)
            ended = ending(process, port, clean)
        found["clean_over_exchanges"] = exchanged(folder, model, clean)
    version = subprocess.run(["ab", "-V"], capture_output=True, text=True, check=True).stdout
    record = {
        "data": given.data, "guard": given.guard, "level": LEVEL, "trained_on": TRAINED,
        "trusted": TRUSTED, "exchanges": EXCHANGES, "attack": ATTACK.config(), "victim": victim,
        "server": {"batch": BATCH, "queue": QUEUE}, "clients": CLIENTS, "refused": found,
        "overload": loaded, "ending": ended, "ab": version.splitlines()[0],
        "environment": environment(),
    }  # fmt: skip
    save(FOLDER, f"{given.data}-{'-and-'.join(given.guard)}", record)


if __name__ == "__main__":
    main()
