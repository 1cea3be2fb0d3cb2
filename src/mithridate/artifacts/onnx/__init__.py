"""Files in the ONNX format: read safely, run as deployed, and followed by derivatives.

`read` opens a file that is not trusted, `Session` answers as ONNX Runtime does, `Interpreter` is a
differentiable twin in torch, and `exported` and `quantised` write such files.
"""

from mithridate.artifacts.onnx.adapter import Adapter
from mithridate.artifacts.onnx.export import both, exported, quantised
from mithridate.artifacts.onnx.interpreter import Interpreter, check_twin
from mithridate.artifacts.onnx.reading import dangers, read
from mithridate.artifacts.onnx.runtime import Session

__all__ = [
    "Adapter",
    "Interpreter",
    "Session",
    "both",
    "check_twin",
    "dangers",
    "exported",
    "quantised",
    "read",
]
