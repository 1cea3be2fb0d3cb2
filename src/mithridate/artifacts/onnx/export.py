"""Networks written as ONNX files, in floats and in eight bits.

Axes: n examples.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from mithridate.artifacts.onnx.interpreter import Interpreter
from mithridate.artifacts.onnx.reading import library, read
from mithridate.artifacts.onnx.runtime import Session
from mithridate.core.errors import DataError, MethodError

BATCH = 64
"""Examples in each batch of a calibration."""


def export_onnx(model: nn.Module, example: torch.Tensor, path: Path | str) -> Path:
    """Write a network as an ONNX file that takes batches of every size; seconds.

    The network stays as it is.

    Args:
        example: prepared inputs[n, ...], of which two are looked at.

    Raises:
        DataError: where the exporter does not understand the network.
    """
    library("onnx"), library("onnxscript")
    path, training = Path(path), model.training
    few = example[:2] if len(example) > 1 else example[:1].repeat(2, *[1] * (example.ndim - 1))
    device = next((value.device for value in model.state_dict().values()), torch.device("cpu"))
    try:
        with _silence():
            made = torch.onnx.export(
                model.eval(),
                (few.to(device),),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("n")},),
                verbose=False,
            )
            assert made is not None
            made.save(str(path))
    except Exception as error:
        reason = str(error).strip().partition("\n")[0][:300]
        raise DataError(f"the network cannot be written as an ONNX file: {reason}") from error
    finally:
        model.train(training)
    return path


def quantise_onnx(
    source: Path | str, path: Path | str, calibration: torch.Tensor | None,
    kind: Literal["static", "dynamic"] = "static",
) -> Path:  # fmt: skip
    """Write an eight-bit copy of a float file, by the quantiser of ONNX Runtime.

    static: scales of activations are measured on `calibration`, inputs[n, ...] as the file takes
    them, and weights are rounded by channel; the file keeps floats between operators and marks what
    is rounded (QDQ). dynamic: activations are scaled as they come; no calibration is needed, and
    answers of the file depend on the batch.

    Raises:
        MethodError: where a static copy is asked for without calibration.
    """
    if kind == "static" and (calibration is None or not len(calibration)):
        raise MethodError("static quantisation needs a calibration: inputs[n, ...] of the network")
    onnx, quantiser = library("onnx"), library("onnxruntime.quantization")
    model = read(source)
    name = model.graph.input[0].name
    with tempfile.TemporaryDirectory() as folder, _silence():
        plain = Path(folder, "plain.onnx")
        # Its symbolic inference of shapes fails on axes that are inputs
        quantiser.shape_inference.quant_pre_process(
            str(source), str(plain), skip_symbolic_shape=True
        )
        bare = onnx.load(plain)
        del bare.graph.value_info[:]  # stale once the quantiser transposes a weight
        onnx.save(bare, plain)
        if kind == "dynamic":
            quantiser.quantize_dynamic(plain, path, per_channel=True)
        else:
            assert calibration is not None
            quantiser.quantize_static(
                plain,
                path,
                _reader(quantiser, name, calibration),
                quant_format=quantiser.QuantFormat.QDQ,
                per_channel=True,
                activation_type=quantiser.QuantType.QUInt8,
                weight_type=quantiser.QuantType.QInt8,
            )
    return Path(path)


def _reader(quantiser: Any, name: str, calibration: torch.Tensor) -> Any:
    """What hands the calibration to the quantiser, batch by batch."""
    parts = iter([{name: part.cpu().numpy()} for part in calibration.split(BATCH)])

    class CalibrationBatches(quantiser.CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, np.ndarray[Any, Any]] | None:
            return next(parts, None)

    return CalibrationBatches()


def export_with_twin(
    model: nn.Module, calibration: torch.Tensor, kind: Literal["fp32", "static", "dynamic"]
) -> tuple[Session, Interpreter]:
    """Give a network as it would be deployed as an ONNX file, and the twin that has derivatives.

    Args:
        calibration: prepared inputs[n, ...], such as trusted examples.
        kind: "fp32", or how it is quantised to eight bits; see `quantise_onnx`.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = export_onnx(model, calibration, Path(folder, "model.onnx"))
        if kind != "fp32":
            path = quantise_onnx(path, Path(folder, "quantised.onnx"), calibration, kind)
        proto = read(path)
    return Session(proto), Interpreter(proto)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep what exporters say to themselves; errors are raised all the same."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
