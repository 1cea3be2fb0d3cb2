"""The program as a whole: its flags, its help, its lists, and readers that go away."""

import dataclasses
import importlib
import inspect
import resource
import subprocess
import sys
import typing

import pytest

from cli.runs import MITHRIDATE, environment, inside, mithridate
from mithridate.cli.flags import as_flag, settings_of
from mithridate.cli.program import app, bench, scan
from mithridate.cli.terminal import duration
from mithridate.core.settings import value_of
from mithridate.core.spelling import option, raised, spelt
from mithridate.pipelines.scan import DataScanner

WITHOUT_TORCH = (
    "import sys\nfrom mithridate.cli import main\n"
    "try: main()\nfinally: sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
)


@pytest.mark.parametrize(
    "verb", [(), ("scan",), ("scan", "data"), ("train",), ("repair",), ("poison",), ("demo",)]
)
def test_help_comes_without_torch_and_at_once(verb):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *verb, "--help"], capture_output=True, text=True,
        check=False, env=environment(),
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, "help imported torch"
    assert "Usage: " in done.stdout
    assert after.ru_utime - before.ru_utime < 1.0


def test_every_work_takes_what_its_flags_give():
    """The fields of a request arrive by name: nothing is missing, and nothing is left over."""
    verbs = [c.callback for group in (app, scan, bench) for c in group.registered_commands]
    made = [verb.made_of for verb in verbs if hasattr(verb, "made_of")]
    assert len(made) == len(verbs) - len(("methods", "sets"))
    for request, work, settings in made:
        module, _, function = work.partition(":")
        run = getattr(importlib.import_module(module), function)
        taken = inspect.signature(run).parameters
        given = [f.name for f in dataclasses.fields(request)] + ["settings"] * bool(settings)
        assert set(taken) == set(given), work


def test_the_flags_of_a_scan_are_the_plain_fields_of_the_scanner():
    flags = {p.name: p for p in settings_of("mithridate.pipelines.scan", "DataScanner")}
    hints = typing.get_type_hints(DataScanner)
    plain = {
        f.name: f.default
        for f in dataclasses.fields(DataScanner)
        if hints[f.name] in (int, float, str, bool)
    }
    assert {name: flag.default for name, flag in flags.items()} == plain
    assert {"level", "fdr", "smallest", "network"} <= set(flags)
    for name, flag in flags.items():
        kind, option = typing.get_args(flag.annotation)
        assert kind is hints[name]
        assert option.default == f"--{name.replace('_', '-')}", (
            "the first argument of an option is its flag"
        )


def test_settings_are_spelt_as_whoever_calls_writes_them():
    assert option("size", 32) == "size=32" and option("split") == "split="
    assert raised("rows") == "raise Limits.rows if that is meant"
    with spelt(as_flag):
        assert option("keep_going", True) == "--keep-going"
        assert option("size", 32) == "--size 32" and option("split") == "--split"
        assert "in Python" in raised("rows")
    assert option("size", 32) == "size=32"


def test_a_flag_that_a_command_lacks_is_named_with_the_command_that_has_it():
    assert as_flag("keep_going", True, known={"size"}) == "--keep-going of 'mithridate scan data'"
    assert as_flag("size", 8, known={"size"}) == "--size 8"


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("3", int, 3),
        ("0.5", float, 0.5),
        ("3", float, 3.0),
        ("true", bool, True),
        ("False", bool, False),
        (" x", str, " x"),
        ("1, 2,3", tuple[int, int, int], (1, 2, 3)),
        ("1,2", tuple[int, ...], (1, 2)),
        ("none", int | None, None),
        ("4", int | None, 4),
        ("b", typing.Literal["a", "b"], "b"),
    ],
)
def test_settings_are_read_as_the_type_of_their_field(text, kind, value):
    found = value_of(text, kind)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("3.5", int, "a whole number"),
        ("x", float, "a number"),
        ("1", bool, "one of true, false"),
        ("1,2", tuple[int, int, int], "3 values"),
        ("c", typing.Literal["a", "b"], "one of a, b"),
        ("x", int | None, "a whole number or none"),
        ("x", dict[str, int], "set from Python"),
    ],
)
def test_settings_of_another_type_are_refused(text, kind, expected):
    with pytest.raises(ValueError, match=expected):
        value_of(text, kind)


def test_durations_are_spelled_for_people():
    assert [duration(s) for s in (0.2, 61, 600, 7500)] == ["1 s", "61 s", "10 min", "2 h 5 min"]


def test_the_version_is_printed():
    from mithridate import __version__

    done = mithridate("--version")
    assert (done.returncode, done.stdout.strip()) == (0, __version__)


def test_lists_name_every_method_and_set(monkeypatch):
    from mithridate.core.method import Trigger
    from mithridate.core.registry import find
    from mithridate.domains.catalogue import SETS

    methods = inside("methods", "trigger")
    assert methods.returncode == 0, methods.stderr
    assert all(f" {name} " in methods.stdout for name in find(Trigger))
    assert "size=3" in methods.stdout
    monkeypatch.setenv("MITHRIDATE_DATA", "somewhere")
    sets = inside("sets")
    assert sets.returncode == 0, sets.stderr
    assert all(name in sets.stdout for name in [*SETS, "somewhere"])


def test_a_reader_that_goes_away_changes_neither_status_nor_manners():
    process = subprocess.Popen(
        [*MITHRIDATE, "poison", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    assert process.wait() == 0
    assert said == b""


def test_output_that_an_encoding_cannot_hold_is_spelled_out():
    done = mithridate("sc\u00e4n\u4e2d", PYTHONIOENCODING="ascii")
    assert done.returncode == 2
    assert "sc\\xe4n\\u4e2d" in done.stderr
