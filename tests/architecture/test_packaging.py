"""What is declared is what is used, and nothing names the machine that it was written on."""

import re
import resource
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from architecture.source import ROOT, modules, tracked

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
IMPORTED_AS = {"scikit-learn": "sklearn", "pillow": "PIL", "pytest-xdist": "xdist",
               "pytest-timeout": "pytest_timeout", "mkdocs-material": "material"}  # fmt: skip


def import_names(requirements):
    names = [Requirement(text).name for text in requirements]
    return {IMPORTED_AS.get(name, name.replace("-", "_")) for name in names}


def test_every_import_is_a_declared_dependency():
    declared = import_names(PROJECT["dependencies"]) | {"mithridate"} | sys.stdlib_module_names
    optional = import_names(line for lines in EXTRAS.values() for line in lines)
    for module in modules():
        top = {name.partition(".")[0] for name, _ in module.imports()}
        assert top <= declared | optional, f"{module.place}: {top - declared - optional}"


WITHOUT_EXTRAS = """
import importlib, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ImportError(name + " is an extra")

sys.meta_path.insert(0, Absent())
import mithridate
for module in pkgutil.walk_packages(mithridate.__path__, "mithridate."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""


def test_every_module_imports_without_the_extras():
    absent = import_names(line for lines in EXTRAS.values() for line in lines)
    assert "pytest" in absent
    command = [sys.executable, "-c", WITHOUT_EXTRAS.format(absent=absent)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_every_bound_has_its_reason():
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    for line in PROJECT["dependencies"]:
        assert re.search(rf'"{re.escape(line)}",  # \w', text), f"why {line}?"


APART = {"flower": "flower.txt"}
"""Extras whose own bounds exclude our pins, with the pins that they are tested with instead."""


@pytest.mark.parametrize("file", ["dev.txt", *APART.values()])
def test_the_pins_cover_what_is_declared_and_name_no_host(file):
    lines = (ROOT / "constraints" / file).read_text("utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    pins = {name.lower().replace("_", "-"): Version(version) for name, version in pins.items()}
    assert all(version.local is None for version in pins.values()), "a build of one index"
    mine = [name for name in EXTRAS if APART.get(name, "dev.txt") == file]
    extras = mine if file == "dev.txt" else [*mine, "test"]
    for line in [*PROJECT["dependencies"], *(r for extra in extras for r in EXTRAS[extra])]:
        wanted = Requirement(line)
        assert wanted.name in pins, f"{wanted.name} is not pinned"
        assert pins[wanted.name] in wanted.specifier


def test_the_oldest_versions_allowed_are_the_ones_that_are_tested():
    lines = (ROOT / "constraints" / "lowest.txt").read_text("utf-8").splitlines()
    tested = {line for line in lines if line and not line.startswith(("#", "torch=="))}
    declared = {line.replace(">=", "==") for line in PROJECT["dependencies"]}
    assert tested == {line for line in declared if not line.startswith("torch==")}


MACHINE = re.compile(
    "|".join(
        [
            r"(?<![\w.~-])/(?:root|work|opt|mnt)" + "/",
            r"(?<![\w.~-])/(?:home|Users)" + r"/\w",
            "file:" + "//",
            "pypi" + r"\.org/simple",
            "pythonhosted" + r"\.org",
            "deb" + r"\.debian",
        ]
    )
)


def test_the_pattern_sees_a_path_of_a_machine():
    assert MACHINE.search("open('/" + "root/x')")
    assert not MACHINE.search("see docs/root/x and src/home/x")


def test_no_file_names_the_machine_that_it_was_written_on():
    wrong = []
    for path in tracked():
        if path.stat().st_size < 2_000_000 and path.name != "LICENSE":
            for number, line in enumerate(path.read_text("utf-8", "ignore").splitlines(), 1):
                if found := MACHINE.search(line):
                    wrong.append(f"{path.relative_to(ROOT)}:{number} {found.group()}")
    assert not wrong, "\n".join(wrong)


def test_help_comes_at_once():
    code = "import sys; sys.argv = ['mithridate', '--help']; from mithridate.cli import main\n"
    code += "try: main()\nfinally: print('TORCH' if 'torch' in sys.modules else 'LIGHT')"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stdout.rstrip().endswith("LIGHT"), "the command line imports torch for its help"
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert seconds < 1.0


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_make_command_of_a_page_exists(page):
    text = (ROOT / page).read_text("utf-8")
    makefile = (ROOT / "Makefile").read_text("utf-8")
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE))
    assert named, "the page names no command"
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target} does not exist"
