"""Advice is spelt by `core.spelling`: commands have flags, Python has arguments."""

import ast
import inspect
import re
from pathlib import Path

import pytest

import mithridate.domains.formats as formats
from domains.formats.made import encoded, make_tree, pixels
from mithridate.cli.flags import as_flag
from mithridate.core.errors import DataError
from mithridate.core.spelling import spelt
from mithridate.domains.formats import read

OPTIONS = [name for name in inspect.signature(read).parameters if name not in ("path", "limits")]
WRITTEN = re.compile(rf"\b({'|'.join(OPTIONS)})=(?=[\s;,.)]|$|True|\d)|Limits\.[a-z]")


def messages():
    """Every piece of text in the readers that is no docstring, with what stands before it."""
    for path in sorted(Path(formats.__file__).parent.glob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                whole = "".join(
                    p.value
                    if isinstance(p, ast.Constant)
                    else "label"
                    if ast.unparse(p.value) == "role"
                    else "?"
                    for p in node.values
                )
                yield path.name, whole
            elif isinstance(node, ast.Constant) and id(node) not in docs:
                yield path.name, str(node.value)


def test_the_pattern_sees_what_is_written_out():
    for wrong in ("size=32 (or another)", "name it with label=", "raise Limits.rows", "content=;"):
        assert WRITTEN.search(wrong), wrong
    assert not WRITTEN.search("numpy.savez('data.npz', images=images, labels=labels)")


def test_no_message_writes_an_option_out():
    wrong = [(file, text) for file, text in messages() if WRITTEN.search(text)]
    assert not wrong


def test_mixed_sizes_advise_what_the_reader_can_type(tmp_path):
    tree = make_tree(tmp_path)
    (tree / "dog/new.png").write_bytes(encoded(pixels(0, (7, 8, 3))))
    with pytest.raises(DataError, match="size=32 "):
        read(tree)
    with spelt(as_flag), pytest.raises(DataError, match="--size 32 "):
        read(tree)
