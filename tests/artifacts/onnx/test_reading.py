"""What could harm the reader is refused, and what is broken says so."""

import numpy as np
import pytest
import torch

from artifacts.onnx.graphs import TensorProto, helper, model, onnx
from mithridate.artifacts.inspect import inspect_file
from mithridate.artifacts.onnx import Interpreter, Session, dangers, read
from mithridate.core.errors import CannotJudge, DataError, MissingExtra, UnsafeData


def small():
    weights = {
        "c.weight": np.full((2, 3, 3, 3), 0.1, np.float32),
        "f.weight": np.ones((4, 2), np.float32),
        "f.bias": np.arange(4, dtype=np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "c.weight"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["a"], ["b"]),
        helper.make_node("Flatten", ["b"], ["d"]),
        helper.make_node("Gemm", ["d", "f.weight", "f.bias"], ["y"], transB=1),
    ]
    return model(nodes, weights)


def outside(folder, location, **fields):
    """A model whose first weight says that it lies elsewhere."""
    made = small()
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **fields}.items():
        tensor.external_data.add(key=key, value=str(value))
    folder.mkdir(exist_ok=True)
    (folder / "m.onnx").write_bytes(made.SerializeToString())
    return folder / "m.onnx"


def test_a_sound_file_is_read(tmp_path):
    onnx.save(small(), tmp_path / "m.onnx")
    assert read(tmp_path / "m.onnx") == small()
    assert not dangers(small(), tmp_path)


def test_tensors_in_files_of_the_folder_are_put_into_the_model(tmp_path):
    path = outside(tmp_path, "w.bin", offset=4, length=216)
    (tmp_path / "w.bin").write_bytes(b"____" + small().graph.initializer[0].raw_data)
    assert read(path).graph.initializer[0].raw_data == small().graph.initializer[0].raw_data


@pytest.mark.parametrize(
    "location", ["../secret", "/etc/passwd", "missing", "", "link", "in/../../secret", ".."]
)
def test_data_outside_of_the_folder_are_refused(tmp_path, location):
    path = outside(tmp_path / "in", location)
    (tmp_path / "secret").write_bytes(bytes(216))
    (tmp_path / "in" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(UnsafeData, match="a file of the same folder"):
        read(path)


@pytest.mark.parametrize("fields", [{"offset": 200}, {"length": 10**12}, {"offset": -4}])
def test_data_behind_the_end_of_a_file_are_refused(tmp_path, fields):
    path = outside(tmp_path, "w.bin", **{"length": 216, **fields})
    (tmp_path / "w.bin").write_bytes(bytes(216))
    with pytest.raises(UnsafeData, match=r"ends before|is no number"):
        read(path)


def test_sizes_are_bounded(tmp_path):
    path = outside(tmp_path, "w.bin", length=216)
    (tmp_path / "w.bin").write_bytes(bytes(216))
    with pytest.raises(UnsafeData, match="in other files, found 216"):
        read(path, limit=path.stat().st_size + 100)
    with pytest.raises(UnsafeData, match="at most 100 bytes"):
        read(path, limit=100)


def test_operators_of_somebody_are_refused_with_their_names(tmp_path):
    made = small()
    made.graph.node.append(helper.make_node("Boom", ["y"], ["z"], domain="evil.ops"))
    inner = helper.make_graph([helper.make_node("Hidden", [], ["q"], domain="deep")], "g", [], [])
    made.graph.node.append(helper.make_node("If", ["y"], ["w"], then_branch=inner))
    onnx.save(made, tmp_path / "m.onnx")
    with pytest.raises(UnsafeData, match=r"deep\.Hidden, evil\.ops\.Boom"):
        read(tmp_path / "m.onnx")


def endless():
    """An inner graph that runs 10^15 times."""
    bounds = [("i", TensorProto.INT64), ("on", TensorProto.BOOL)]
    inner = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["go"])], "inner",
        [helper.make_tensor_value_info(name, kind, []) for name, kind in bounds],
        [helper.make_tensor_value_info("go", TensorProto.BOOL, [])],
    )  # fmt: skip
    return helper.make_node("Loop", ["many", ""], [], body=inner)


@pytest.mark.parametrize("place", ["graph", "branch", "function", "default of a function"])
def test_a_graph_that_may_never_end_is_refused_and_flagged(place, tmp_path):
    made = small()
    if place == "graph":
        made.graph.node.append(endless())
    else:
        inner = helper.make_graph([endless()], "g", [], [])
        branch = helper.make_node("If", ["y"], ["w"], then_branch=inner)
        plain = helper.make_node("Relu", ["a"], ["b"])
        body = {"function": [endless()], "branch": [branch]}.get(place, [plain])
        function = helper.make_function("own", "f", ["a"], ["b"], body, [])
        if place.startswith("default"):
            function.attribute_proto.append(helper.make_attribute("body", inner))
        made.functions.append(function)
    onnx.save(made, tmp_path / "m.onnx")
    with pytest.raises(UnsafeData, match=r"found .*Loop"):
        read(tmp_path / "m.onnx")
    assert any("a Loop" in found.what for found in inspect_file(tmp_path / "m.onnx").of("warning"))


@pytest.mark.parametrize("place", ["constant", "weight"])
def test_sparse_weights_in_other_files_are_refused(place, tmp_path):
    made = small()
    values = helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
    values.ClearField("float_data")
    values.data_location = TensorProto.EXTERNAL
    values.external_data.add(key="location", value="../secret" if place == "constant" else "w.bin")
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [0])
    sparse = helper.make_sparse_tensor(values, indices, [4])
    if place == "constant":
        made.graph.node.append(helper.make_node("Constant", [], ["s"], sparse_value=sparse))
    else:
        made.graph.sparse_initializer.append(sparse)
    (tmp_path / "w.bin").write_bytes(bytes(4))
    onnx.save_model(made, tmp_path / "m.onnx")
    with pytest.raises(DataError, match=r"the same folder|another file"):
        read(tmp_path / "m.onnx")


def test_shapes_are_bounded_whether_declared_or_inferred(tmp_path):
    made = small()
    made.graph.initializer[0].dims[0] = 2**40
    onnx.save(made, tmp_path / "m.onnx")
    with pytest.raises(UnsafeData, match=r"elements in 'c\.weight'"):
        read(tmp_path / "m.onnx")
    far = {"far": np.array([1, 2**16, 2**16], np.int64)}
    onnx.save(
        model([helper.make_node("Tile", ["x", "far"], ["y"])], far, [1, 1, 1], rank=3),
        tmp_path / "t",
    )
    with pytest.raises(UnsafeData, match="elements in 'y'"):
        read(tmp_path / "t")


def doubling(levels, tail):
    """Functions each of which calls the next one twice; the last one calls `tail`."""
    imports = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    return [
        helper.make_function(
            "own", f"f{i}", ["a"], ["c"],
            [
                helper.make_node(f"f{i + 1}" if i + 1 < levels else tail, [a], [b], domain="own")
                for a, b in (("a", "b"), ("b", "c"))
            ],
            imports,
        )
        for i in range(levels)
    ]  # fmt: skip


@pytest.mark.parametrize(("levels", "tail"), [(40, "f40"), (2, "f0")])
def test_functions_that_unfold_without_end_are_refused(tmp_path, levels, tail):
    made = model([helper.make_node("f0", ["x"], ["y"], domain="own")])
    made.functions.extend(doubling(levels, tail))
    made.opset_import.append(helper.make_opsetid("own", 1))
    found = " ".join(dangers(made, tmp_path))
    assert "nodes after functions are put in place" in found


def test_broken_files_end_in_an_error_of_the_library(tmp_path):
    whole, rng = small().SerializeToString(), np.random.default_rng(0)
    versions = [whole[:cut] for cut in range(0, len(whole), 29)]
    for _ in range(150):
        flipped = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            flipped[place] ^= 1 << rng.integers(0, 8)
        versions.append(bytes(flipped))
    ended = {"read": 0, "refused": 0}
    for version in versions:
        (tmp_path / "m.onnx").write_bytes(version)
        try:
            made = read(tmp_path / "m.onnx")
            for kind in (Session, Interpreter):
                kind(made)(torch.zeros(2, 3, 8, 8))
            ended["read"] += 1
        except (DataError, CannotJudge):  # UnsafeData is one, too
            ended["refused"] += 1
    assert min(ended.values()) > 20  # bits of weights may be any


def test_what_is_no_file_says_so(tmp_path):
    with pytest.raises(DataError, match="found nothing"):
        read(tmp_path / "absent.onnx")
    with pytest.raises(DataError, match="valid ONNX model"):
        (tmp_path / "text.onnx").write_text("a model, I swear")
        read(tmp_path / "text.onnx")


def test_without_the_packages_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mithridate\[onnx\]'"):
        read(tmp_path / "m.onnx")
