#!/usr/bin/env bash
# Versions: torch 2.13.0, torchao 0.18.0.
#
# Expected: a weight held as int8 says so: dtype int8, one byte a value, an address of its
#   own; and float() turns it into ordinary numbers.
# What happens: the weight says float32, four bytes a value, and its storage claims that many
#   bytes too. Its address is 0, and so is that of every other such weight. float() returns
#   the same wrapper, on which abs() or sum() is not implemented; only dequantize() helps.
# Why it matters: three habits go wrong without an error. Summing numel * element_size
#   reports a size four times too large. Telling the precision by dtype says "float32".
#   Finding shared weights by data_ptr takes all quantised layers for one and the same,
#   so a scan that skips repeats looks at the first layer only.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install torch==2.13.0 torchao==0.18.0 numpy==2.4.6 >pip.log 2>&1 || { cat pip.log; exit 1; }
venv/bin/python - <<'PY'
import torch
import torchao
from torchao.quantization import Int8WeightOnlyConfig, quantize_

print("torch", torch.__version__, "torchao", torchao.__version__)
model = torch.nn.Sequential(*(torch.nn.Linear(64, 64, bias=False) for _ in range(3)))
quantize_(model, Int8WeightOnlyConfig())
weights = [layer.weight for layer in model]
for weight in weights:
    claimed = weight.numel() * weight.element_size()
    storage = weight.untyped_storage().nbytes()
    print(type(weight).__name__, weight.dtype, "claims", claimed, "bytes, storage", storage,
          "bytes, address", weight.data_ptr(), "; holds", weight.qdata.dtype,
          weight.qdata.untyped_storage().nbytes(), "bytes")
    assert weight.dtype == torch.float32 and claimed == storage == 64 * 64 * 4
    assert weight.qdata.dtype == torch.int8 and weight.qdata.untyped_storage().nbytes() == 64 * 64

distinct = {weight.data_ptr() for weight in weights}
print("layers:", len(weights), "distinct addresses:", len(distinct))
assert distinct == {0}
assert len({weight.qdata.data_ptr() for weight in weights}) == 3

as_float = weights[0].float()
print("float() gives", type(as_float).__name__)
try:
    as_float.abs()
except NotImplementedError as error:
    print("abs():", str(error)[:90])
else:
    raise SystemExit("abs() works: the behaviour has changed")
plain = weights[0].dequantize()
print("dequantize() gives", type(plain).__name__, "with largest", round(plain.abs().max().item(), 3))
assert type(plain) is torch.Tensor
PY
