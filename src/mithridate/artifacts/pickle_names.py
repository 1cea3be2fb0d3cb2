"""Which names a pickle may mention, and what is said of the others."""

from __future__ import annotations

import re

from mithridate.artifacts.findings import Log
from mithridate.artifacts.pickle_program import Program

STORAGES = {
    "Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16",
    "Long": "int64", "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8",
    "Bool": "bool", "ComplexFloat": "complex64", "ComplexDouble": "complex128",
    "QInt8": "int8", "QUInt8": "uint8", "QInt32": "int32", "QUInt4x2": "uint8", "QUInt2x4": "uint8",
    "Untyped": "uint8",
}  # fmt: skip
"""The element type of each storage that torch saves, by the beginning of its name."""

ALLOWED = re.compile(
    r"""collections\.(OrderedDict|Counter)|_codecs\.encode|builtins\.(bytearray|set|complex)
    |torch\.(Size|Tensor|device)|torch\.nn\.parameter\.Parameter|torch\.serialization\._get_layout
    |torch\.(cuda\.)?(BFloat16|Bool|Byte|Char|ComplexDouble|ComplexFloat|Double|Float|Half|Int|Long
        |Short|QInt32|QInt8|QUInt2x4|QUInt4x2|QUInt8)Storage
    |torch\.storage\.(Typed|Untyped)Storage
    |torch\.(cuda\.)?(sparse\.)?(BFloat16|Bool|Byte|Char|Double|Float|Half|Int|Long|Short)Tensor
    |torch\.(bool|bfloat16|float(16|32|64)|complex(32|64|128)|u?int[1-8]|u?int(16|32|64)
        |float8_(e4m3fn|e4m3fnuz|e5m2|e5m2fnuz|e8m0fnu)|float4_e2m1fn_x2|bits(8|16|1x8|2x4|4x2)
        |q(int8|int32|uint8|uint4x2|uint2x4)
        |per_(tensor|channel)_(affine|symmetric)|per_channel_affine_float_qparams)
    |torch\._tensor\._rebuild_from_type_v2
    |torch\._utils\._rebuild_(parameter(_with_state)?|qtensor|tensor(_v2|_v3)?|sparse_tensor
        |meta_tensor_no_storage|nested_tensor|wrapper_subclass|device_tensor_from_(numpy|cpu_tensor)
        )""",
    re.VERBOSE,
)
"""What torch's weights-only loader lets a pickle name; a test compares the two."""

HARMLESS = re.compile(
    r"numpy\.(_?core)\.multiarray\.(_reconstruct|scalar)|numpy\.(_?core\.)?(ndarray|dtype)"
    r"|numpy\.dtypes\.\w+DType"
    r"|argparse\.Namespace|pathlib\.(_local\.)?(Pure)?(Posix|Windows)?Path"
    r"|datetime\.(date|time|datetime|timedelta)"
)
"""Names of plain arrays and of settings, which that loader refuses and which run nothing."""

TORCHAO = re.compile(
    r"torchao\.(\w+\.)*([A-Z]\w*Tensor|QuantizeTensorTo\w+Kwargs|Per(Tensor|Row|Token|Axis|Group"
    r"|Block)|MappingType|ZeroPointDomain|KernelPreference|Float8MMConfig|\w+(PackingFormat|Layout)"
    r"|[A-Z]\w*TensorImpl|IntxUnpackedToInt8TensorActivationQuantization)"
)
"""Quantised tensors of torchao, and the plain settings beside them."""

GETATTR = "builtins.getattr"
"""By which Python 3.11.0 to 3.11.3 writes the members of an enumeration."""

ENUMERATIONS = re.compile(
    r"torchao\.(\w+\.)*(MappingType|ZeroPointDomain|KernelPreference|\w+PackingFormat)"
)
"""Plain enumerations of torchao."""

ALLOCATES = re.compile(r"builtins\.bytearray|_codecs\.encode|torch\.([a-z]+\.)*\w*(Tensor|Storage)")
"""What reserves as much memory as its arguments ask for."""


def judge_program(
    program: Program, where: str, log: Log, size: int, allowed: re.Pattern[str] = ALLOWED
) -> None:
    """Say what a pickle would do to whoever opens it.

    Args:
        size: of the file that holds it.
        allowed: the names that it may mention.
    """
    for path, place in _mentioned(program, log).items():
        if not allowed.fullmatch(path):
            _report_name(path, place, path in program.calls, where, log)
    if program.hidden:
        log.danger(f"the pickle computes a name to import (byte {program.hidden[0]})", where)
    if program.extensions:
        log.danger(f"the pickle uses a registered code (byte {program.extensions[0]})", where)
    if program.asked > 8 * size + (1 << 20):
        log.danger(f"the pickle asks for {program.asked:,} elements", where)
    if program.deep:
        log.warning(f"the pickle nests deeper than {log.limits.depth} levels", where)
    if program.error:
        log.cut = True
        log.warning(f"the pickle is broken or not read to its end: {program.error}", where)


def _mentioned(program: Program, log: Log) -> dict[str, int]:
    """Give the names that are judged: all but a `getattr` that only takes members."""
    if not 0 < program.fetched == program.members:
        return program.names
    log.excused.add(GETATTR)
    return {path: place for path, place in program.names.items() if path != GETATTR}


def _report_name(path: str, place: int, is_called: bool, where: str, log: Log) -> None:
    """Say that a pickle mentions a name that it may not."""
    todo = "do not open it; ask for tensors by name as safetensors"
    if TORCHAO.fullmatch(path):
        name = path.rpartition(".")[2]
        log.note(f"the pickle names {name} of torchao: weights as whole numbers with scales", where)
        return
    if HARMLESS.fullmatch(path):
        what = "plain arrays" if path.startswith("numpy") else "plain settings"
        log.oddity(
            f"the pickle names {path}: {what}, which torch's safe loader refuses", where,
            "the weights are read without it; save tensors by name as safetensors",
        )  # fmt: skip
        return
    does = "calls" if is_called else "imports"
    log.danger(f"the pickle {does} {path} when it is opened (byte {place})", where, todo)
