"""The shell completes verbs, flags and the names of methods, without importing torch."""

import subprocess
import sys

import pytest

from cli.runs import MITHRIDATE, environment
from mithridate.cli.completing import NAMED, kinds_for_the_shell, known, names_of
from mithridate.core.registry import comes_with_us, find, find_attacks, kinds


def test_names_read_from_source_are_those_of_the_registry():
    for kind in kinds():
        mine = [name for name, method in find(kind).items() if comes_with_us(method)]
        assert known(kind.kind) == mine, kind.kind
    assert known(NAMED) == list(find_attacks())
    assert kinds_for_the_shell("") == sorted([*(kind.kind for kind in kinds()), NAMED])
    assert names_of("trigger")("warp") == ["warp-trigger"]


def completed(line):
    """What bash is offered after a line, of which the last word may be unfinished."""
    words = line.split(" ")
    return subprocess.run(
        MITHRIDATE, capture_output=True, text=True, check=False, timeout=60,
        env=environment(_MITHRIDATE_COMPLETE="complete_bash", COMP_WORDS=line,
                        COMP_CWORD=str(len(words) - 1)),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("mithridate po", {"poison"}),
        ("mithridate poison digits --attack wa", {"wanet"}),
        ("mithridate poison digits --trigger sle", {"sleeper-agent-trigger"}),
        ("mithridate methods named", {"named-attack"}),
    ],
)
def test_bash_is_offered_names(line, offered):
    done = completed(line)
    assert set(done.stdout.split()) == offered, done.stderr


def test_a_keystroke_imports_no_torch():
    code = (
        "import sys; from mithridate.cli import program, completing; "
        "completing.known('trigger'); completing.known('named-attack'); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], env=environment()).returncode == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed_into_the_home_folder(tmp_path, shell):
    detection = "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"
    done = subprocess.run(
        [*MITHRIDATE, "--install-completion", shell], capture_output=True, text=True, check=False,
        env=environment(HOME=str(tmp_path), **{detection: "1"}), timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"{shell} completion installed" in done.stdout
    written = "".join(p.read_text() for p in tmp_path.rglob("*") if p.is_file())
    assert "_MITHRIDATE_COMPLETE" in written
