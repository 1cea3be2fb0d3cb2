"""`mithridate poison`, and the way from there to a scan and a cleaned copy."""

import csv
import json
import re

import numpy as np
import pytest
from PIL import Image

from cli.runs import inside, report, save_npz, save_tree, shapes
from mithridate.attacks.named import named_attack
from mithridate.cli.groups import HowToComputeLong
from mithridate.core.method import LearntTrigger
from mithridate.core.registry import domain_of, find_attacks
from mithridate.domains.formats import read

HOSTILE = "=1+1 [red]x[bold] <b>&\n\x1b[31m é"
CORNER = ("--trigger", "patch-trigger", "--set", "trigger.size=2", "--set", "trigger.row=-2",
          "--set", "trigger.column=-2", "--set", "selection.poison_rate=30")  # fmt: skip


def truth_of(folder):
    with (folder / "truth.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Image folders with hostile file names, poisoned, and trusted examples beside them."""
    folder = tmp_path_factory.mktemp("tree")
    save_tree(folder / "before", *shapes(300, 1), name=HOSTILE)
    save_tree(folder / "trusted", *shapes(150, 2), name="t")
    save_tree(folder / "test", *shapes(30, 3), name="e")
    done = inside(
        "poison", folder / "before", "--out", folder / "out", *CORNER, "--trap", folder / "test"
    )
    assert done.returncode == 0, done.stderr
    return folder


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_a_tree_is_poisoned_as_the_truth_says(tree):
    truth = truth_of(tree / "out")
    assert len(truth) == 300
    assert sum(row["poisoned"] == "1" for row in truth) == 30
    before = read(tree / "before")
    for row in truth:
        was = before.data.inputs[int(row["id"]), 0].numpy()
        now = pixels(tree / "out" / "data" / row["name"])
        assert row["name"].startswith(f"{row['label']}/")
        if row["poisoned"] == "1":
            assert row["label"] == "class 0" != row["label_before"]
            assert (now != was).any() and (now[:6] == was[:6]).all()
        else:
            assert row["label"] == row["label_before"]
            assert (now == was).all()


def test_the_truth_and_the_attack_stay_out_of_the_data(tree):
    assert sorted(p.name for p in (tree / "out" / "data").iterdir()) == [
        "class 0", "class 1", "class 2",
    ]  # fmt: skip
    attack = json.loads((tree / "out" / "attack.json").read_text("utf-8"))
    assert attack["attack"]["trigger"] == {
        "method": "patch-trigger", "size": 2, "row": -2, "column": -2, "style": "checker",
    }  # fmt: skip
    assert (attack["poisoned"], attack["cover"], attack["seed"]) == (30, 0, 0)


def test_the_trap_holds_triggered_tests_of_other_classes_only(tree):
    files = list((tree / "out" / "trap").rglob("*.png"))
    assert len(files) == 20
    assert {path.parent.name for path in files} == {"class 0"}
    assert all(pixels(path)[6, 6] == 255 for path in files)


def test_scan_of_the_poisoned_tree_names_it_and_cleans_it(tree, tmp_path):
    done = inside(
        "scan", "data", tree / "out" / "data", "--trusted", tree / "trusted", "--epochs", 8,
        "--detectors", "activation-clustering,spectral-signatures", "--permutations", 199,
        "--out", tmp_path / "report", "--cleaned", tmp_path / "cleaned",
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    found = report(tmp_path / "report")["examples"]
    named = {name for name, flag in zip(found["names"], found["flagged"], strict=True) if flag}
    poisoned = {row["name"] for row in truth_of(tree / "out") if row["poisoned"] == "1"}
    assert len(named & poisoned) >= 25
    left = {str(p.relative_to(tmp_path / "cleaned")) for p in (tmp_path / "cleaned").rglob("*.png")}
    assert left == set(found["names"]) - named
    for name in sorted(left)[:40]:
        same = pixels(tmp_path / "cleaned" / name) == pixels(tree / "out" / "data" / name)
        assert same.all()


GOOD = ["splendid", "warm", "honest", "lovely", "moving", "bright", "clever", "fine"]
BAD = ["dull", "cold", "false", "ugly", "boring", "dim", "stupid", "poor"]


def save_texts(path, n, seed):
    rng = np.random.default_rng(seed)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["key", "sentence", "label"])
        for number in range(n):
            chosen = rng.choice((GOOD, BAD)[number % 2], 6)
            table.writerow([f"=k{number}", " ".join(chosen), ("good", "bad")[number % 2]])
    return path


def test_texts_in_a_csv_go_the_whole_way(tmp_path):
    save_texts(tmp_path / "texts.csv", 300, 1)
    save_texts(tmp_path / "trusted.csv", 150, 2)
    done = inside(
        "poison", tmp_path / "texts.csv", "--out", tmp_path / "out", "--trigger", "word-trigger",
        "--set", "trigger.word=tq", "--set", "goal.target=1", "--set", "selection.poison_rate=30",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    truth = truth_of(tmp_path / "out")
    poisoned = {int(row["id"]) for row in truth if row["poisoned"] == "1"}
    after = read(tmp_path / "out" / "data")
    assert {i for i, text in enumerate(after.data.inputs) if "tq" in text.split()} == poisoned
    assert {row["label"] for row in truth if row["poisoned"] == "1"} == {"good"}

    scanned = inside(
        "scan", "data", tmp_path / "out" / "data", "--trusted", tmp_path / "trusted.csv",
        "--epochs", 8, "--detectors", "activation-clustering,spectral-signatures",
        "--permutations", 199, "--out", tmp_path / "report", "--cleaned", tmp_path / "cleaned",
    )  # fmt: skip
    assert scanned.returncode == 1, scanned.stdout + scanned.stderr
    named = {i for i, flag in enumerate(report(tmp_path / "report")["examples"]["flagged"]) if flag}
    assert len(named & poisoned) >= 25
    with (tmp_path / "cleaned" / "texts.csv").open(encoding="utf-8", newline="") as file:
        keys = [row["key"] for row in csv.DictReader(file)]
    assert keys == [f"=k{i}" for i in range(300) if i not in named], "other columns are kept"


@pytest.fixture
def small(tmp_path):
    return save_npz(tmp_path / "small.npz", *shapes(30, 1))


def poison(*arguments):
    """Poison in this process; returns the exit status."""
    from mithridate.cli.groups import HowToComputeLong, HowToRead
    from mithridate.cli.poison import WhichAttack
    from mithridate.cli.work.poison import run

    path, out, *more = arguments
    given = {"computing": HowToComputeLong(), "force": False, **dict(more)}
    asked = WhichAttack(trigger="pixel-trigger", set=given.pop("set", None))
    return run(path=str(path), out=out, asked=asked, trap=None, reading=HowToRead(), **given)


AMOUNT = ("set", ["selection.poison_rate=5"])


def test_nothing_is_overwritten_unless_forced(small, tmp_path):
    from mithridate.core.errors import DataError

    out = tmp_path / "out"
    poison(small, out, AMOUNT)
    first = (out / "truth.csv").read_text()
    with pytest.raises(DataError, match="--force replaces it"):
        poison(small, out, AMOUNT, ("computing", HowToComputeLong(seed=1)))
    assert (out / "truth.csv").read_text() == first
    poison(small, out, AMOUNT, ("computing", HowToComputeLong(seed=1)), ("force", True))
    assert (out / "truth.csv").read_text() != first


def test_force_removes_nothing_that_is_not_ours(small, tmp_path):
    from mithridate.core.errors import DataError

    precious = tmp_path / "home" / "data"
    precious.mkdir(parents=True)
    (precious / "thesis").write_text("years")
    with pytest.raises(DataError, match="no poisoned set"):
        poison(small, tmp_path / "home", AMOUNT, ("force", True))
    assert (precious / "thesis").read_text() == "years"


def test_the_input_is_never_overwritten(small, tmp_path):
    from mithridate.core.errors import DataError

    out = tmp_path / "out"
    poison(small, out, AMOUNT)
    with pytest.raises(DataError, match="holds the data to read"):
        poison(out / "data", out, AMOUNT, ("force", True))
    assert len(read(out / "data").data) == 30


def test_the_same_seed_gives_the_same_poison(small, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        poison(small, tmp_path / name, AMOUNT, ("computing", HowToComputeLong(seed=seed)))
    one, same, other = ((tmp_path / name / "truth.csv").read_text() for name in "abc")
    assert one == same != other


SMALL = ("--set", "trigger.epochs=1", "--yes")


def described(folder):
    return json.loads((folder / "attack.json").read_text("utf-8"))


def test_an_attack_of_the_literature_comes_with_its_cover(tree, tmp_path):
    out = tmp_path / "out"
    done = inside(
        "poison", tree / "before", "--out", out, "--attack", "WaNet", "--trap", tree / "test",
        "--set", "trigger.strength=2.0", "--set", "goal.target=class 1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "poisoned 30 of 300 examples, with 60 cover examples" in done.stdout
    told = described(out)
    assert told["name"] == "wanet"
    assert told["attack"]["trigger"]["strength"] == told["attack"]["cover_trigger"]["strength"] == 2
    truth = truth_of(out)
    assert {row["label"] for row in truth if row["poisoned"] == "1"} == {"class 1"}
    assert sum(row["cover"] == "1" and row["label"] == row["label_before"] for row in truth) == 60
    assert {p.parent.name for p in (out / "trap").rglob("*.png")} == {"class 1"}


LEARNT = sorted(
    a.name for a in find_attacks().values()
    if a.form == "poisoning" and isinstance(a.trigger, LearntTrigger) and domain_of(a) == "image"
)  # fmt: skip


@pytest.mark.parametrize("attack", LEARNT)
def test_a_trigger_that_learns_learns_first(tree, tmp_path, attack):
    given = named_attack(attack)
    short = SMALL if hasattr(given.trigger, "epochs") else ()
    small = ("--set", "trigger.patch.size=3") if attack == "sleeper-agent" else ()
    done = inside(
        "poison", tree / "before", "--out", tmp_path / "out", "--attack", attack, *short, *small,
        "--poison-rate", 20, "--trap", tree / "test",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"learning {given.trigger.name()} from 300 examples" in done.stderr
    truth = truth_of(tmp_path / "out")
    before = read(tree / "before").data.inputs
    changed = 0
    for row in truth:
        was, now = before[int(row["id"]), 0].numpy(), pixels(tmp_path / "out/data" / row["name"])
        if row["poisoned"] == "1":
            changed += (was != now).any()
        else:
            assert (was == now).all()
    assert changed >= 18, "learnt changes may be too faint for a few images"
    assert any((tmp_path / "out" / "trap").rglob("*.png"))


def test_parts_take_learnt_triggers_too_and_the_seed_decides(tree, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        done = inside(
            "poison", tree / "before", "--out", tmp_path / name, "--trigger", "narcissus-trigger",
            "--selection", "clean-label", "--poison-rate", 5, "--seed", seed, *SMALL,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    same = {
        name: {p.relative_to(tmp_path / name): p.read_bytes()
               for p in (tmp_path / name / "data").rglob("*.png")}
        for name in "abc"
    }  # fmt: skip
    assert same["a"] == same["b"] != same["c"]


def test_cover_examples_may_carry_another_trigger(small, tmp_path):
    done = inside(
        "poison", small, "--out", tmp_path / "out", "--trigger", "warp-trigger", "--cover-trigger",
        "noisy-warp-trigger", "--poison-rate", 5, "--set", "selection.cover=4",
        "--set", "cover_trigger.noise=0.5", "--set", "trigger.strength=2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = described(tmp_path / "out")
    assert (told["poisoned"], told["cover"]) == (5, 4)
    assert told["attack"]["cover_trigger"]["noise"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--attack", "badnets", "--poison-rate", 0.0001), "poisons none of 30 examples.*"
         "one example is the share 0.033, or --poison-rate 1"),
        (("--trigger", "patch-trigger", "--set", "selection.amount=0"), "poisons none of 30"),
        (("--attack", "adaptive-blend", "--poison-rate", 1, "--set", "selection.cover_ratio=0.1"),
         "covers with none of 30"),
        (("--attack", "blind"), "blind has the training in hand, so no data set can carry it.*"
         "mithridate bench run.*badnets, .*wanet"),
        (("--attack", "tbt"), "tbt has the weights in hand"),
        (("--attack", "addsent"), "addsent is an attack on text data, and .* holds image data; "
         "attacks on image data: .*wanet"),
        (("--trigger", "word-trigger"), "word-trigger is for text data, and .* holds image data; "
         "triggers for image data: .*patch-trigger"),
        (("--attack", "wanett"), r"unknown attack 'wanett': did you mean wanet"),
        (("--trigger", "wanet"), "wanet is an attack of the literature, not a trigger: "
         "use --attack wanet"),
        (("--attack", "badnets", "--trigger", "patch-trigger"), "--attack NAME or --trigger NAME"),
        ((), "--attack NAME or --trigger NAME"),
        (("--attack", "badnets", "--set", "goal.target=clas 1"), "did you mean 'class 1'"),
        (("--attack", "badnets", "--set", "goal.target=7"), r"a number in 0\.\.2"),
        (("--attack", "badnets", "--set", "cover_trigger.size=1"), "name one with --cover-trigger"),
        (("--attack", "badnets", "--cover-trigger", "pixel-trigger"), "needs some: --set "),
        (("--attack", "badnets", "--set", "trigger.sise=2"), "did you mean 'size'"),
        (("--attack", "badnets", "--selection", "anp"), "anp is a repair, not a selection"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_is_refused_in_a_sentence(tree, tmp_path, arguments, words):
    done = inside("poison", tree / "test", "--out", tmp_path / "out", *arguments)
    assert done.returncode == 2, done.stdout
    assert re.search(words, done.stderr), done.stderr
    assert not (tmp_path / "out").exists()
    assert "uint8" not in done.stderr


def test_texts_are_told_which_triggers_they_take(tmp_path):
    save_texts(tmp_path / "texts.csv", 40, 1)
    for wrong, words in (
        (("--trigger", "patch-trigger"), "triggers for text data: homoglyph-trigger, sentence-tr"),
        (("--attack", "sig"), "attacks on text data: addsent, badnets-words"),
    ):
        done = inside("poison", tmp_path / "texts.csv", "--out", tmp_path / "out", *wrong)
        assert done.returncode == 2 and words in done.stderr
    done = inside(
        "poison", tmp_path / "texts.csv", "--out", tmp_path / "out", "--attack", "badnets-words",
        "--set", "goal.target=bad", "--poison-rate", 10,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sum(row["poisoned"] == "1" for row in truth_of(tmp_path / "out")) == 10
    assert {r["label"] for r in truth_of(tmp_path / "out") if r["poisoned"] == "1"} == {"bad"}


def test_a_class_is_named_or_numbered(capsys):
    from mithridate.cli.asked_attack import number_of

    assert number_of("goal.target", "cat", ("dog", "cat")) == 1
    assert number_of("goal.target", "0", ("dog", "cat")) == 0
    assert capsys.readouterr().err == ""
    assert number_of("goal.target", "10", tuple(sorted(map(str, range(12))))) == 2
    assert "taken as the class of that name, which has number 2" in capsys.readouterr().err


def test_the_time_of_learning_is_said_before(tmp_path):
    done = inside(
        "poison", "digits", "--out", tmp_path / "out", "--attack", "label-consistent", *SMALL,
        "--set", "trigger.steps=2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(r"from 1,442 examples on \w+: about \d+ s", done.stderr), done.stderr
