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
    """Why may the folder `importer` not import the folder `imported`? Empty where it may."""
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


GRADIENTS = {
    "core/attribution.py": "looks at derivatives of margins in a fixed network",
    "core/fit.py": "the one training loop",
    "core/gradient.py": "one pass without a step, by which clients look for a subspace",
    "attacks/blind.py": "weighs two losses by their gradients, inside the one loop",
    "attacks/quantisation_conditioned.py": "holds weights between two roundings after each step",
    "attacks/tbt.py": "ranks weights by their gradient, and moves a patch",
    "domains/image/adversarial.py": "moves images, not weights",
    "domains/image/sleeper_agent.py": "compares gradients of a fixed network",
    "domains/image/surrogate.py": "moves a perturbation of images",
    "repairs/anp.py": "moves noise on neurons inside the one loop",
    "repairs/i_bau.py": "the hypergradient of its inner problem",
    "repairs/sau.py": "moves perturbations of inputs inside the one loop",
    "scanners/feature_re.py": "moves a pattern and a mask of features",
    "scanners/gradients.py": "tests that derivatives say what the model does",
    "scanners/inversion.py": "moves patterns and masks of all classes at once",
    "scanners/mm_bd.py": "climbs inputs towards the largest margin",
    "scanners/local_transfer.py": "the values of a window, not a model",
    "scanners/universal_transfer.py": "moves one change of all inputs",
}
"""Where derivatives are taken or an optimiser takes a step, and why the one loop cannot do it.

All but the first move inputs, patterns or masks, or look at derivatives; none trains a network.
"""

TAKES = {"backward", "grad", "jacobian", "vjp", "vmap", "step", "value_and_grad", "grad_and_value"}
"""Calls that take derivatives, or a step: torch.autograd.grad(), optimiser.step()."""


def takes_gradients(tree):
    """Whether code calls something of `TAKES`, or sets the gradient of a parameter by hand."""
    for node in ast.walk(tree):
        stores = isinstance(getattr(node, "ctx", None), ast.Store)
        if stores and isinstance(node, ast.Attribute) and node.attr == "grad":
            return True
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        owner = ast.unparse(node.func.value)
        if node.func.attr == "step" and "optim" not in owner.lower():
            continue  # a pipeline tells of its steps, too
        if node.func.attr in TAKES:
            return True
    return False


def test_gradients_are_taken_in_the_one_loop_and_where_a_reason_is_given():
    there = {module.place for module in modules() if takes_gradients(module.tree)}
    assert there == set(GRADIENTS), "a second training loop, or a stale entry in GRADIENTS"


@pytest.mark.parametrize(
    "code, takes",
    [
        ("loss.backward()", True),
        ("slopes = torch.autograd.grad(loss, weights)", True),
        ("optimiser.step()", True),
        ("self.optimizer.step()", True),
        ("parameter.grad = slope", True),
        ("(p.grad,) = slopes", True),
        ("torch.func.grad(f)(x)", True),
        ("watch.step('training')", False),
        ("x = parameter.grad", False),
    ],
)
def test_the_guard_of_gradients_sees_what_it_should(code, takes):
    assert takes_gradients(ast.parse(code)) == takes
