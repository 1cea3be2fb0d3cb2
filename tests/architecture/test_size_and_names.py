"""Files and functions stay small, and names say what a thing is."""

import ast
import inspect
from collections import defaultdict
from pathlib import Path

import numpy as np

from architecture.source import DEFENCES, PACKAGE, code_words, docstrings, kinds, modules
from mithridate.core.registry import find

METHOD, FILE, FUNCTION = 200, 300, 40
USUAL = 25
"""Lines of a function, signature and documentation included, that 95 of 100 do not exceed."""

BANNED_FILES = {"util", "utils", "helper", "helpers", "common", "misc", "manager", "base", "tools"}
DOMAIN_WORDS = {
    "image", "images", "pixel", "pixels", "text", "texts", "word", "words", "sentence",
    "sentences", "token", "tokens", "tabular", "audio", "waveform", "spectrogram",
}  # fmt: skip
NEUTRAL = ("core", "stats", "attacks", "detectors", "scanners", "trainers", "repairs",
           "aggregators", "clients", "pipelines", "bench")  # fmt: skip
SECRETS = {
    "poison_rate", "poisoning_rate", "rate_poisoned", "n_poison", "target", "target_label",
    "target_class", "source_class", "trigger", "attack", "truth",
}  # fmt: skip

OLD_WORDS = {"found", "called", "took"}
"""Words that once stood for want of a better one; see the glossary in docs/design.md."""


def test_files_stay_small():
    methods = {Path(inspect.getfile(m)) for kind in kinds() for m in find(kind).values()}
    assert methods
    wrong = {
        module.place: size
        for module in modules()
        if (size := lines_apart_from_documentation(module))
        > (METHOD if module.path in methods else FILE)
    }
    assert not wrong, f"more than {METHOD} lines for a method or {FILE} for any file"


def lines_apart_from_documentation(module):
    """Lines of a file; settings are documented one by one, and that must cost no room."""
    told = sum(d.end_lineno - d.lineno + 1 for d in docstrings(module.tree))
    return len(module.text.splitlines()) - told


def lines_of_code(function, source):
    """Lines of a function's body that are neither blank, comment nor documentation."""
    skipped = set()
    for string in docstrings(function):
        skipped.update(range(string.lineno, string.end_lineno + 1))
    body = range(function.body[0].lineno, function.end_lineno + 1)
    text = {number: source[number - 1].strip() for number in body if number not in skipped}
    return sum(bool(line) and not line.startswith("#") for line in text.values())


def functions(tree):
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


def test_functions_have_at_most_40_lines():
    long = [
        f"{module.place}:{function.lineno} {function.name} has {size} lines"
        for module in modules()
        for function in functions(module.tree)
        if (size := lines_of_code(function, module.text.splitlines())) > FUNCTION
    ]
    assert not long, "\n".join(long)


def span(function):
    """Lines of a function as a reader meets it."""
    return function.end_lineno - function.lineno + 1


def too_long(trees):
    """The functions above the usual size, where they are more than 5 of 100; else none."""
    every = [function for tree in trees for function in functions(tree)]
    if np.percentile([span(function) for function in every], 95) <= USUAL:
        return []
    return [function.name for function in every if span(function) > USUAL]


def test_95_of_100_functions_have_at_most_25_lines():
    assert not too_long(module.tree for module in modules()), "shorten some of these"


def test_a_set_of_longer_functions_is_seen():
    trees = [module.tree for module in modules()]
    count = sum(len(functions(tree)) for tree in trees)
    planted = [f"def long_{i}():\n" + "    go()\n" * USUAL for i in range(round(0.06 * count))]
    trees.append(ast.parse("\n".join(planted)))
    assert {f"long_{i}" for i in range(len(planted))} <= set(too_long(trees))
    shorter = [text.replace("    go()\n", "", 1) for text in planted]
    assert not too_long([*trees[:-1], ast.parse("\n".join(shorter))])


def test_lines_of_code_leave_out_documentation():
    source = 'def f(\n    x,\n):\n    """Doc.\n\n    More.\n    """\n    # why\n\n    return x\n'
    assert lines_of_code(functions(ast.parse(source))[0], source.splitlines()) == 1


def test_no_file_has_a_name_that_says_nothing():
    named = {path.stem for path in PACKAGE.rglob("*.py")}
    folders = {path.name for path in PACKAGE.rglob("*") if path.is_dir()}
    assert not (named | folders) & BANNED_FILES


def test_no_method_knows_its_domain():
    wrong = [
        f"{module.place}:{line} {word}"
        for module in modules(*NEUTRAL)
        for line, word in code_words(module)
        if word in DOMAIN_WORDS
    ]
    assert not wrong, "\n".join(wrong)


def test_no_two_classes_share_a_name():
    places = defaultdict(list)
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(module.place)
    twice = {name: where for name, where in places.items() if len(where) > 1}
    assert not twice, "one name, two meanings"


def test_no_local_is_called_found_and_no_name_is_of_the_old_house():
    wrong = [
        f"{module.place}:{node.lineno} {word}"
        for module in modules()
        for node in ast.walk(module.tree)
        for word in (bound(node),)
        if word in OLD_WORDS
    ]
    assert not wrong, "\n".join(wrong)


def bound(node):
    """The name that a node binds, if any: a local, a parameter, a function."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return node.id
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return node.name
    return node.arg if isinstance(node, ast.arg) else ""


def names_given(tree):
    """Fields of classes and parameters of functions: what a caller can hand over."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield from (s.target.id for s in node.body if isinstance(s, ast.AnnAssign))
        elif isinstance(node, ast.arg):
            yield node.arg


def test_no_defence_is_told_what_only_the_attacker_knows():
    wrong = [
        f"{module.place}: {name}"
        for module in modules(*DEFENCES)
        for name in names_given(module.tree)
        if name in SECRETS
    ]
    assert not wrong, "\n".join(wrong)


def test_every_public_thing_is_documented_in_one_plain_sentence():
    wrong = []
    for module in modules():
        for node in [module.tree, *public(module.tree)]:
            first = (ast.get_docstring(node) or "").partition("\n")[0]
            if not first.endswith(".") or (first[:1].isalpha() and not first[:1].isupper()):
                wrong.append(f"{module.place}: {getattr(node, 'name', 'the module')}: {first!r}")
    assert not wrong, "\n".join(wrong)


def public(node):
    """Public functions and classes, with the public methods of the latter."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for child in node.body:
        if isinstance(child, kinds) and not child.name.startswith("_"):
            yield child
            if isinstance(child, ast.ClassDef):
                yield from public(child)
