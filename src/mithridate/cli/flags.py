"""Command-line flags written by dataclasses: a field is a flag, its default the flag's default."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast, get_type_hints

import typer

from mithridate.cli.existing import check_inputs
from mithridate.core.docstrings import parsed
from mithridate.core.spelling import as_argument, spelt

PLAIN = {"float": float, "int": int, "str": str, "bool": bool}
"""Types of settings that one flag can hold."""


def command(
    request: type[Any], work: str, settings: str = "", data: Collection[str] = (),
    files: Collection[str] = (),
) -> Callable[..., None]:  # fmt: skip
    """Make a command out of a dataclass: its fields are the flags.

    A field whose type is a dataclass too is a group of flags that several verbs share.

    Args:
        request: The dataclass.
        work: "module:function", what is given the fields by name and gives the exit status. It is
            imported when the command runs, so that help comes at once.
        settings: "module:Class", a dataclass whose plain fields become flags too; what is given
            for them arrives as `settings`, a mapping by name.
        data: fields that name data, which must be there.
        files: fields that name a model or a folder, which must be there.
    """
    own = list(_parameters(request))
    more = list(settings_of(*settings.split(":"))) if settings else []
    known = [parameter.name for parameter in own]

    def function(**given: Any) -> None:
        check_inputs(given, data, files)
        arguments = _fields(request, given)
        if settings:
            arguments["settings"] = {p.name: given[p.name] for p in more}
        module, _, name = work.partition(":")
        run = getattr(importlib.import_module(module), name)
        with spelt(partial(as_flag, known=known)):
            status = run(**arguments)
        raise typer.Exit(status)

    paragraphs = (inspect.getdoc(request) or "").split("\n\n")
    function.__doc__ = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    function.__name__ = request.__name__.lower()
    cast(Any, function).made_of = (request, work, settings)
    cast(Any, function).__signature__ = inspect.Signature([*own, *more])
    function.__annotations__ = {p.name: p.annotation for p in [*own, *more]}
    return function


def _parameters(request: type[Any]) -> Iterator[inspect.Parameter]:
    """The flags of a request, those of its groups among them."""
    hints = get_type_hints(request, include_extras=True)
    for field in dataclasses.fields(request):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            yield from _parameters(cast(type[Any], hint))
        else:
            yield inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=_default(field), annotation=hint
            )


def _fields(request: type[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a request's fields, each group put together again."""
    hints = get_type_hints(request)
    return {
        name: cast(Any, hint)(**_fields(cast(type[Any], hint), given))
        if dataclasses.is_dataclass(hint := hints[name])
        else given[name]
        for name in (field.name for field in dataclasses.fields(request))
    }


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default


def settings_of(module: str, name: str) -> Iterator[inspect.Parameter]:
    """Read the plain fields of a dataclass from its source, as the parameters of a command.

    The source is read and not imported, since importing a pipeline imports torch, and help would
    come seconds late.
    """
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text("utf-8"))
    body = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name)
    meanings = parsed(ast.get_docstring(body) or "").meanings
    for node in body.body:
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
            continue
        kind = PLAIN.get(ast.unparse(node.annotation))
        if kind is not None and isinstance(node.value, ast.Constant):
            field = node.target.id
            option = typer.Option(f"--{field.replace('_', '-')}", help=meanings.get(field, ""))
            yield inspect.Parameter(
                field, inspect.Parameter.KEYWORD_ONLY, default=node.value.value,
                annotation=Annotated[kind, option],
            )  # fmt: skip


def as_flag(name: str, value: object = None, *, known: Collection[str] | None = None) -> str:
    """Spell a setting as a flag, for `core.spelling`: `--size 32`, or `--keep-going` alone.

    Args:
        name: of the setting.
        value: what to give it, None where that is open, True or False where the flag takes nothing.
        known: the settings of the command that runs; flags of others are named with the command
            that has them. None where all are known.

    """
    if name.startswith("limits."):
        return f"{as_argument(name)} (of mithridate.domains.formats.read, in Python)"
    flag = f"--{'no-' if value is False else ''}{name.replace('_', '-')}"
    flag = flag if value is None or isinstance(value, bool) else f"{flag} {value}"
    return flag if known is None or name in known else f"{flag} of 'mithridate scan data'"
