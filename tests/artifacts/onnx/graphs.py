"""Small graphs, built by hand, and what the reference of the standard makes of them."""

import pytest

NEEDED = "needs pip install 'mithridate[onnx]'"
onnx = pytest.importorskip("onnx", reason=NEEDED)  # skips every module that imports this one
ort = pytest.importorskip("onnxruntime", reason=NEEDED)
TensorProto, helper, numpy_helper = onnx.TensorProto, onnx.helper, onnx.numpy_helper
ReferenceEvaluator = pytest.importorskip("onnx.reference", reason=NEEDED).ReferenceEvaluator

TYPES = {"f": TensorProto.FLOAT, "u": TensorProto.UINT8}


def model(nodes, constants=None, shape=("n", 3, 8, 8), opset=20, kind="f", rank=2, **more):
    """A model of one input `x` and one output."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TYPES[kind], shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * rank)],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10, **more
    )


def expected(node, inputs, opset, runtime=False):
    """All outputs of one node, by the reference or by ONNX Runtime."""
    names = [name for name in node.input if name]
    graph = helper.make_graph(
        [node],
        "graph",
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
            )
            for name, value in zip(names, inputs, strict=True)
        ],
        [onnx.ValueInfoProto(name=name) for name in node.output],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    given = dict(zip(names, inputs, strict=True))
    if runtime:
        providers = ["CPUExecutionProvider"]
        return ort.InferenceSession(made.SerializeToString(), providers=providers).run(None, given)
    return ReferenceEvaluator(made).run(None, given)
