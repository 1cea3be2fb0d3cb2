"""No file imports, however indirectly, itself: imports inside functions and for types count too."""

import ast

from architecture.source import PACKAGE, modules


def name_of(module):
    """The dotted name of a module."""
    parts = ["mithridate", *module.path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def arrows(named):
    """The modules that each module imports; `from package import module` is one of them."""
    return {
        name: {
            full if (full := f"{source}.{what}") in named else source
            for source, what in module.imports()
        }
        & set(named) - {name}
        for name, module in named.items()
    }


def circles(graph):
    """Every circle that a walk along the arrows closes, as the path from a module to itself."""
    closed, done = [], set()

    def walk(name, path):
        if name in path:
            closed.append([*path[path.index(name) :], name])
        elif name not in done:
            for other in sorted(graph[name]):
                walk(other, [*path, name])
            done.add(name)

    for name in sorted(graph):
        walk(name, [])
    return closed


def test_no_file_imports_itself_in_a_circle():
    closed = circles(arrows({name_of(module): module for module in modules()}))
    assert not closed, "\n".join(" -> ".join(path) for path in closed)


def test_a_circle_is_seen():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == [["b", "c", "b"]]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_imports_inside_functions_and_for_types_are_arrows():
    lazy = "if TYPE_CHECKING:\n    from mithridate import a\ndef f():\n    import mithridate.b\n"

    class Module:
        tree = ast.parse(lazy)
        imports = modules()[0].__class__.imports

    class Empty:
        imports = Module.imports
        tree = ast.parse("")

    named = {"mithridate.c": Module(), "mithridate.a": Empty(), "mithridate.b": Empty()}
    assert arrows(named)["mithridate.c"] == {"mithridate.a", "mithridate.b"}
