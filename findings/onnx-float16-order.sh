#!/usr/bin/env bash
# Versions: onnxruntime 1.31.1, onnx 1.23.2, numpy 2.4.6.
#
# Expected: turning a valid network into half precision gives a valid network. With
#   keep_io_types=True only a Cast is added behind each input and before each output.
# What happens: the Casts of the inputs stand at the end of the node list, after the nodes
#   that read them. ONNX asks for topological order, so onnx.checker and onnx's reference
#   evaluator refuse the result. onnxruntime sorts nodes itself, so there it runs and
#   nobody notices.
# Why it matters: a scanner that checks a file first, or walks the nodes once in file order,
#   rejects half-precision exports that work in production. It has to sort before it reads.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install onnxruntime==1.31.1 onnx==1.23.2 numpy==2.4.6 >pip.log 2>&1 || { cat pip.log; exit 1; }
venv/bin/python - <<'PY'
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnxruntime.transformers.float16 import convert_float_to_float16

print("onnxruntime", ort.__version__, "onnx", onnx.__version__, "numpy", np.__version__)
tensor = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4])
nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Relu", ["m"], ["y"])]
weights = [numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")]
graph = helper.make_graph(nodes, "net", [tensor("x")], [tensor("y")], weights)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
onnx.checker.check_model(model, full_check=True)
print("before: valid")

half = convert_float_to_float16(model, keep_io_types=True)
for node in half.graph.node:
    print("after: ", node.op_type, list(node.input), "->", list(node.output))

x = np.ones((1, 4), np.float32)
run = ort.InferenceSession(half.SerializeToString(), providers=["CPUExecutionProvider"]).run
answer = run(None, {"x": x})[0]
print("onnxruntime runs it:", answer.tolist())
assert np.array_equal(answer, x)


def refusal(action):
    try:
        action()
    except Exception as error:
        print(type(error).__name__ + ":", str(error).replace("\n", " "))
        return str(error)
    raise SystemExit("accepted: the behaviour has changed")


assert "topologically sorted" in refusal(lambda: onnx.checker.check_model(half))
assert "graph_input_cast_0" in refusal(lambda: ReferenceEvaluator(half).run(None, {"x": x}))
PY
