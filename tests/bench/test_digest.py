"""A key changes with the logic that its result depends on, and with nothing else."""

import ast
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mithridate.attacks.poisoning import Poisoning
from mithridate.bench import digest, doors
from mithridate.bench.cell import Rules, Task, grid
from mithridate.bench.digest import closure, code_digest
from mithridate.bench.plan import make_plan
from mithridate.bench.steps.data import Data
from mithridate.bench.steps.detect import Detect
from mithridate.bench.steps.evidence import Evidence
from mithridate.bench.steps.poison import Poison
from mithridate.bench.steps.train import Train
from mithridate.bench.syntax import without_prose
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig
from mithridate.detectors.early_loss import EarlyLoss
from mithridate.detectors.spectral_signatures import SpectralSignatures
from mithridate.domains.image.global_triggers import BlendTrigger
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.pipelines.finding import Rule
from mithridate.trainers.standard import Standard

PACKAGE = digest.PACKAGE
RULE = Rule(0.05, 0.2, 0.01, 99)


def forget():
    digest.forget()
    doors.forget()


@pytest.fixture(autouse=True)
def fresh():
    forget()
    yield
    forget()


XFAIL = {"strict": True, "raises": AssertionError}


@pytest.fixture
def edit(monkeypatch):
    """Let a file of the package read as if it had been edited."""
    edited, read = {}, Path.read_text

    def reading(path, *arguments, **named):
        return edited.get(path.resolve()) or read(path, *arguments, **named)

    def edit(place, change):
        path = (PACKAGE / place).resolve()
        before = read(path, "utf-8")
        edited[path] = change(before)
        assert edited[path] != before, "the edit must change something"
        ast.parse(edited[path])
        forget()

    monkeypatch.setattr(Path, "read_text", reading)
    return edit


def replacing(old, new):
    return lambda text: text.replace(old, new, 1)


def cells(extra=()):
    attacks = {
        "badnets": Poisoning(PatchTrigger(size=2, row=-2, column=-2)),
        "blended": Poisoning(BlendTrigger()),
    }
    defences = {"spectral": SpectralSignatures(), "early": EarlyLoss(), **dict(extra)}
    rules = Rules(RULE, probe=Poisoning(PatchTrigger()))
    return grid(
        {"digits": Task("digits", 900, None, TrainingConfig(epochs=3))}, attacks, defences,
        rates=(0.0, 0.1), trusted=(300,), seeds=(0,), tunings=("default", "granted"), rules=rules,
    )  # fmt: skip


def ancestors(end):
    found, queue = {}, [end]
    while queue:
        step = queue.pop()
        if step.key not in found:
            found[step.key] = step
            queue += step.parents
    return found


def only_of(plan, asked):
    """The kept steps that cells asked for need and no other cell does."""
    mine, others = {}, set()
    for cell, end in zip(plan.cells, plan.ends, strict=True):
        if asked(cell):
            mine |= ancestors(end)
        else:
            others |= ancestors(end).keys()
    return {key for key, step in mine.items() if step.stored and key not in others}


def changed(before, after):
    """Keys of the plan before that are others after; both list their steps in the same order."""
    assert [s.kind() for s in before.steps] == [s.kind() for s in after.steps]
    pairs = zip(before.steps, after.steps, strict=True)
    return {b.key for b, a in pairs if b.key != a.key}


def kinds(plan, keys):
    return {step.kind() for step in plan.steps if step.key in keys}


@pytest.fixture(scope="module")
def before():
    """The plan of the code as it is, every key computed."""
    forget()
    plan = make_plan(cells())
    assert len({step.key for step in plan.steps}) == len(plan.steps)
    return plan


def rewritten(text):
    """The same code in another layout, without comments, and with other documentation."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(
            node
        ):
            node.body[0].value.value = "Something else."
    return f"# a comment\n{ast.unparse(tree)}\n"


def test_prose_and_layout_change_no_key(edit, before):
    for path in sorted(PACKAGE.rglob("*.py")):
        edit(path.relative_to(PACKAGE), rewritten)
    assert changed(before, make_plan(cells())) == set()


def test_a_docstring_is_prose_wherever_it_stands(tmp_path):
    lines = ["def f(x):", "    'does'", "    return x", "class A:", "    'is'"]
    bare = ["def f(x):", "    return x", "class A:", "    pass"]
    told, untold = (ast.dump(without_prose(ast.parse("\n".join(text)))) for text in (lines, bare))
    assert told == untold
    other = ast.dump(without_prose(ast.parse("def f(x):\n    return 'does'\n")))
    assert "does" in other, "a string that is used is logic"


def test_a_detectors_logic_changes_its_cells_and_nothing_else(edit, before):
    edit("detectors/early_loss.py", replacing("return -view.losses", "return +view.losses"))
    found = changed(before, make_plan(cells()))
    assert found == only_of(before, lambda cell: isinstance(cell.defence, EarlyLoss))
    assert kinds(before, found) == {"detect", "retrain", "outcome", "judge", "tune"}


def test_what_a_method_imports_changes_it_and_others_that_import_it(edit, before):
    edit("stats/krylov.py", lambda text: text + "\nMORE = 1\n")  # imported by linear.py
    found = changed(before, make_plan(cells()))
    assert found == only_of(before, lambda cell: isinstance(cell.defence, SpectralSignatures))


def test_a_method_inside_a_method_counts(edit, before):
    place = "domains/image/global_triggers.py"
    edit(place, lambda text: text + "\nMORE = 1\n")
    found = changed(before, make_plan(cells()))
    blended = only_of(before, lambda cell: isinstance(cell.attack.trigger, BlendTrigger))
    assert found == blended
    assert {"poison", "train", "gate", "stealth"} <= kinds(before, found)
    clean = [s.key for s in before.steps if isinstance(s, Poison) and s.attack is None]
    assert clean and not found & set(clean), "what was done without the attack stays"


def test_what_all_depend_on_changes_all(edit, before):
    edit("bench/steps/examples.py", replacing("range(len(data))", "range(len(data) + 0)"))
    after = make_plan(cells())
    assert changed(before, after) == {step.key for step in before.steps}


def test_the_judge_alone_can_be_rewritten(edit, before):
    edit("bench/metrics/comparing.py", replacing("0.1, 0.1", "0.1, 0.2"))
    assert kinds(before, changed(before, make_plan(cells()))) == {"judge"}


def test_training_depends_on_no_detector_attack_or_report():
    names = {path.relative_to(PACKAGE).parts[0] for path in closure(file_of(Train))}
    assert not names & {"detectors", "attacks", "report", "cli", "repairs"}
    assert not {path.stem for path in closure(file_of(Train))} & {"store", "execute", "run", "plan"}


def file_of(thing):
    return Path(sys.modules[thing.__module__].__file__).resolve()


OWN = '''
from dataclasses import dataclass

from mithridate.core.method import Detector
{imports}

@dataclass(frozen=True)
class Mine(Detector):
    """Of a user."""

    power: float = 1.0

    def fit(self, view):
        return {{}}

    def score(self, state, view):
        {score}
'''


def own(folder, score="return view.labels * 0.0", imports="", name="mine"):
    folder.mkdir(exist_ok=True, parents=True)
    file = folder / f"{name}.py"
    file.write_text(OWN.format(score=score, imports=imports))
    forget()
    return file


def test_a_users_own_detector_is_known_by_its_file(load, tmp_path):
    mine = load(own(tmp_path), "mine").Mine
    before = make_plan(cells([("mine", mine())]))
    again = make_plan(cells([("mine", load(own(tmp_path), "mine").Mine())]))
    assert changed(before, again) == set()
    edited = load(own(tmp_path, score="return view.labels * 1.0"), "mine").Mine
    found = changed(before, make_plan(cells([("mine", edited())])))
    assert found == only_of(before, lambda cell: isinstance(cell.defence, mine))
    assert kinds(before, found) == {"detect", "retrain", "outcome", "judge"}


def test_what_lies_beside_a_users_file_counts_and_what_it_imports_too(load, tmp_path):
    file = own(tmp_path, imports="def late():\n    from beside import weight\n")
    (tmp_path / "beside.py").write_text("import further\n")
    (tmp_path / "further.py").write_text("weight = 1\n")
    (tmp_path / "unrelated.py").write_text("weight = 1\n")
    assert {path.name for path in closure(file)} >= {"mine.py", "beside.py", "further.py"}
    mine = load(file, "mine").Mine
    before = key_of(mine())
    for name, changes in (("unrelated.py", False), ("further.py", True), ("beside.py", True)):
        (tmp_path / name).write_text("import further\nweight = 2\n")
        forget()
        assert (key_of(mine()) != before) is changes
        before = key_of(mine())


@pytest.mark.parametrize("imports", ["from .maths import weight", "from lib.maths import weight"])
def test_what_a_detector_of_another_package_imports_counts(tmp_path, monkeypatch, imports):
    home = tmp_path / "lib"
    file = own(home, imports=imports)
    (home / "__init__.py").write_text("")
    (home / "maths.py").write_text("weight = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        mine = importlib.import_module("lib.mine").Mine
        before = key_of(mine())
        (home / "maths.py").write_text("weight = 2\n")
        forget()
        assert file.resolve() in closure(file.resolve())
        assert key_of(mine()) != before
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "lib"]:
            del sys.modules[name]


@pytest.mark.parametrize(
    "imports, place",
    [
        ("from mithridate import View", "core/view.py"),
        ("from mithridate.detectors import SpectralSignatures", "detectors/spectral_signatures.py"),
        ("import mithridate.detectors as known", "detectors/spectral_signatures.py"),
        ("from mithridate import Source", "domains/formats/source.py"),
    ],
)
def test_what_a_package_gives_when_it_is_asked_counts(edit, load, tmp_path, imports, place):
    mine = load(own(tmp_path, imports=imports), "mine").Mine
    before = key_of(mine())
    edit(place, lambda text: text + "\nMORE = 1\n")
    assert key_of(mine()) != before
    files = closure(file_of(mine))
    assert PACKAGE / "attacks" / "named.py" not in files, "and nothing that was not asked for"


def evidence():
    data = Data("digits", 900, 300, None, 0)
    return Evidence(Train(Poison(data, None, 0), data, "", Standard(), 0))


def key_of(detector, rule=RULE):
    return Detect(evidence(), detector, rule, 0).key


def test_a_digest_does_not_depend_on_the_folder_that_a_users_file_lies_in(
    load, tmp_path, monkeypatch
):
    home = tmp_path / "m" / "pack"
    home.mkdir(parents=True)
    (home / "core.py").write_text("weight = 1\n")
    monkeypatch.setattr(digest, "PACKAGE", home)
    found = set()
    for place in ("a", "z"):
        (tmp_path / place).mkdir()
        file = tmp_path / place / "mine.py"
        file.write_text("def late():\n    from pack.core import weight\n")
        forget()
        found.add(code_digest(load(file, "mine")))
    assert len(found) == 1


def test_a_key_is_the_same_in_another_process_whatever_was_imported_before():
    keys = [step.key for step in make_plan(cells()).steps]
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import mithridate.cli.program, mithridate.report.page, mithridate.detectors.spectre\n"
        "from bench.test_digest import cells\n"
        "from mithridate.bench.plan import make_plan\n"
        "import json; plan = make_plan(cells()[::-1])\n"
        "print(json.dumps(sorted(s.key for s in plan.steps)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(Path(__file__).parents[1])], check=True, text=True,
        capture_output=True, env={**os.environ, "PYTHONHASHSEED": "4321"}, cwd="/",
    )  # fmt: skip
    assert json.loads(done.stdout) == sorted(keys)


def test_a_class_without_a_file_is_refused():
    typed = type("Typed", (), {"__module__": "__console__"})
    with pytest.raises(MethodError, match="put it into a file"):
        code_digest(typed)


def test_two_detectors_of_one_file_share_its_digest_and_not_their_keys():
    assert code_digest(Standard) == code_digest(Standard)
    assert code_digest(Rule) != code_digest(TrainingConfig)
    assert key_of(SpectralSignatures()) != key_of(SpectralSignatures(compat="official"))
    assert key_of(SpectralSignatures()) != key_of(EarlyLoss())


OTHER_RULE = """
from dataclasses import dataclass

from mithridate.pipelines.finding import Rule

@dataclass(frozen=True)
class Lenient(Rule):
    def decide(self, judged, data, trusted, rng):
        return None
"""

OTHER_RECIPE = """
from dataclasses import dataclass

from mithridate.core.fit import TrainingConfig

@dataclass(frozen=True)
class Constantly(TrainingConfig):
    def at(self, step, steps):
        return self.learning_rate
"""


def test_another_rule_with_the_same_fields_has_another_key(load, tmp_path):
    (tmp_path / "rules.py").write_text(OTHER_RULE)
    lenient = load(tmp_path / "rules.py", "rules").Lenient
    assert key_of(EarlyLoss(), lenient(0.05, 0.2, 0.01, 99)) != key_of(EarlyLoss())


def test_another_recipe_with_the_same_fields_has_another_key(load, tmp_path):
    (tmp_path / "recipes.py").write_text(OTHER_RECIPE)
    other = load(tmp_path / "recipes.py", "recipes").Constantly
    data = Data("digits", 900, 300, None, 0)
    trains = [
        Train(Poison(data, None, 0), data, "", Standard(r), 0) for r in (TrainingConfig(), other())
    ]
    assert trains[0].key != trains[1].key


def test_other_data_under_the_same_name_have_another_key(tmp_path):
    keys = []
    for text in ("text,label\ngood,1\nbad,0\n", "text,label\nbad,1\ngood,0\n"):
        (tmp_path / "train.csv").write_text(text)
        keys.append(Poison(Data(str(tmp_path), None, 0, None, 0), None, 0).key)
    assert keys[0] != keys[1]


TWO_RULES = """
from dataclasses import dataclass

from mithridate.pipelines.finding import Rule

@dataclass(frozen=True)
class Lenient(Rule):
    def decide(self, judged, data, trusted, rng):
        return None

@dataclass(frozen=True)
class Strict(Rule):
    def decide(self, judged, data, trusted, rng):
        raise ValueError
"""


def test_two_rules_of_one_file_with_the_same_fields_have_two_keys(load, tmp_path):
    (tmp_path / "two_rules.py").write_text(TWO_RULES)
    both = load(tmp_path / "two_rules.py", "two_rules")
    keys = [key_of(EarlyLoss(), r(0.05, 0.2, 0.01, 99)) for r in (both.Lenient, both.Strict)]
    assert keys[0] != keys[1]


@pytest.mark.parametrize("place", ["lib/mine.py", "mine.py"])
def test_what_others_installed_is_no_part_of_a_digest(tmp_path, place):
    site = tmp_path / "site-packages"
    (site / "torch").mkdir(parents=True)
    (site / "torch" / "__init__.py").write_text("thousands = 'of files'\n")
    file = site / place
    file.parent.mkdir(exist_ok=True)
    if place != "mine.py":
        (file.parent / "__init__.py").write_text("")
    file.write_text("import torch\n")
    assert closure(file) == {file}


def test_a_folder_of_ones_own_is_listed_once_for_a_plan(tmp_path, monkeypatch):
    listed, rglob = [], Path.rglob
    (tmp_path / "train.csv").write_text("text,label\ngood,1\nbad,0\n")
    monkeypatch.setattr(Path, "rglob", lambda *a: listed.append(a) or rglob(*a))
    attacks = {"badnets": Poisoning(PatchTrigger())}
    tasks = {"own": Task(str(tmp_path), 1, None, TrainingConfig(epochs=1))}
    make_plan(grid(tasks, attacks, {"early": EarlyLoss()}, trusted=(1,), seeds=(0,)))
    assert len(listed) <= 2
