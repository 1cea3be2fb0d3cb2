"""Graphs as converters and quantisers leave them: read, and followed by a twin as they answer."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from artifacts.onnx.graphs import TensorProto, helper, model, numpy_helper, onnx
from mithridate.artifacts.inspect import inspect_file
from mithridate.artifacts.onnx import Interpreter, Session, check_twin, export_onnx, read
from mithridate.artifacts.onnx.table import OPERATORS
from mithridate.core.domain import Surface
from mithridate.core.errors import CannotJudge, DataError, UnsafeData
from mithridate.core.inference import last_linear
from mithridate.pipelines.deployment import small_weights
from mithridate.scanners.gradients import check_gradients

quantization = pytest.importorskip("onnxruntime.quantization")
SURFACE = Surface(-3.0, 3.0, (1, 8, 8), (1, 8, 8))


class Net(nn.Module):
    """What quantisers have operators of their own for."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.hidden, self.head = nn.Linear(8, 64), nn.Linear(64, 10)

    def forward(self, x):
        x = torch.relu(self.first(x))
        x = x + torch.relu(self.second(x))
        x = torch.cat([x, x * 0.5], 1)[:, 4:12]
        x = nn.functional.avg_pool2d(nn.functional.max_pool2d(x, 2), 2).mean((2, 3))
        return self.head(torch.sigmoid(self.hidden(x)))


class Products(nn.Module):
    """Products of matrices, whose rows are no multiple of a block."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(64, 70, bias=False), nn.Linear(70, 10)

    def forward(self, x):
        hidden = torch.relu(x.flatten(1)[:, None] @ self.first.weight.T)[:, 0]
        return hidden @ self.second.weight.T + self.second.bias


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The two networks as ONNX files, and inputs."""
    folder = tmp_path_factory.mktemp("files")
    torch.manual_seed(0)
    batch = torch.randn(64, 1, 8, 8)
    export_onnx(Net().eval(), batch, folder / "net.onnx")
    export_onnx(Products().eval(), batch, folder / "products.onnx")
    plain = str(folder / "plain.onnx")
    quantization.shape_inference.quant_pre_process(
        str(folder / "net.onnx"), plain, skip_symbolic_shape=True
    )
    bare = onnx.load(plain)
    del bare.graph.value_info[:]
    onnx.save(bare, plain)
    return folder, batch


def static(files, name, **settings):
    folder, batch = files
    parts = iter([{onnx.load(folder / "plain.onnx").graph.input[0].name: batch.numpy()}])

    class Reader(quantization.CalibrationDataReader):
        def get_next(self):
            return next(parts, None)

    quantization.quantize_static(folder / "plain.onnx", folder / name, Reader(), **settings)
    return folder / name


def agree(path, batch, apart=0.03):
    """Hold the twin against the runtime: the same classes, nearly the same logits, derivatives."""
    proto = read(path)
    session, twin = Session(proto), Interpreter(proto)
    with torch.no_grad():
        true, mine = session(batch), twin(batch)
    assert float((true - mine).abs().max() / true.std()) < apart
    assert check_twin(session, twin, batch) >= 0.98
    assert last_linear(twin).weight.shape[0] == 10, "weights are layers"
    check_gradients(twin, batch, SURFACE)
    return {node.op_type for node in proto.graph.node}


@pytest.mark.parametrize("keeps", [True, False], ids=["floats outside", "half outside"])
def test_half_precision_of_the_runtimes_own_converter(files, keeps):
    from onnxruntime.transformers.float16 import convert_float_to_float16

    folder, batch = files
    made = convert_float_to_float16(onnx.load(folder / "net.onnx"), keep_io_types=keeps)
    onnx.save(made, folder / "half.onnx")
    if keeps:
        with pytest.raises(onnx.checker.ValidationError, match="topologically sorted"):
            onnx.checker.check_model(made)
    agree(folder / "half.onnx", batch)
    assert small_weights(folder / "half.onnx") == "half precision"
    assert inspect_file(folder / "half.onnx").answer == "clean"


def test_a_circle_of_nodes_is_still_refused(tmp_path):
    nodes = [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Relu", ["a"], ["b"]),
             helper.make_node("Flatten", ["b"], ["y"])]  # fmt: skip
    onnx.save(model(nodes), tmp_path / "m.onnx")
    with pytest.raises(DataError, match="topologically sorted"):
        read(tmp_path / "m.onnx")


@pytest.mark.parametrize("signed", [True, False], ids=["int8", "uint8"])
def test_quantised_operators_have_a_twin(files, signed):
    kind = quantization.QuantType.QInt8 if signed else quantization.QuantType.QUInt8
    path = static(files, "qoperator.onnx", quant_format=quantization.QuantFormat.QOperator,
                  per_channel=signed, activation_type=kind)  # fmt: skip
    assert agree(path, files[1]) >= {
        "QLinearConv", "QLinearAdd", "QLinearMul", "QLinearConcat", "QGemm", "QLinearSigmoid",
        "QLinearAveragePool",
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["QInt4", "QUInt4"])
def test_static_weights_of_four_bits_have_a_twin(files, kind):
    path = static(files, "four.onnx", weight_type=getattr(quantization.QuantType, kind))
    domains = {node.domain for node in onnx.load(path).graph.node if "Linear" in node.op_type}
    assert domains == {"com.microsoft"}
    agree(path, files[1])


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [True, False], ids=["symmetric", "zero points"])
def test_products_with_weights_of_few_bits_have_a_twin(files, bits, symmetric):
    made = pytest.importorskip("onnxruntime.quantization.matmul_nbits_quantizer")
    folder, batch = files
    quantiser = made.MatMulNBitsQuantizer(
        onnx.load(folder / "products.onnx"), bits=bits, block_size=32, is_symmetric=symmetric
    )
    quantiser.process()
    quantiser.model.save_model_to_file(str(folder / "few.onnx"))
    assert "MatMulNBits" in agree(folder / "few.onnx", batch)
    assert small_weights(folder / "few.onnx") == "few bits"
    assert small_weights(folder / "products.onnx") == ""


@pytest.mark.parametrize("spoilt", ["N", "K", "block_size", "bits"])
def test_weights_of_few_bits_whose_sizes_fit_nowhere_are_named(files, spoilt):
    folder, batch = files
    made = pytest.importorskip("onnxruntime.quantization.matmul_nbits_quantizer")
    quantiser = made.MatMulNBitsQuantizer(onnx.load(folder / "products.onnx"), bits=4)
    quantiser.process()
    proto = copy.deepcopy(quantiser.model.model)
    node = next(node for node in proto.graph.node if node.op_type == "MatMulNBits")
    attribute = next(each for each in node.attribute if each.name == spoilt)
    for wrong in (0, -1, 3, 1 << 40):
        attribute.i = wrong
        with pytest.raises(CannotJudge, match="MatMul"):
            Interpreter(proto)(batch)


def test_weights_beside_the_graph_are_looked_at_and_read(files, tmp_path, monkeypatch):
    """The form that torch.onnx.export writes by default."""
    monkeypatch.chdir(tmp_path)
    folder, batch = files
    whole = onnx.load(folder / "net.onnx")
    onnx.save(whole, "m.onnx", save_as_external_data=True, location="m.onnx.data",
              size_threshold=0)  # fmt: skip
    assert inspect_file("m.onnx").answer == "clean"
    assert torch.equal(Session(read("m.onnx"))(batch), Session(folder / "net.onnx")(batch))
    words = bytearray((tmp_path / "m.onnx.data").read_bytes())
    words[:4] = np.float32(np.nan).tobytes()
    (tmp_path / "m.onnx.data").write_bytes(words)
    assert "1 values are NaN" in inspect_file("m.onnx").of("warning")[0].what
    (tmp_path / "m.onnx.data").rename(tmp_path / "secret")
    assert "is missing" in inspect_file("m.onnx").of("warning")[0].what
    (tmp_path / "m.onnx.data").symlink_to("secret")
    assert inspect_file("m.onnx").answer == "cannot judge", "links are not followed"
    with pytest.raises(UnsafeData, match="in a file of the same folder"):
        read("m.onnx")


def test_a_file_that_takes_channels_last_says_so():
    nodes = [helper.make_node("ReduceMean", ["x", "axes"], ["m"], keepdims=0),
             helper.make_node("MatMul", ["m", "w"], ["y"])]  # fmt: skip
    constants = {"axes": np.array([1, 2]), "w": np.ones((3, 5), "f4")}
    made = model(nodes, constants, ["n", 8, 8, 3], opset=20)
    with pytest.raises(DataError, match=r"8 x 8 x 3, channels last \(NHWC\).*inputs-as-nchw"):
        Session(made)(torch.zeros(2, 3, 8, 8))
    with pytest.raises(DataError, match="cannot answer") as refusal:
        Session(made)(torch.zeros(2, 3, 9, 9, 1))
    assert "NHWC" not in str(refusal.value)


def test_operators_of_the_runtime_alone_are_not_taken_for_those_of_the_standard():
    nodes = [helper.make_node("Relu", ["x"], ["r"], domain="com.microsoft"),
             helper.make_node("Flatten", ["r"], ["y"])]  # fmt: skip
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(np.ones(1, "f4"), "unused")],
    )  # fmt: skip
    with pytest.raises(CannotJudge, match=r"com\.microsoft\.Relu"):
        Interpreter(helper.make_model(graph))


def byte(value, kind=np.uint8):
    return np.array(value, kind)


def unit(value):
    return np.array(value, "f4")


SOME = np.random.default_rng(0).integers(0, 256, (2, 4, 6, 6)).astype(np.uint8)
OTHER = np.random.default_rng(1).integers(0, 256, (2, 4, 6, 6)).astype(np.uint8)
X, Y = [SOME, unit(0.02), byte(120)], [OTHER, unit(0.03), byte(99)]
OUT = [unit(0.05), byte(110)]
WHOLE = np.random.default_rng(2).integers(-128, 128, (6, 5)).astype(np.int8)
RIGHT = [WHOLE, unit(0.01), byte(3, np.int8)]
LEFT = [SOME[:, :, 0, :].reshape(8, 6), unit(0.02), byte(120)]
CASES = {
    "QLinearAdd": ([*X, *Y, *OUT], {}), "QLinearMul": ([*X, *Y, *OUT], {}),
    "QLinearSigmoid": ([*X, unit(1 / 256), byte(0)], {}),
    "QLinearLeakyRelu": ([*X, *OUT], {"alpha": 0.2}),
    "QLinearGlobalAveragePool": ([*X, *OUT], {"channels_last": 0}),
    "QLinearAveragePool": ([*X, *OUT], {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "QLinearConcat": ([*OUT, *X, *Y], {"axis": 1}),
    "QLinearSoftmax": ([*X, unit(1 / 256), byte(0)], {"axis": 1, "opset": 13}),
    "QGemm": ([*LEFT, *RIGHT, byte([9, -50, 7, 0, 1], np.int32), *OUT], {"alpha": 1.0}),
    "QGemm of floats": ([*LEFT, *RIGHT], {"alpha": 1.0}),
    "QGemm turned": ([*LEFT, WHOLE.T.copy(), unit([0.01, 0.02, 0.01, 0.03, 0.01]),
                      byte([3, 0, 1, 2, 0], np.int8), byte([9] * 5, np.int32), *OUT],
                     {"transB": 1}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_operator_does_as_the_runtime_does(name):
    inputs, attributes = CASES[name]
    names = [f"i{place}" for place in range(len(inputs))]
    first = next(place for place, each in enumerate(inputs) if each.ndim > 1)
    node = helper.make_node(name.split()[0], names, ["y"], domain="com.microsoft", **attributes)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype("f4" if "floats" in name else "u1"))
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info(names[first], TensorProto.UINT8,
                                                    ["n", *inputs[first].shape[1:]])],
        [helper.make_tensor_value_info("y", kind, None)],
        [numpy_helper.from_array(value, key)
         for place, (key, value) in enumerate(zip(names, inputs, strict=True)) if place != first],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    given = torch.from_numpy(inputs[first])
    true, mine = Session(made)(given), Interpreter(made)(given)
    scale = float(true.std()) if "floats" in name else 1.0
    gap = (true - mine).abs() / scale
    assert gap.max() <= 1 and gap.mean() < 0.05, "where two codes are as near, either is taken"


def test_every_operator_of_the_runtime_is_held_against_it():
    tested = {f"com.microsoft.{name.split()[0]}" for name in CASES}
    beside = {"MatMulNBits", "QuantizeLinear", "DequantizeLinear", "QLinearMatMul"}
    names = {name for name in OPERATORS if name.startswith("com.microsoft.")}
    assert names == tested | {f"com.microsoft.{name}" for name in beside}
