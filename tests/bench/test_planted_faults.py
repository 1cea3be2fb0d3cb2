"""The referee is not trusted because it is ours: planted defences get what they deserve."""

import math
import sys
from dataclasses import replace

import pytest
import torch

from bench import planted
from bench.planted import RATE, WEAK
from bench.planted_defences import Careless, Dial, Scribbling
from mithridate.bench import digest, step
from mithridate.bench.admission import admit
from mithridate.bench.chain import build_chain
from mithridate.bench.execute import Workbench, execute
from mithridate.bench.metrics import comparing
from mithridate.bench.plan import make_plan, refusals
from mithridate.bench.step import NotDone
from mithridate.bench.steps.detect import Detect
from mithridate.bench.steps.evidence import view_of
from mithridate.bench.steps.judge import Judge
from mithridate.bench.steps.repaired import Repaired
from mithridate.bench.steps.suspects import truth_about
from mithridate.core.data import Dataset, Truth
from mithridate.core.method import Detector, Repair, Trainer
from mithridate.core.registry import find
from mithridate.core.scanner import Scanner
from mithridate.core.threat import ThreatModel
from mithridate.detectors.spectral_signatures import SpectralSignatures
from mithridate.repairs.controls import DoNothing

DETECTOR = """
from dataclasses import dataclass

from mithridate.core.method import Detector, Repair, Trainer
from mithridate.core.registry import find
from mithridate.core.scanner import Scanner
{imports}

@dataclass(frozen=True)
class Mine(Detector):
    {field}

    def fit(self, view):
        return {{}}

    def score(self, state, view):
        {body}
        return view.labels * 0.0
"""


@pytest.fixture
def mine(load, tmp_path):
    """Write a detector into a file of its own, and give it."""

    def mine(imports="", body="pass", field="power: float = 1.0"):
        file = tmp_path / "mine.py"
        file.write_text(DETECTOR.format(imports=imports, body=body, field=field))
        return load(file, "mine").Mine()

    return mine


def refused(defence):
    with pytest.raises(NotDone) as found:
        admit(defence)
    assert found.value.status == "skipped" and found.value.why.startswith("refused: mine ")
    return found.value.why


def test_a_detector_that_knows_nothing_forbidden_is_admitted(mine):
    admit(mine())
    admit(mine("import math\nfrom mithridate.core.data import Dataset"))
    admit(SpectralSignatures())


def test_a_detector_that_imports_from_the_root_is_admitted_or_not_by_what_it_imports(mine):
    admit(mine("from mithridate import Dataset, View\nfrom mithridate.detectors import Spectre"))
    digest.forget()
    assert "mithridate.attacks" in refused(mine("from mithridate import named_attack"))


@pytest.mark.parametrize("name", ["truth", "target", "target_label", "poison_rate", "trigger"])
def test_a_defence_that_asks_for_a_secret_is_refused(mine, name):
    assert repr(name) in refused(mine(field=f"{name}: int = 0"))


REACHING = {
    "from mithridate.core.data import Truth": "Truth",
    "import mithridate.core.data as data\nTRUTH = data.Truth": "Truth",
    "from mithridate.bench.steps.suspects import truth_about": "mithridate.bench.steps.suspects",
    "import mithridate.bench.store": "mithridate.bench.store",
    "from mithridate.attacks.poisoning import Poisoning": "mithridate.attacks.poisoning",
    "import sys\nFRAME = sys._getframe": "_getframe",
    "import gc": "gc",
    "import gc as collector\nALL = collector.get_objects": "gc",
}


@pytest.mark.parametrize("imports, named", REACHING.items(), ids=range(len(REACHING)))
def test_a_defence_that_reaches_for_the_truth_is_refused(mine, imports, named):
    assert named in refused(mine(imports))


def test_it_is_refused_also_where_it_reaches_inside_a_method(mine):
    assert "_getframe" in refused(mine(body="import sys; sys._getframe(1).f_locals"))


EVADING = [
    "from gc import get_objects",
    "from sys import _getframe",
    "from mithridate import bench",
    "from mithridate import attacks",
    "import inspect\nFRAME = inspect.currentframe",
    "from inspect import stack",
]


@pytest.mark.parametrize("imports", EVADING)
def test_it_is_refused_however_it_spells_it(mine, imports):
    refused(mine(imports))


def test_a_name_that_only_sounds_so_is_no_reach_for_the_truth(mine):
    admit(mine("from torch import stack"))


def test_the_stack_of_inspect_is_refused_as_an_attribute_too(mine):
    refused(mine("import inspect\nALL = inspect.stack"))


NEIGHBOURS = {
    "from mithridate.core.data import Truth": "Truth through neighbour.py",
    "import gc": "gc through neighbour.py",
    "from mithridate.attacks.poisoning import Poisoning": "mithridate.attacks.poisoning through",
    "import mithridate.bench.store": "mithridate.bench.store through neighbour.py",
    "from mithridate import named_attack": "mithridate.attacks.named through neighbour.py",
    "from further import everything": "get_objects through further.py",
}


@pytest.fixture
def beside(mine, tmp_path, monkeypatch):
    """Give a detector that imports a file beside it, and that one another."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def beside(lines):
        (tmp_path / "neighbour.py").write_text(f"{lines}\nWEIGHT = 1\n")
        (tmp_path / "further.py").write_text("def everything(gc):\n    return gc.get_objects()\n")
        return mine("def late():\n    from neighbour import WEIGHT")

    return beside


@pytest.mark.parametrize("lines, named", NEIGHBOURS.items(), ids=range(len(NEIGHBOURS)))
def test_a_defence_that_reaches_for_the_truth_through_a_neighbour_is_refused(beside, lines, named):
    assert named in refused(beside(lines))


def test_a_neighbour_that_reaches_for_nothing_is_admitted(beside):
    admit(beside("import math\nfrom mithridate.core.data import Dataset"))


@pytest.mark.parametrize("kind", [Detector, Repair, Trainer, Scanner], ids=lambda k: k.__name__)
def test_every_defence_of_the_library_is_admitted(kind):
    from mithridate.bench import admission

    methods = find(kind)
    assert methods and [n for n, m in methods.items() if admission._reach(m)] == []


def test_a_plan_tells_which_defences_a_run_would_refuse(mine):
    secretive = mine(field="target_label: int = 0")
    cells = [c for c in planted.cells() if c.names[2] in ("constant", "none", "corners")]
    cells = [replace(c, defence=secretive) if c.names[2] == "corners" else c for c in cells]
    (why, number), = refusals(make_plan(cells)).items()  # fmt: skip
    assert "asks for 'target_label'" in why and number == 3


def test_a_defence_inside_a_defence_is_looked_at_too(mine):
    secretive = mine(field="target: int = 0")
    outer = mine(field="inner: object = None")
    refused(replace(outer, inner=secretive))


TRAINER = """
from dataclasses import dataclass

from mithridate.trainers.standard import Standard

@dataclass(frozen=True)
class Mine(Standard):
    target: int = 0
"""


def test_a_robust_trainer_that_is_told_the_target_is_refused(swept, load, tmp_path):
    (tmp_path / "mine.py").write_text(TRAINER)
    cell = next(cell for cell in swept.plan.cells if cell.poison_rate == RATE)
    trainer = load(tmp_path / "mine.py", "mine").Mine(replace(cell.task.training, epochs=1))
    training = build_chain(replace(cell, defence=trainer)).defended.model
    assert training.gate is not None and training.trainer is trainer
    ended = execute(training, Workbench(swept.store))
    swept.store.remove(training.key)
    assert ended.status == "skipped"


def test_a_refused_detector_skips_its_cell_with_the_reason(swept, mine):
    detector = mine("from mithridate.core.data import Truth")
    cell = next(
        c for c in swept.plan.cells if isinstance(c.defence, Dial) and c.poison_rate == RATE
    )
    end = build_chain(replace(cell, defence=detector, tuning="default"))
    bench = Workbench(swept.store)
    for here in make_plan([replace(cell, defence=detector, tuning="default")]).steps:
        execute(here, bench)
    record = swept.store.facts(end.key)
    assert record["status"] == "skipped"
    assert record["why"].startswith("refused: mine imports Truth")
    assert record["metrics"]["undefended_asr"][0] > 0.5, "what is known stays known"
    assert record["outcome"] == ""


def reachable(thing, seen):
    """All that lies behind an object: fields, items, and what its methods are bound to."""
    if id(thing) in seen or isinstance(thing, (str, int, float, type, type(sys))):
        return
    seen[id(thing)] = thing
    inside = []
    if isinstance(thing, dict):
        inside = [*thing.keys(), *thing.values()]
    elif isinstance(thing, (list, tuple, set, frozenset)):
        inside = list(thing)
    elif hasattr(thing, "__dict__") and not callable(thing):
        inside = list(vars(thing).values())
    elif hasattr(thing, "__self__"):
        inside = [thing.__self__]
    elif hasattr(thing, "__dict__"):
        inside = list(vars(thing).values())
    for item in inside:
        reachable(item, seen)


def test_behind_a_view_lies_neither_truth_nor_test_data_nor_the_store(swept):
    end = swept.end("corners")
    bench = Workbench(swept.store)
    found = {}
    reachable(view_of(end.finder.evidence, bench, ThreatModel()), found)
    things = list(found.values())
    split = bench(end.finder.evidence.train.data)
    sizes = {len(thing) for thing in things if isinstance(thing, Dataset)}
    assert sizes == {700 + 300, 300} and len(split.test) not in sizes
    truth = truth_about(end.poison, bench)
    for thing in things:
        assert not isinstance(thing, (Truth, Workbench, step.Step))
        if isinstance(thing, torch.Tensor) and thing.shape == truth.poisoned.shape:
            assert not torch.equal(thing.bool(), truth.poisoned)


def test_a_constant_detector_finds_nothing_and_secures_nothing(swept):
    record = swept("constant")
    assert (record.status, record.outcome) == ("done", "open")
    assert record.value("auroc") == record.value("auroc_in_class") == 0.5
    for name in ("flagged", "realised_tpr", "realised_fpr", "tpr_1", "tpr_5", "effectiveness"):
        assert record.value(name) == 0.0, name
    assert record.verdict["answer"] != "flagged"
    assert record.value("asr") == swept("none").value("asr") > comparing.SECURE
    assert swept("constant", rate=0.0).outcome == "kept"


def test_a_network_that_was_destroyed_is_not_secure(swept):
    record = swept("destroying")
    assert record.value("asr") == 0.0 and record.value("effectiveness") == 1.0
    assert record.outcome == "destroyed"
    assert record.value("accuracy_reduction") > 0.7
    assert swept("destroying", rate=0.0).outcome == "destroyed", "clean data or not"


def test_the_perfect_filter_is_perfect(swept):
    record = swept("perfect-filter")
    assert record.value("realised_tpr") == 1.0 and record.value("realised_fdr") == 0.0
    assert record.value("realised_fpr") == 0.0 and record.value("flagged") == pytest.approx(RATE)
    assert record.outcome == "secure" and record.value("effectiveness") > 0.9
    clean = swept("perfect-filter", rate=0.0)
    assert clean.value("flagged") == 0.0 and math.isnan(clean.value("realised_fdr"))
    assert "realised_tpr" not in clean.metrics


def test_the_random_filter_flags_its_share_of_both_alike(swept):
    record = swept("random-filter")
    assert record.value("flagged") == pytest.approx(0.05, abs=0.03)
    for name in ("realised_tpr", "realised_fpr"):
        assert record.metrics[name].low <= 0.05 <= record.metrics[name].high, name
    assert record.value("realised_fdr") > 0.8 and record.outcome == "open"


def test_a_detector_that_sees_the_trigger_secures_the_network(swept):
    record = swept("corners")
    assert record.value("auroc") > 0.99 and record.value("realised_tpr") > 0.95
    assert record.outcome == "secure" and record.verdict["answer"] == "flagged"
    assert record.evidence == ("clean", "inputs", "labels") or "inputs" in record.evidence


@pytest.mark.parametrize("rate", [0.0, RATE])
def test_doing_nothing_equals_no_defence_in_every_figure(swept, rate):
    nothing, none = swept("do-nothing", rate), swept("none", rate)
    shared = {n: m for n, m in none.metrics.items() if not n.startswith("stealth.")}
    assert set(shared) == {"accuracy", "asr", "r_accuracy"}
    assert {name: nothing.metrics[name] for name in shared} == shared
    assert nothing.per_class == none.per_class
    assert nothing.metrics["accuracy_reduction"][:3] == (0.0, 0.0, 0.0)
    assert nothing.metrics["asr_reduction"][:3] == (0.0, 0.0, 0.0)
    assert nothing.outcome == ("open" if rate else "kept")
    assert nothing.cost["backward"] == 0.0


def test_an_attack_that_did_not_take_says_nothing_about_any_defence(swept):
    void = [r for r in swept.records if r.cell["rate"] == WEAK]
    assert len(void) == 8 and {r.status for r in void} == {"void"}
    for record in void:
        assert "did not take" in record.why and record.outcome == "" and not record.verdict
    none = swept("none", WEAK)
    assert none.value("asr") < 0.5 and none.value("accuracy") > 0.8, "its figures stay"
    assert none.per_class and "stealth.features" not in void[1].metrics
    for record in void:
        if record is not none:
            assert {n.partition("_")[0] for n in record.metrics} == {"undefended"}
            assert record.value("undefended_asr") == none.value("asr")


def test_nothing_is_trained_for_a_defence_against_an_attack_that_did_not_take(swept):
    ended = {}
    for here in make_plan([c for c in swept.plan.cells if c.poison_rate == WEAK]).steps:
        ended.setdefault(here.kind(), set()).add(swept.store.entry(here.key).status)
    assert ended["retrain"] == ended["detect"] == ended["repaired"] == {"void"}
    assert ended["train"] == ended["judge"] == {"done"}


def test_without_an_attack_nothing_is_gated(swept):
    clean = [r for r in swept.records if r.cell["rate"] == 0.0]
    assert {r.status for r in clean} == {"done"}
    assert {r.outcome for r in clean} == {"", "kept", "destroyed"}


def borrowed(swept, repair, seed):
    end = swept.end("do-nothing")
    train = end.undefended.model
    return Repaired(train, repair, seed), train


def test_a_repair_that_spoils_what_it_was_lent_spoils_no_other_cell(swept):
    bench = Workbench(swept.store)
    careless, train = borrowed(swept, Careless(), 77)
    nothing, _ = borrowed(swept, DoNothing(), 77)
    execute(careless, bench)
    execute(nothing, bench)
    kept = swept.store.output(nothing.key).tensors
    weights = {n: v for n, v in swept.store.output(train.key).tensors.items() if n != "losses"}
    for made in (careless, nothing):
        swept.store.remove(made.key)
    assert all(torch.equal(kept[name], value) for name, value in weights.items())


def shown(thing):
    """What a defender sees of the evidence, copied."""
    if isinstance(thing, Dataset):
        return [thing.inputs.clone(), thing.labels.clone()]
    return [thing.clone()]


EVIDENCE = [
    "features", "logits", "losses", "inputs", "labels",
    "clean",
]  # fmt: skip


@pytest.mark.parametrize("what", EVIDENCE)
def test_a_detector_that_overwrites_evidence_spoils_no_other_cell(swept, what):
    bench, end = Workbench(swept.store), swept.end("corners")
    evidence, rule = end.finder.evidence, end.finder.rule
    before = shown(getattr(view_of(evidence, bench), what))
    assert any(bool(tensor.any()) for tensor in before)
    careless = Detect(evidence, Scribbling(what), rule, 78)
    assert execute(careless, bench).status == "done"
    swept.store.remove(careless.key)
    after = shown(getattr(view_of(evidence, bench), what))
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("what", ["inputs", "labels"])
def test_nor_where_there_are_no_trusted_examples(swept, what):
    cell = next(c for c in swept.plan.cells if c.names[2] == "corners" and c.poison_rate == RATE)
    task = replace(cell.task, train=100, training=replace(cell.task.training, epochs=1))
    end = build_chain(replace(cell, task=task, trusted=0, defence=Scribbling(what)))
    bench = Workbench(swept.store)
    finder = replace(end.finder, gate=None)
    chain = [finder.evidence.train.poison, finder.evidence.train, finder.evidence]
    assert {execute(made, bench).status for made in chain} == {"done"}
    before = shown(getattr(view_of(finder.evidence, bench), what))
    assert execute(finder, bench).status == "done"
    after = shown(getattr(view_of(finder.evidence, bench), what))
    for made in (*chain, finder):
        swept.store.remove(made.key)
    assert torch.equal(before[0], after[0])


def test_the_judge_does_not_take_a_failed_step_for_an_answer(swept):
    end = swept.end("constant")
    assert isinstance(end, Judge) and end.answers_always
    bench = Workbench(swept.store)
    retrained = end.defended

    class Broken(Workbench):
        def __call__(self, asked):
            if asked.key == retrained.key:
                raise NotDone("failed", "a bug")
            return super().__call__(asked)

    with pytest.raises(NotDone, match="failed: a bug"):
        end.run(Broken(swept.store))
    assert end.run(bench).facts["status"] == "done"


def test_the_same_detector_has_the_same_answer_under_another_name(swept):
    cell = next(c for c in swept.plan.cells if c.names[2] == "corners" and c.poison_rate == RATE)
    other = replace(cell, names=("digits", "badnets", "another name"))
    known = set(swept.store.keys())
    new = [s for s in make_plan([other]).steps if s.key not in known]
    assert [s.kind() for s in new] == ["judge"]
    assert isinstance(cell.defence, Detector)
