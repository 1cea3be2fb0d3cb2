"""Methods and attacks are found under the names that the field has for them."""

import dataclasses
import re
from collections import Counter
from types import ModuleType

import pytest
import torch

from mithridate.attacks.named import changed, named_attack
from mithridate.core import registry
from mithridate.core.errors import MethodError, UnknownMethod, origin
from mithridate.core.method import Attack, Detector, Method, Repair, Trainer, Trigger
from mithridate.core.named import NamedAttack
from mithridate.core.registry import (
    by_any_name,
    domain_of,
    find,
    find_attack,
    find_attacks,
    get,
    kinds,
    reference,
    resolve,
)
from mithridate.core.scanner import Scanner
from mithridate.domains.registry import DOMAINS

FIELD = {
    Repair: "anp bnp clp nad ft ft-sam fp i-bau mcr rnp sau",
    Trainer: "abl cutmix dp-sgd dst nab",
    Scanner: "nc mm-bd k-arm feature-re",
    Detector: "ac spectral spectre strip teco sentinet ted lid ibd-psc scale-up knn",
    Attack: "tbt blind",
}
"""Names under which people look for methods."""


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in FIELD.items() for name in names.split()]
)
def test_the_fields_names_are_found(kind, name):
    assert issubclass(resolve(kind, name), kind)
    assert resolve(kind, name.upper().replace("-", "_")) is resolve(kind, name)


@pytest.mark.parametrize(
    ("kind", "before", "now"),
    [
        (Detector, "te-co", "teco"), (Detector, "senti-net", "sentinet"), (Repair, "ibau", "i-bau"),
        (Scanner, "karm", "k-arm"), (Trainer, "dpsgd", "dp-sgd"), (Trainer, "cut-mix", "cutmix"),
        (Trigger, "trojan-nntrigger", "trojan-nn-trigger"),
    ],
)  # fmt: skip
def test_names_of_earlier_versions_are_still_found(kind, before, now):
    assert resolve(kind, before).name() == now
    assert before not in find(kind)


def test_no_name_stands_for_two_methods():
    for kind in kinds():
        named_by = Counter(name for method in find(kind).values() for name in method.names())
        assert set(named_by.values()) <= {1}, named_by.most_common(3)
    every = Counter(name for kind in kinds() for name in by_any_name(kind))
    assert set(every.values()) <= {1}, every.most_common(3)


def test_names_are_kebab_case():
    names = [n for m in find(Method).values() for n in m.names()]
    names += [n for a in find_attacks().values() for n in (a.name, *a.known_as)]
    assert [n for n in names if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", n)] == []


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        (Detector, "anp", r"anp is a repair, not a detector; available: .*strip"),
        (Repair, "anpp", r"did you mean anp\?"),
        (Detector, "channel-lipshitz-pruning", r"did you mean channel-lipschitz-pruning, a repair"),
        (Trigger, "wanet", "wanet is a named attack, not a trigger"),
        (Scanner, "qqqq", "'qqqq': available: "),
    ],
)
def test_a_wrong_name_is_told_what_was_meant(kind, name, words):
    with pytest.raises(UnknownMethod, match=words):
        get(kind, name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wanett", "did you mean wanet"),
        ("patch-trigger", "patch-trigger is a trigger, not a named attack"),
        ("qqqq", "unknown attack 'qqqq': available: adaptive-blend, "),
    ],
)
def test_a_wrong_attack_is_told_what_was_meant(name, words):
    with pytest.raises(UnknownMethod, match=words):
        named_attack(name)


def test_the_attacks_of_the_literature_are_there():
    wanted = (
        "badnets blended sig wanet input-aware ssba lf lira trojan-nn refool ftrojan bpp "
        "label-consistent narcissus adv-door sleeper-agent adaptive-blend adaptive-patch blind tbt "
        "quantisation-conditioned feature-matching badnets-words addsent"
    )
    assert set(wanted.split()) <= set(find_attacks())
    made = {name: named_attack(name) for name in find_attacks()}
    assert all(isinstance(attack, Attack) for attack in made.values())
    assert {n for n, a in made.items() if a.controls == "weights"} == {
        "tbt", "quantisation-conditioned",
    }  # fmt: skip


def test_every_attack_has_one_home_its_sources_and_names_of_its_own():
    attacks = find_attacks().values()
    names = Counter(name for attack in attacks for name in (attack.name, *attack.known_as))
    assert set(names.values()) == {1}
    for attack in attacks:
        paper, links = reference(attack)
        assert paper, attack.name
        assert all(link.startswith("https://") for link in links)
        assert re.fullmatch(r"[A-Z][^.]*\.", attack.summary)
        assert domain_of(attack) in DOMAINS


def test_a_detectors_adapted_attack_exists():
    for detector in find(Detector).values():
        assert not detector.adapted or find_attack(detector.adapted)


def test_links_are_of_papers():
    for method in find(Method).values():
        assert not method.links or method.paper
        assert all(re.match(r"https://\S+$", link) for link in method.links)


def test_parts_that_agree_stay_in_agreement():
    strong = named_attack("wanet", strength=1.5, seed=3)
    assert strong.cover_trigger.strength == strong.trigger.strength == 1.5
    assert strong.cover_trigger.seed == 3 and strong.cover_trigger.noise == 1.0
    blend = named_attack("adaptive-blend", alpha=0.1, pattern="smooth")
    assert (blend.trigger.alpha, blend.test_trigger.alpha) == (0.1, 0.2)
    assert blend.test_trigger.pattern == "smooth"
    hidden = named_attack("sleeper-agent")
    patch = dataclasses.replace(hidden.trigger.patch, size=4)
    assert changed(hidden, "trigger", patch=patch).test_trigger == patch
    again = named_attack("narcissus", budget=8.0)
    assert (again.test_trigger.budget, again.test_trigger.scale) == (8.0, 3.0)


def test_settings_reach_an_attack_that_is_no_poisoning():
    assert named_attack("tbt", target=2, features=8).target == 2
    assert named_attack("blind", target=2, poison_rate=0.25).goal.target == 2
    assert named_attack("quantisation-conditioned", target=1).attack.goal.target == 1


def test_a_setting_that_does_not_exist_is_refused():
    with pytest.raises(MethodError, match="warp-trigger has no setting 'streng'; it has grid"):
        named_attack("wanet", streng=1.0)
    with pytest.raises(MethodError, match="finds its own trigger"):
        from mithridate.attacks.named import poisoning

        poisoning(NamedAttack("x", "X."))


@pytest.fixture
def beside(monkeypatch):
    """Find what stands in one more module."""

    def put(**things):
        module = ModuleType("mithridate.domains.image.new")
        vars(module).update(things)
        usual = registry._modules()
        monkeypatch.setattr(registry, "_modules", lambda: (*usual, module))

    return put


SAME = NamedAttack("badnets", "Another one.", find_attack("sig").trigger)


@pytest.mark.parametrize(
    ("attacks", "words"),
    [
        (SAME, r"domains.image.new: expected ATTACKS to be a tuple.*comma before the last bracket"),
        ((SAME, "x"), "found str"),
        ((SAME,), "domains.image.attacks and mithridate.domains.image.new both hold.*'badnets'"),
    ],
)
def test_a_list_of_attacks_that_cannot_be_taken_is_named(beside, attacks, words):
    beside(ATTACKS=attacks)
    with pytest.raises(MethodError, match=words):
        find_attacks()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"trigger": Trigger}, "'mine': expected trigger to be a trigger, a frozen dataclass"),
        ({"cover_trigger": "patch"}, "expected cover_trigger to be a trigger"),
        ({"poison_rate": "5%"}, "expected poison_rate to be a number of at least 0, found '5%'"),
        ({"cover_ratio": -1}, "expected cover_ratio to be"),
    ],
)
def test_a_named_attack_of_wrong_parts_is_refused(settings, words):
    with pytest.raises(MethodError, match=words):
        NamedAttack("mine", "Mine.", **settings)


@pytest.fixture
def classes():
    """Make classes that stand in the package of detectors until the test ends."""
    made = []

    def make(name, base, frozen=True):
        place = {"__module__": "mithridate.detectors.new"}
        cls = type(name, (base,), place)
        made.append(dataclasses.dataclass(frozen=True)(cls) if frozen else cls)

    yield make
    for cls in made:  # it lives on in `__subclasses__` until it is collected
        cls.__module__ = "gone"


def test_a_method_without_its_decorator_is_named(classes):
    classes("Forgotten", Detector, frozen=False)
    with pytest.raises(MethodError, match=r"new: Forgotten is a detector but no frozen dataclass"):
        find(Detector)


def test_a_base_without_decorator_is_no_method(classes):
    classes("_Base", Detector, frozen=False)
    assert "base" not in find(Detector)


def test_two_methods_of_one_name_are_named(classes):
    classes("Strip", Detector)
    with pytest.raises(MethodError, match="both hold something called 'strip'"):
        find(Detector)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = (", "SyntaxError: .*broken_method.py, line 1"),
        ("import torch\nfrom dataclasses import dataclas", "ImportError: cannot import name"),
        ("from mithridate.core.named import NamedAttack\nNamedAttack('a', 'A.', 'b')", "'a'"),
    ],
)
def test_a_file_that_cannot_be_imported_is_named(tmp_path, monkeypatch, text, words):
    (tmp_path / "broken_method.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MethodError, match=f"^broken_method.*{words}"):
        registry._imported("broken_method")


def test_an_error_is_told_by_the_last_line_that_is_of_no_library():
    with pytest.raises(TypeError) as caught:
        torch.stack(3)
    assert re.search(r"test_registry.py, line \d+$", origin(caught.value))
    with pytest.raises(AttributeError) as caught:
        find(3)
    assert origin(caught.value).startswith("mithridate.core.registry, line ")
