"""How many of the last commits would have moved the keys of a store, before and now.

    python recipes/key_replay.py --until f07cea4

Before, a key held the code of all that its step imported: a commit moved the key of `Data`, and so
every key, where it changed the syntax tree of any file in the closure of that step, as the closure
was at `--until`. Now children see a digest of the examples: the readers of each commit that touched
that closure are run, before and after the commit, on the digits, on texts in CSV and on pictures in
folders, and the digests are compared. The key of `Judge` itself moves where those move, or a file
that it imports changed; what it asks of a domain is left out. Both closures are of one version:
files that are new since `--until` count under the name of the file that they were taken from.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from functools import cache
from io import BytesIO
from pathlib import Path

from cells import save
from mithridate.bench import digest
from mithridate.bench.contents import __file__ as contents
from mithridate.bench.origin import origin

PACKAGE = "src/mithridate"
DATA, JUDGE = "bench/steps/data.py", "bench/steps/judge.py"
TAKEN = {
    "bench/steps/examples.py": DATA, "bench/steps/network.py": "bench/steps/train.py",
    "bench/steps/suspects.py": "bench/steps/poison.py", "core/inference.py": "core/view.py",
    "core/quantisation.py": "core/grid.py", "core/training_run.py": "core/fit.py",
    **{f"bench/metrics/{name}.py": f"bench/{name}.py"
       for name in ("comparing", "evaluate", "finding", "stealth", "verdicts")},
}  # fmt: skip
"""Where the code of files came from that were made after `--until`."""

READ = """
import importlib.util, json, sys
from pathlib import Path

spec = importlib.util.spec_from_file_location("contents", sys.argv[1])
contents = importlib.util.module_from_spec(spec)
spec.loader.exec_module(contents)
from mithridate.domains.catalogue import named
from mithridate.domains.formats import read

folder, found = Path(sys.argv[2]), {}
for name in ("digits", "texts", "pictures"):
    give = (lambda split: named("digits", split)) if name == "digits" else (
        lambda split: read(folder / name, split=split))
    train, test = give("train"), give("test")
    found[name] = contents.split_digest((train.data, test.data), train.domain)
print(json.dumps(found))
"""


def git(*arguments: str) -> str:
    """Ask git."""
    asked = ["git", *arguments]
    return subprocess.run(asked, check=True, capture_output=True, encoding="utf-8").stdout


@cache
def tree(commit: str, place: str) -> str:
    """The syntax tree of a file at a commit, without prose; empty where there is none."""
    try:
        text = git("show", f"{commit}:{PACKAGE}/{place}")
    except subprocess.CalledProcessError:
        return ""
    return ast.dump(digest.without_prose(ast.parse(text)))


def touched(commit: str) -> set[str]:
    """The files of the package whose code a commit changed."""
    names = git("diff-tree", "--no-commit-id", "--name-only", "-r", commit, "--", PACKAGE).split()
    places = {n.removeprefix(f"{PACKAGE}/") for n in names if n.endswith(".py")}
    return {place for place in places if tree(commit, place) != tree(f"{commit}^", place)}


def unpack(commit: str, folder: Path) -> Path:
    """Put the source of a commit into a folder of its own."""
    home = folder / commit
    if not home.exists():
        packed = subprocess.run(["git", "archive", commit, "src"], check=True, capture_output=True)
        with tarfile.open(fileobj=BytesIO(packed.stdout)) as archive:
            archive.extractall(home, filter="data")
    return home / "src"


def closures(until: str, folder: Path) -> tuple[set[str], set[str], set[str]]:
    """The closures of `Data` and `Judge` before, and of `Judge` now under the names of then."""
    now = {p.relative_to(digest.PACKAGE).as_posix() for p in
           digest.near_files((digest.PACKAGE / JUDGE).resolve())}  # fmt: skip
    digest.PACKAGE = (unpack(until, folder) / "mithridate").resolve()
    digest.forget()
    data, judge = (
        {p.relative_to(digest.PACKAGE).as_posix() for p in digest.closure(digest.PACKAGE / place)}
        for place in (DATA, JUDGE)
    )
    return data, judge, {TAKEN.get(place, place) for place in now}


def examples(folder: Path) -> Path:
    """Texts in CSV and pictures in folders, each with two splits."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for split, n in (("train", 40), ("test", 20)):
        rows = [f"some text {i},{'good' if i % 2 else 'bad'}" for i in range(n)]
        (folder / "texts").mkdir(exist_ok=True)
        (folder / "texts" / f"{split}.csv").write_text("\n".join(["text,label", *rows]) + "\n")
        for i in range(n):
            home = folder / "pictures" / split / ("cat", "dog")[i % 2]
            home.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(home / f"{i}.png")
    return folder


@cache
def seen(commit: str, folder: Path, data: Path) -> dict[str, str]:
    """The digests of what the readers of a commit give; empty where they cannot be run."""
    command = [sys.executable, "-c", READ, contents, str(data)]
    env = {**os.environ, "PYTHONPATH": str(unpack(commit, folder))}
    done = subprocess.run(command, env=env, capture_output=True, encoding="utf-8")
    found: dict[str, str] = json.loads(done.stdout) if done.returncode == 0 else {}
    return found


def main() -> None:
    """Replay the commits and write results/key_replay/COMMIT.json."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--until", default="HEAD")
    parser.add_argument("--commits", type=int, default=120)
    asked = parser.parse_args()
    until = git("rev-parse", "--short", asked.until).strip()
    log = git("log", "--format=%H", "-n", str(asked.commits), until, "--", "src").split()
    moved: dict[str, list[str]] = {"data before": [], "judge before": [], "data": [], "judge": []}
    with tempfile.TemporaryDirectory() as name:
        folder, data = Path(name), examples(Path(name))
        old_data, old_judge, judge = closures(until, folder)
        for commit in log:
            changed = touched(commit)
            moved["data before"] += [commit] if changed & old_data else []
            moved["judge before"] += [commit] if changed & old_judge else []
            first, second = (
                seen(git("rev-parse", c).strip(), folder, data) if changed & old_data else {}
                for c in (f"{commit}^", commit)
            )
            other = [n for n in second if first.get(n) != second[n]]
            moved["data"] += [commit] if other else []
            moved["judge"] += [commit] if other or changed & judge else []
            print(commit[:7], len(changed), other, flush=True)
    save("key_replay", until, {
        "until": until, "commits": len(log), "moved": {n: len(c) for n, c in moved.items()},
        "share": {n: round(len(c) / len(log), 4) for n, c in moved.items()},
        "which": {n: [c[:7] for c in commits] for n, commits in moved.items()},
        "files": {
            "data before": len(old_data), "judge before": len(old_judge), "judge": len(judge),
        },
        "environment": origin(),
    })  # fmt: skip


if __name__ == "__main__":
    main()
