"""A file run by ONNX Runtime, exactly as it is deployed.

Axes: n examples, c classes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mithridate.artifacts.onnx.reading import library, nodes, read
from mithridate.core.errors import CannotJudge, DataError

KINDS = {
    "tensor(uint8)": torch.uint8,
    "tensor(int8)": torch.int8,
    "tensor(int64)": torch.int64,
    "tensor(int32)": torch.int32,
    "tensor(float)": torch.float32,
    "tensor(float16)": torch.float16,
    "tensor(double)": torch.float64,
}
"""Types of inputs that tensors can be turned into."""


class Session(nn.Module):
    """A model file as a module: prepared inputs[n, ...] in, float32[n, c] out; no derivatives.

    Where the last operator of the file is a softmax, shares come out and not logits. Inputs that
    the file takes as whole numbers are rounded and clipped. A fixed batch is filled up with copies
    of the last row. A file that scales its quantisation by the whole batch is asked one by one, so
    that no answer depends on what else is asked.

    Args:
        model: a path, or what `read` gave.
        adapter: what prepared inputs pass first, such as an `Adapter`.
        output: the name of the logits, by default the first output.

    Raises:
        DataError: where ONNX Runtime refuses the file or an input.
    """

    def __init__(self, model: Any, adapter: nn.Module | None = None, output: str = "") -> None:
        super().__init__()
        proto = read(model) if isinstance(model, str | Path) else model
        self.adapter = adapter or nn.Identity()
        self._bytes: bytes = proto.SerializeToString()
        self._alone = quantises_by_batch(proto)
        self._output = output
        self._open()

    def _open(self) -> None:
        runtime = library("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = runtime.InferenceSession(
                self._bytes, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its errors share no type
            raise DataError(f"ONNX Runtime refuses the file: {_first_line(error)}") from None
        given = self._session.get_inputs()
        if len(given) != 1 or given[0].type not in KINDS:
            raise CannotJudge(
                "expected one input of numbers, found "
                f"{[(each.name, each.type) for each in given][:4]}"
            )
        self._given, self._kind = given[0], KINDS[given[0].type]
        names = [each.name for each in self._session.get_outputs()]
        if self._output and self._output not in names:
            raise DataError(f"expected an output {self._output!r}, found {names[:8]}")
        self._name = self._output or names[0]

    @property
    def batch(self) -> int:
        """How many examples are asked at once; 0 for as many as there are."""
        length = self._given.shape[0] if self._given.shape else 1
        if isinstance(length, int) and length > 0:
            return length
        return 1 if self._alone else 0

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Answer."""
        return ask_in_batches(self.adapter(batch), self.batch, self._ask)

    def _ask(self, batch: torch.Tensor) -> torch.Tensor:
        array = cast_input(batch.detach(), self._kind).cpu().contiguous().numpy()
        try:
            (answer,) = self._session.run([self._name], {self._given.name: array})
            logits = torch.from_numpy(answer).flatten(1).float()
        except Exception as error:
            advice = _layout(list(array.shape), list(self._given.shape)) or _first_line(error)
            raise DataError(
                f"ONNX Runtime cannot answer {list(array.shape)}, where the file takes "
                f"{self._given.shape}: {advice}"
            ) from None
        return logits.to(batch.device)

    def __getstate__(self) -> dict[str, Any]:
        return {
            key: value for key, value in self.__dict__.items() if key not in ("_session", "_given")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._open()


def _layout(given: list[int], taken: list[Any]) -> str:
    """Say what to do where a file takes channels last; "" where that is not what is wrong."""
    if len(given) != 4 or len(taken) != 4 or not isinstance(taken[3], int):
        return ""
    height, width, channels = taken[1:]
    fits = [given[1], channels] in ([1, 1], [3, 3]) and taken[1] != given[1]
    if not fits:
        return ""
    return (
        f"it takes images of {height} x {width} x {channels}, channels last (NHWC), and is given "
        "channels first; export it with channels first (tf2onnx: --inputs-as-nchw NAME), or in "
        "Python put Adapter(layout='NHWC') before it"
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]


def quantises_by_batch(model: Any) -> bool:
    """Whether a file quantises by the range of a whole batch."""
    return any(node.op_type == "DynamicQuantizeLinear" for node in nodes(model))


def cast_input(batch: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
    """Turn a batch into a type of elements; whole numbers are rounded and clipped."""
    if kind.is_floating_point or not batch.is_floating_point():
        return batch.to(kind)
    bounds = torch.iinfo(kind)
    return batch.round().clamp(bounds.min, bounds.max).to(kind)


def ask_in_batches(
    batch: torch.Tensor, size: int, ask: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """Ask in batches of one size, the last one filled up; at once where size is 0."""
    if not size:
        return ask(batch)
    answers = []
    for part in batch.split(size):
        missing = size - len(part)
        whole = torch.cat([part, part[-1:].expand(missing, *part.shape[1:])]) if missing else part
        answers.append(ask(whole)[: len(part)])
    return torch.cat(answers)
