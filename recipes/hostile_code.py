"""Model files that would run code when they are opened; what they would do is to make a marker."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from hostile_good import Sample, members_of, torch_zip, zipped


class Mark:
    """An object whose unpickling creates the marker."""

    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call, self.arguments


def reducers(marker: str) -> dict[str, bytes]:
    """Pickles that would create the marker, by the ways in which scanners were evaded."""
    touch = f"touch {marker}"
    body = f"import pathlib; pathlib.Path({marker!r}).touch()"
    made = {
        "os.system": pickle.dumps(Mark(os.system, touch)),
        "exec": pickle.dumps(Mark(exec, body)),
        "open": pickle.dumps(Mark(open, marker, "w")),
        "in a dictionary": pickle.dumps({"a": 1, "b": [Mark(exec, body)]}),
        "protocol 0": pickle.dumps(Mark(os.system, touch), protocol=0),
        "instance": f"(S'{touch}'\nios\nsystem\n.".encode(),
        "object": b"(cos\nsystem\nS'" + touch.encode() + b"'\no.",
        "python 2": f'c__builtin__\neval\n(S\'__import__("os").system("{touch}")\'\ntR.'.encode(),
        "not at the end": f"cos\nsystem\n(S'{touch}'\ntR".encode(),
        "broken after it": f"cos\nsystem\n(S'{touch}'\ntR\xff\xff".encode("latin1"),
        "twice": pickle.dumps([1]) + pickle.dumps(Mark(exec, body)),
        "runpy": f"crunpy\n_run_code\n(S'{body}'\n}}tR.".encode(),
        "pip": f"cpip._internal\nmain\n((S'{marker}'\nltR.".encode(),
        "torch inside": f"ctorch.serialization\nos.system\n(S'{touch}'\ntR.".encode(),
        "extension": b"\x80\x02\x82\x01)R.",
    }
    names = b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94h\x00h\x01\x93\x8c"
    made["names from memory"] = names + bytes([len(touch)]) + touch.encode() + b"\x85R."
    joined = b"\x80\x04cbuiltins\ngetattr\n\x8c\x02os\x8c\x06system\x86R."
    made["getattr"] = joined
    made["computed name"] = b"\x80\x04\x8c\x02os(\x8c\x03sys\x8c\x03teml\x93."
    return made


def malicious(rng: np.random.Generator, marker: str, good: dict[str, bytes]) -> Iterator[Sample]:
    """Pickles alone, in torch archives, in old torch files and beside weights."""
    archive = members_of(good["torch"])
    root = next(iter(archive)).partition("/")[0]
    old = good["torch legacy"]
    prefix = b"".join(pickle.dumps(v, 2) for v in (0x1950A86A20F9469CFC6C, 1001, {}))
    for name, words in reducers(marker).items():
        yield Sample("pickle", name, words, must="danger")
        yield Sample(
            "pickle in torch zip",
            name,
            zipped({**archive, f"{root}/data.pkl": words}),
            must="danger",
        )
        yield Sample(
            "pickle packed in zip",
            name,
            zipped({**archive, f"{root}/data.pkl": words}, True),
            must="danger",
        )
        yield Sample("pickle before old torch", name, words + old, must="danger")
        yield Sample("pickle in old torch", name, prefix + words, must="danger")
        yield Sample(
            "pickle beside weights",
            name,
            zipped({**archive, f"{root}/extra.pkl": words}),
            must="danger",
        )
        broken = bytearray(zipped({f"{root}/data.pkl": words}))
        broken[14:18] = b"\0\0\0\0"  # the checksum in the local header
        place = broken.rfind(b"PK\x01\x02")
        broken[place + 16 : place + 20] = b"\1\2\3\4"
        yield Sample("wrong checksum", name, bytes(broken), must="danger")


def programs(marker: str, good: dict[str, bytes]) -> Iterator[Sample]:
    """Exported programs that would run code when they are loaded, and TorchScript."""
    archive = members_of(good["pt2"])
    graph = next(name for name in archive if name.endswith("models/model.json"))
    inputs = next(name for name in archive if "sample_inputs" in name)
    config = next(name for name in archive if name.endswith("weights_config.json"))
    call = f"__import__('pathlib').Path({marker!r}).touch()"
    expressions = [
        call,
        f"Symbol('s0', positive=True) + {call}",
        f"[{call} for _ in (1,)]",
        f"(lambda: {call})()",
        "Symbol('s0').__class__",
        "Pow(9, Pow(9, 9))",
        "9 ** 9 ** 9",
        "(" * 3_000,
        "s0\n+1",
        "Symbol('__import__(\"os\")')",
        "f'{s0}'",
        "oo if s0 else 1",
        "x" * 30_000,
    ]
    for number, words in enumerate(expressions):
        text = json.loads(archive[graph])
        spoilt = _with_expression(text, words)
        yield Sample(
            "pt2 expression",
            f"{number}",
            zipped({**archive, graph: json.dumps(spoilt).encode()}),
            must="danger",
        )
    listed = json.dumps(_with_expression(json.loads(archive[graph]), [call])).encode()
    yield Sample("pt2 expression", "in a list", zipped({**archive, graph: listed}), must="danger")
    hidden = archive[graph].replace(b'"expr_str": "', b'"e\\u0078pr_str": "1 + ' + call.encode(), 1)
    yield Sample("pt2 expression", "escaped", zipped({**archive, graph: hidden}), must="danger")
    for name, words in reducers(marker).items():
        for inner in (words, torch_zip(words)):
            yield Sample(
                "pt2 sample inputs", name, zipped({**archive, inputs: inner}), must="danger"
            )
    told = json.loads(archive[config])
    first = next(iter(told["config"].values()))
    first["use_pickle"] = True
    folder = config.rpartition("/")[0]
    for name, words in reducers(marker).items():
        yield Sample(
            "pt2 pickled weights",
            name,
            zipped(
                {
                    **archive,
                    config: json.dumps(told).encode(),
                    f"{folder}/{first['path_name']}": words,
                }
            ),
            must="danger",
        )
    tree = json.dumps({"default_factory_module": "antigravity", "default_factory_name": "x"})
    for number, words in enumerate(
        (
            tree,
            json.dumps([json.dumps({"c": tree})]),
            '{"__enum__": true, "fqn": "antigravity:x", "name": "y"}',
        )
    ):
        spoilt = json.loads(archive[graph])
        spoilt["in_spec"] = words
        yield Sample(
            "pt2 import",
            f"{number}",
            zipped({**archive, graph: json.dumps(spoilt).encode()}),
            must="danger",
        )
    for target in ("torch.os.system", "_operator.methodcaller", "torch.load", "torch.hub.load"):
        spoilt = json.loads(archive[graph])
        spoilt["graph_module"]["graph"]["nodes"][0]["target"] = target
        yield Sample(
            "pt2 function",
            target,
            zipped({**archive, graph: json.dumps(spoilt).encode()}),
            must="danger",
        )
    root = graph.partition("/")[0]
    for name in (
        "data/aotinductor/model/x.so",
        "data/constants/opaque_obj_0",
        "extra/x.dll",
        "data/constants/custom_obj_0",
    ):
        yield Sample(
            "pt2 machine code",
            name,
            zipped({**archive, f"{root}/{name}": b"\x7fELF"}),
            must="danger",
        )
    yield Sample("TorchScript", "traced", good["torchscript"], must="danger", code=False)
    yield Sample("pt2", "not expected", good["pt2"], must="danger", code=False)


def _with_expression(value: Any, words: Any) -> Any:
    """Replace every expression in a program."""
    if isinstance(value, dict):
        return {
            k: words if k == "expr_str" else _with_expression(v, words) for k, v in value.items()
        }
    return [_with_expression(v, words) for v in value] if isinstance(value, list) else value


def deep(rng: np.random.Generator) -> Iterator[Sample]:
    """Pickles that nest, go in circles, ask for memory or never end."""
    circle: list[Any] = []
    circle.append(circle)
    mark = b"\x80\x02"
    made = {
        "circle": pickle.dumps(circle),
        "tuples": mark + b")" + b"\x85" * 100_000 + b".",
        "lists": mark + b"]" * 100_000 + b"a" * 99_999 + b".",
        "marks": mark + b"(" * 100_000 + b".",
        "bytearray": b"cbuiltins\nbytearray\n(I999999999999\ntR.",
        "tensor": b"ctorch\nFloatTensor\n(I999999\nI999999\ntR.",
        "string of 4 GB": mark + b"X\xff\xff\xff\xff" + b"a" * 100,
        "long of 2 GB": mark + b"\x8b\xff\xff\xff\x7f",
        "doubling": mark + b"]" + b"2a" * 200_000 + b".",
        "no end": mark + b"K\x01" * 300_000,
        "digits": b"I" + b"9" * 100_000 + b"\n.",
        "empty": mark,
        "only the end": mark + b".",
        "storage": b"\x80\x02(X\x07\0\0\0storage"
        b"ctorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuI999999999999\ntQ.",
    }
    for name, words in made.items():
        yield Sample("deep or large", name, words)
        yield Sample("deep or large in zip", name, torch_zip(words))
    for number in range(20):
        noise = rng.integers(0, 256, 200, dtype=np.uint8).tobytes()
        yield Sample("chance", f"{number}", noise)
        yield Sample("chance after a pickle's start", f"{number}", mark + noise)
