#!/usr/bin/env bash
# Versions: torch 2.13.0, torchao 0.18.0.
#
# Expected: quantize_ swaps weight tensors, so whatever could be saved whole before can be
#   saved whole afterwards; and a save that fails leaves the earlier file alone.
# What happens: torch.save(model) raises AttributeError about functools.partial. The weights
#   are innocent: quantize_ also replaces each layer's extra_repr (the text that print shows)
#   by a bound method of a partial, which cannot be pickled. By then the target file has been
#   overwritten by a well-formed zip of the usual shape that has no data.pkl in it.
#   Without those extra_repr attributes the same model is saved.
# Why it matters: "is it a zip with a version entry?" does not tell a checkpoint from the rest
#   of a failed save, and the good checkpoint under that name is gone.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install torch==2.13.0 torchao==0.18.0 numpy==2.4.6 >pip.log 2>&1 || { cat pip.log; exit 1; }
venv/bin/python - <<'PY'
import os
import zipfile

import torch
import torchao
from torchao.quantization import Int8WeightOnlyConfig, quantize_

print("torch", torch.__version__, "torchao", torchao.__version__)
model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 8))


def save(title):
    try:
        torch.save(model, "model.pt")
        problem = None
    except AttributeError as error:
        problem = str(error)
    names = [name.split("/", 1)[1] for name in zipfile.ZipFile("model.pt").namelist()]
    print(f"{title}: error={problem!r}, {os.path.getsize('model.pt')} bytes, entries {names}")
    return problem, names


problem, names = save("float")
assert problem is None and "data.pkl" in names

quantize_(model, Int8WeightOnlyConfig())
problem, names = save("quantised")
assert problem and "partial" in problem and "version" in names and "data.pkl" not in names

for layer in model:
    layer.__dict__.pop("extra_repr", None)
problem, names = save("quantised, extra_repr removed")
assert problem is None and "data.pkl" in names
PY
