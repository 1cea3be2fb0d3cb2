"""Files in the ONNX format: read safely, run as deployed, and followed by derivatives.

`read` opens a file that is not trusted, `Session` answers as ONNX Runtime does, `Interpreter` is a
differentiable twin in torch, and `export_onnx` and `quantise_onnx` write such files.
"""

from mithridate.artifacts.onnx.adapter import Adapter
from mithridate.artifacts.onnx.export import export_onnx, export_with_twin, quantise_onnx
from mithridate.artifacts.onnx.interpreter import Interpreter, check_twin
from mithridate.artifacts.onnx.logits import without_softmax
from mithridate.artifacts.onnx.reading import dangers, read
from mithridate.artifacts.onnx.runtime import Session

__all__ = [
    "Adapter",
    "Interpreter",
    "Session",
    "check_twin",
    "dangers",
    "export_onnx",
    "export_with_twin",
    "quantise_onnx",
    "read",
    "without_softmax",
]
