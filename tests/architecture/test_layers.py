"""Imports point downwards, and the truth stays with attackers and referee."""

import ast

import pytest

from architecture.source import LAYERS, PACKAGE, RANK, modules
from mithridate.domains.registry import DOMAINS


def parts(module):
    return module.split(".")[1:]


def test_every_folder_has_a_layer():
    folders = {path.parent.relative_to(PACKAGE).parts[0] for path in PACKAGE.glob("*/*.py")}
    assert folders <= set(RANK), "a new folder needs its place in LAYERS"


def forbidden(importer, imported):
    """Why may the folder `importer` not import the folder `import_extra`? Empty where it may."""
    if importer == imported:
        return ""
    if RANK[imported] > RANK[importer]:
        return "a layer above"
    if RANK[imported] == RANK[importer] and (importer, imported) != ("stats", "core"):
        return "a neighbour of the same layer"
    return ""


def test_layers_import_downwards_only():
    wrong = [
        f"{module.place} imports {name}: {why}"
        for module in modules(*RANK)
        for name, _ in module.imports()
        if name.startswith("mithridate.")
        and (why := forbidden(module.package, parts(name)[0])) != ""
    ]
    assert not wrong, "\n".join(wrong)


def test_the_rule_itself_forbids_what_it_should():
    assert forbidden("core", "domains")
    assert forbidden("detectors", "trainers")
    assert forbidden("core", "stats")
    assert forbidden("report", "cli")
    assert not forbidden("cli", "report")
    assert not forbidden("stats", "core")
    assert not forbidden("bench", "attacks")
    assert LAYERS[0] == ("core", "stats")


SHARED = ("formats", "registry")
"""What the file reading.py of a domain may import beside its own folder; no other file may."""


def test_domains_never_import_each_other():
    """What reads files asks the registry, and only how a domain reads inputs knows of files."""
    names = {path.parent.name for path in PACKAGE.glob("domains/*/domain.py")}
    wrong = [
        f"{module.place} imports {name}"
        for module in modules("domains")
        for name, _ in module.imports()
        if name.startswith("mithridate.domains.")
        and (mine := module.place.split("/")[1]) in names
        and parts(name)[1] != mine
        and not (module.path.name == "reading.py" and parts(name)[1] in SHARED)
    ]
    assert names
    assert not wrong, "\n".join(wrong)


KNOWS_A_DOMAIN = {
    "cli/work/demo.py": "the demo is about pictures of digits",
}
"""Where a domain is named outside of its folder, and why."""


def names_a_domain(tree, domains):
    """Whether code imports from a domain's folder, or compares with or looks up its name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = (node.module or "").split(".")
            if module[:2] == ["mithridate", "domains"] and set(module[2:3]) & domains:
                return True
        sides = []
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
        elif isinstance(node, ast.Dict):
            sides = [key for key in node.keys if key is not None]
        elif isinstance(node, ast.Subscript):
            sides = [node.slice]
        inside = [each for side in sides for each in ast.walk(side)]
        if any(isinstance(each, ast.Constant) and each.value in domains for each in inside):
            return True
    return False


def test_nothing_outside_domains_asks_which_domain_it_is():
    there = {
        module.place
        for module in modules()
        if module.package != "domains" and names_a_domain(module.tree, set(DOMAINS))
    }
    assert there == set(KNOWS_A_DOMAIN), "ask the domain, or give the reason in KNOWS_A_DOMAIN"


@pytest.mark.parametrize(
    "code, knows",
    [
        ('if domain.name == "image": pass', True),
        ('if domain.name in ("text", "other"): pass', True),
        ('KINDS = {"image": 1}', True),
        ("from mithridate.domains.text.domain import TextDomain", True),
        ("from mithridate.domains.registry import domain_named", False),
        ('print("an image")', False),
    ],
)
def test_the_guard_of_domains_sees_what_it_should(code, knows):
    assert names_a_domain(ast.parse(code), {"image", "text"}) == knows


def test_truth_is_imported_by_attacks_and_bench_only():
    wrong = []
    for module in modules():
        if module.package in ("attacks", "bench") or module.place == "core/data.py":
            continue
        named = {name for _, name in module.imports()}
        used = {node.attr for node in ast.walk(module.tree) if isinstance(node, ast.Attribute)}
        wrong += [module.place] if "Truth" in named | used else []
    assert not wrong, f"the truth leaks to {wrong}"


BACKWARD = {
    "core/fit.py": "the one training loop",
}
"""Where gradients are taken, and why it cannot be done by the one loop."""


def test_gradients_are_taken_in_the_one_loop():
    found = {
        module.place
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr == "backward"
    }
    assert found == set(BACKWARD), "a second training loop, or a stale entry in BACKWARD"
