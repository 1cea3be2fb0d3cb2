"""Code is written once, and functions stay short: shares over the package, each with a bound."""

import ast
import math
from collections import defaultdict

from architecture.source import docstrings, modules

WINDOW = 6
"""Lines of code in a row that count as a copy where another file has the same."""
COPIED = 0.015
"""The largest share of code lines that lie in such a copy."""
P95 = 25
"""The largest length of all but 5 % of the functions, from `def` to the end: lines of signature,
documentation and code."""


def undocumented(tree, source):
    """The numbers of the lines that are neither blank, comment nor documentation."""
    skipped = set()
    for string in docstrings(tree):
        skipped.update(range(string.lineno, string.end_lineno + 1))
    lines = enumerate(source.splitlines(), 1)
    return {n for n, line in lines if n not in skipped and line.strip()[:1] not in ("", "#")}


def code_lines(tree, source):
    """The lines of a file without imports, comments, documentation and blank lines, stripped."""
    kept = undocumented(tree, source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            kept.difference_update(range(node.lineno, node.end_lineno + 1))
    return [line.strip() for n, line in enumerate(source.splitlines(), 1) if n in kept]


def copied(files):
    """The places (file, line of code) that lie in a window which another file has too."""
    seen = defaultdict(list)
    for name, lines in files.items():
        for start in range(len(lines) - WINDOW + 1):
            seen[tuple(lines[start : start + WINDOW])].append((name, start))
    return {
        (name, start + line)
        for places in seen.values()
        if len({name for name, _ in places}) > 1
        for name, start in places
        for line in range(WINDOW)
    }


def test_code_is_written_once():
    files = {m.place: code_lines(m.tree, m.text) for m in modules()}
    places, total = copied(files), sum(map(len, files.values()))
    worst = defaultdict(int)
    for name, _ in places:
        worst[name] += 1
    told = ", ".join(f"{name} {n}" for name, n in sorted(worst.items(), key=lambda w: -w[1])[:12])
    assert len(places) <= COPIED * total, f"{len(places)} of {total} lines are copies: {told}"


def test_copies_are_counted_in_both_files_and_only_across_files():
    block = [f"line {n}" for n in range(WINDOW)]
    assert len(copied({"a": [*block, "x"], "b": ["y", *block]})) == 2 * WINDOW
    assert not copied({"a": [*block, *block], "b": ["y"]})
    assert not copied({"a": block[:-1], "b": block[:-1]})


def test_lines_of_code_are_what_runs():
    source = '"""Doc."""\nimport os\nfrom a import (\n    b,\n)\n\n# why\nx = "kept"  # also\n'
    assert code_lines(ast.parse(source), source) == ['x = "kept"  # also']


def lengths(module):
    """The length of each function of a file, by its place; blank lines and comments apart."""
    written = [line.strip()[:1] not in ("", "#") for line in module.text.splitlines()]
    return {
        f"{module.place}:{node.lineno} {node.name}": sum(written[node.lineno - 1 : node.end_lineno])
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_functions_are_short():
    """With the signature and with what documents them, which both can be split in vain."""
    sizes = {place: size for module in modules() for place, size in lengths(module).items()}
    p95 = sorted(sizes.values())[math.ceil(0.95 * len(sizes)) - 1]
    just = [place for place, size in sizes.items() if size == P95 + 1]
    assert p95 <= P95, f"5 % of {len(sizes)} functions are longer than {P95}; just so: {just}"
