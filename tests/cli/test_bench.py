"""`mithridate bench` on a sweep of a few seconds."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import zlib

import pytest

from cli.runs import MITHRIDATE, environment, inside
from mithridate.bench import digest

RECIPE = '''
"""Few digits, one attack that does not take, and none."""

from mithridate.attacks.poisoning import Poisoning
from mithridate.bench.cell import Rules, Task, grid
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.pipelines.finding import Rule
from mithridate.core.fit import TrainingConfig

from FINDERS import Half

TASK = Task("digits", 150, 60, TrainingConfig(epochs=1, batch_size=64))
RULES = Rules(Rule(0.05, 0.2, 0.01, 49), min_asr=TOOK)


def sweep():
    attack = Poisoning(PatchTrigger(size=2, row=-2, column=-2))
    return grid({"digits": TASK}, {"badnets": attack}, {"half": Half()},
                rates=(0.0, 0.1), trusted=(60,), seeds=(0,), rules=RULES)


def few():
    return [cell for cell in sweep() if cell.names[2] == "none"]


def nothing():
    return []


def numbers():
    return [1, 2]
'''

FINDERS = """
from dataclasses import dataclass

from mithridate.core.method import Detector


@dataclass(frozen=True)
class Half(Detector):
    def fit(self, view):
        return {}

    def score(self, state, view):
        BREAK
        return view.labels * 0.5
"""


def written(folder, took=0.99, line="pass"):
    """A recipe, and beside it a detector under a name that no other test has imported."""
    folder.mkdir(exist_ok=True)
    own = f"finders_{zlib.crc32(str(folder).encode())}"
    recipe = RECIPE.replace("TOOK", str(took)).replace("FINDERS", own)
    (folder / "tiny_sweep.py").write_text(recipe)
    (folder / f"{own}.py").write_text(FINDERS.replace("BREAK", line))
    return folder / "tiny_sweep.py"


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A sweep that was run by a worker, which is another process, and what it said."""
    folder = tmp_path_factory.mktemp("bench")
    recipe, store = written(folder / "recipes"), folder / "store"
    done = inside("bench", "run", recipe, "--store", store, "--workers", 1)
    return recipe, store, done


def steps(store):
    return sorted(f.name for f in (store / "steps").iterdir())


def test_a_run_computes_every_cell_and_says_how_they_ended(ran):
    _, store, done = ran
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 cells (0 ended)" in done.stdout and "0 cached" in done.stdout
    assert "10 cells: 5 done, 5 void" in done.stdout
    assert "0 workers were lost" in done.stdout
    assert len(steps(store)) > 15 and not list((store / "unfinished").iterdir())
    assert not list((store / "failures").iterdir())


def test_a_second_run_computes_nothing(ran):
    recipe, store, _ = ran
    before = steps(store)
    done = inside("bench", "run", recipe, "--store", store, "--on", "serial")
    assert done.returncode == 0
    assert done.stdout.strip() == "10 cells: 5 done, 5 void" and steps(store) == before


def test_a_plan_counts_and_writes_no_step(ran, tmp_path):
    recipe, store, _ = ran
    done = inside("bench", "plan", recipe, "--store", tmp_path / "new", "--workers", 2)
    assert done.returncode == 0 and steps(tmp_path / "new") == []
    assert "10 cells (0 ended)" in done.stdout and "with 2 processes" in done.stdout
    kinds = [line.split()[0] for line in done.stdout.splitlines() if line.strip()]
    assert {"train", "retrain", "judge", "poison", "gate"} <= set(kinds)
    done = inside("bench", "plan", recipe, "--store", store)
    assert "10 cells (10 ended)" in done.stdout and "processes" not in done.stdout
    done = inside("bench", "plan", f"{recipe}:few", "--store", store)
    assert "2 cells (2 ended)" in done.stdout


def test_the_status_tells_why_cells_did_not_end_well(ran, tmp_path):
    recipe, store, _ = ran
    done = inside("bench", "status", recipe, "--store", store)
    assert done.returncode == 0
    assert "5 x the attack did not take" in done.stdout and "void" in done.stdout
    done = inside("bench", "status", recipe, "--store", tmp_path / "new")
    assert done.returncode == 0 and "pending" in done.stdout and "10" in done.stdout


def test_only_some_cells(ran):
    recipe, store, _ = ran
    told = {
        ("--where", "defence=none"): "2 cells (2 ended)",
        ("--where", "rate=0.1"): "5 cells (5 ended)",
        ("--where", "rate=0.1", "--where", "role=control"): "4 cells (4 ended)",
        ("--where", "attack=badnets"): "10 cells (10 ended)",
    }
    for where, said in told.items():
        done = inside("bench", "plan", recipe, "--store", store, *where)
        assert done.returncode == 0 and said in done.stdout, done.stdout + done.stderr
    key = next(
        key for key in steps(store)
        if json.loads((store / "steps" / key / "step.json").read_text())["kind"] == "judge"
    )  # fmt: skip
    done = inside("bench", "plan", recipe, "--store", store, "--cell", key[:16])
    assert "1 cells (1 ended)" in done.stdout


def test_verifying_an_honest_store_and_an_altered_one(ran):
    recipe, store, _ = ran
    done = inside("bench", "verify", recipe, "--store", store, "--sample", 6)
    assert done.returncode == 0 and done.stdout.startswith("6 of 6 steps are the same")
    file = next(
        key / "tensors.safetensors" for key in sorted((store / "steps").iterdir())
        if json.loads((key / "step.json").read_text())["kind"] == "evidence"
    )  # fmt: skip
    honest = file.read_bytes()
    file.write_bytes(honest[:-3] + bytes([honest[-3] ^ 1]) + honest[-2:])
    try:
        done = inside("bench", "verify", recipe, "--store", store, "--sample", 1000)
    finally:
        file.write_bytes(honest)
    assert done.returncode == 1
    assert f"{file.parent.name} evidence: " in done.stdout and "differs by up to" in done.stdout


def test_collecting_removes_only_what_no_recipe_needs(ran, tmp_path):
    recipe, store, _ = ran
    before = steps(store)
    done = inside("bench", "gc", recipe, "--store", store, "--yes")
    assert done.returncode == 0 and "removed 0 of" in done.stdout and steps(store) == before
    copied = tmp_path / "store"
    subprocess.run(["cp", "-r", store, copied], check=True)
    done = inside("bench", "gc", f"{recipe}:few", "--store", copied)
    assert "--yes removes them" in done.stdout and steps(copied) == before
    done = inside("bench", "gc", f"{recipe}:few", "--store", copied, "--yes")
    assert done.returncode == 0
    left = steps(copied)
    assert 0 < len(left) < len(before) and set(left) < set(before)
    done = inside("bench", "run", f"{recipe}:few", "--store", copied, "--on", "serial")
    assert done.stdout.strip() == "2 cells: 1 done, 1 void", "and nothing was computed again"


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["plan", "nowhere.py"], "a recipe is a Python file such as recipes/smoke.py, found"),
        (["run", "RECIPE.txt"], "a recipe is a Python file"),
        (["plan", "RECIPE:absent"], "has no function 'absent' that gives the cells"),
        (["plan", "RECIPE:TASK"], "has no function 'TASK'"),
        (["plan", "RECIPE:nothing"], "must give a list of cells"),
        (["plan", "RECIPE:numbers"], "found int"),
        (
            ["plan", "RECIPE", "--where", "colour=red"],
            "knows no axis 'colour'; the axes: domain, task, ",
        ),
        (["status", "RECIPE", "--where", "attack=other"], "no cell of the recipe is like that"),
        (["run", "RECIPE", "--cell", "zzz"], "no cell of the recipe is like that"),
        (["run", "RECIPE", "--on", "moon"], "cannot run on 'moon'; expected one of local"),
        (["gc", "nowhere.py", "--yes"], "a recipe is a Python file"),
    ],
)
def test_errors_are_one_clear_line_and_status_2(tmp_path, arguments, said):
    recipe = str(written(tmp_path / "recipes"))
    given = [a.replace("RECIPE.txt", str(tmp_path)).replace("RECIPE", recipe) for a in arguments]
    done = inside("bench", *given, "--store", tmp_path / "store")
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and "a bug" not in done.stderr


def test_a_store_of_a_newer_version_is_an_error(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "store.json").write_text('{"schema": 99}')
    done = inside("bench", "status", written(tmp_path / "a"), "--store", tmp_path / "store")
    assert done.returncode == 2 and "schema 99" in done.stderr


def test_the_parser_refuses_what_it_does_not_know():
    assert inside("bench", "fly").returncode == 2
    assert inside("bench", "plan").returncode == 2
    assert inside("bench", "verify", "x.py", "--sample", "0").returncode == 2


@pytest.mark.parametrize("text", ["def sweep(:\n", "import absent_thing\n", "1 / 0\n"])
def test_a_recipe_that_breaks_is_the_users_to_mend(tmp_path, text):
    (tmp_path / "broken_recipe.py").write_text(text)
    done = inside("bench", "plan", tmp_path / "broken_recipe.py", "--store", tmp_path / "store")
    assert done.returncode == 2 and "broken_recipe.py" in done.stderr
    assert "(a bug;" not in done.stderr


def test_a_rate_may_be_spelt_as_people_do(ran):
    recipe, store, _ = ran
    done = inside("bench", "plan", recipe, "--store", store, "--where", "rate=0")
    assert done.returncode == 0 and "5 cells" in done.stdout


def test_a_recipe_named_like_a_module_does_not_replace_it(tmp_path, monkeypatch):
    recipe = written(tmp_path / "a").rename(tmp_path / "a" / "shlex.py")
    monkeypatch.setitem(sys.modules, "shlex", shlex)  # and back again after the test
    monkeypatch.setattr(sys, "path", [*sys.path])  # to which the folder of a recipe is added
    inside("bench", "plan", recipe, "--store", tmp_path / "store")
    assert sys.modules["shlex"] is shlex


def test_a_detector_in_the_file_of_its_recipe_is_refused_with_what_to_do(tmp_path):
    recipe = written(tmp_path / "recipes")
    text = recipe.read_text()
    imports = next(line for line in text.splitlines() if line.startswith("from finders_"))
    one_file = text.replace(imports, FINDERS)
    (recipe.parent / "one_file.py").write_text(one_file.replace("BREAK", "pass"))
    done = inside(
        "bench", "run", recipe.parent / "one_file.py", "--store", tmp_path / "store",
        "--on", "serial", "--where", "rate=0.0", "--where", "defence=half",
    )  # fmt: skip
    assert "1 cells: 1 skipped" in done.stdout  # since a recipe imports attacks and the bench
    (judge,) = [
        json.loads(f.read_text()) for f in (tmp_path / "store").glob("steps/*/facts.json")
        if "tuning" in f.read_text()
    ]  # fmt: skip
    assert judge["why"].startswith("refused: half imports mithridate.")
    assert "a file of its own" in judge["why"]
    assert judge["why"] in " ".join(done.stderr.split()), "the reason is on the screen"
    planned = inside(
        "bench", "plan", recipe.parent / "one_file.py", "--store", tmp_path / "other",
        "--where", "rate=0.0", "--where", "defence=half",
    )  # fmt: skip
    assert planned.returncode == 1
    assert f"1 cell will not be computed: {judge['why']}" in " ".join(planned.stderr.split())


def test_what_fails_is_status_1_and_is_run_again_once_it_is_mended(tmp_path, monkeypatch):
    recipe = written(tmp_path / "recipes", line="1 / 0")
    asked = ("bench", "run", recipe, "--store", tmp_path / "store", "--on", "serial")
    done = inside(*asked)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "10 cells: 4 done, 5 void, 1 failed" in done.stdout
    assert "failed: detect" in done.stderr and "ZeroDivisionError" in done.stderr
    status = inside("bench", "status", recipe, "--store", tmp_path / "store")
    assert status.returncode == 1 and "1 x ZeroDivisionError: division by zero" in status.stdout
    written(tmp_path / "recipes")
    for name in [name for name in sys.modules if name.startswith(("finders_", "tiny_sweep"))]:
        monkeypatch.delitem(sys.modules, name)  # as in the next process
    digest.forget()
    done = inside(*asked)
    assert done.returncode == 0 and "10 cells: 5 done, 5 void" in done.stdout


def test_a_run_that_is_interrupted_says_how_to_go_on(tmp_path):
    recipe = written(tmp_path / "recipes", line="import time; time.sleep(60)")
    process = subprocess.Popen(
        [*MITHRIDATE, "bench", "run", str(recipe), "--store", str(tmp_path / "store"),
         "--on", "serial", "--where", "defence=half", "--where", "rate=0.0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
    )  # fmt: skip
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        if any("evidence" in f.read_text() for f in (tmp_path / "store").glob("steps/*/step.json")):
            break
        time.sleep(0.05)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130 and "the same command goes on" in err
    assert not list((tmp_path / "store" / "failures").iterdir())
