"""Imports point downwards, and the truth stays with attackers and referee."""

import ast

from architecture.source import LAYERS, PACKAGE, RANK, modules


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


def test_domains_never_import_each_other():
    """What reads files for all domains may know them; they know neither it nor each other."""
    names = {path.parent.name for path in PACKAGE.glob("domains/*/domain.py")}
    wrong = [
        f"{module.place} imports {name}"
        for module in modules("domains")
        for name, _ in module.imports()
        if name.startswith("mithridate.domains.")
        and (mine := module.place.split("/")[1]) in names
        and parts(name)[1] != mine
    ]
    assert names
    assert not wrong, "\n".join(wrong)


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
