"""How every page is made: templates that escape, and values that are spelled out."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from mithridate.report.quoting import spell_invisible


def environment() -> Environment:
    """Give the environment of all templates; nothing from outside acts on a page."""
    return Environment(
        loader=PackageLoader("mithridate.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_spell_out,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _spell_out(value: Any) -> Any:
    """Make every value of a page readable; what the template itself wrote stays."""
    data = isinstance(value, str) and not hasattr(value, "__html__")
    return spell_invisible(value) if data else value
