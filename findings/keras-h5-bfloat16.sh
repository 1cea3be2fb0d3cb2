#!/usr/bin/env bash
# Versions: keras 3.15.1 on torch 2.13.0, h5py 3.16.0, numpy 2.4.6.
#
# Expected: a bfloat16 layer survives model.save("net.h5") as it survives the other formats,
#   or the save is refused.
# What happens: HDF5 has no bfloat16, so both HDF5 writers store opaque two-byte values.
#   save_weights notes the type in an attribute beside them. model.save("net.h5") does not;
#   it saves without an error, and Keras cannot load its own file ("Invalid dtype: void16").
#   The same network in float16 comes back from .h5.
# Why it matters: a reader of weights meets two-byte blobs with and without a name. Only the
#   layer's configuration, in the file's model_config text, still tells bfloat16 from float16;
#   a reader that takes any two-byte value for float16 gets plausible, wrong numbers.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install keras==3.15.1 torch==2.13.0 h5py==3.16.0 numpy==2.4.6 >pip.log 2>&1 || { cat pip.log; exit 1; }
KERAS_BACKEND=torch KERAS_HOME=$work venv/bin/python - <<'PY'
import h5py
import keras
import numpy as np
import torch

print("keras", keras.__version__, "torch", torch.__version__, "h5py", h5py.__version__)
x = np.ones((1, 4), np.float32)
answer = lambda net: keras.ops.convert_to_numpy(keras.ops.cast(net(x), "float32"))


def kernel(path):
    kept = []
    visit = lambda _, item: kept.append(item) if getattr(item, "shape", None) == (4, 3) else None
    with h5py.File(path) as file:
        file.visititems(visit)
        print(f"{path}: stored {kept[0].dtype}, attributes {dict(kept[0].attrs)}")
        return kept[0].dtype.str, dict(kept[0].attrs)


for dtype in ("float16", "bfloat16"):
    net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, dtype=dtype)])
    net.save_weights(f"{dtype}.weights.h5")
    net.save(f"{dtype}.h5")
    net.save(f"{dtype}.keras")
    stored = kernel(f"{dtype}.weights.h5"), kernel(f"{dtype}.h5")
    assert np.array_equal(answer(keras.saving.load_model(f"{dtype}.keras")), answer(net))
    if dtype == "float16":
        assert np.array_equal(answer(keras.saving.load_model("float16.h5")), answer(net))

assert stored == (("|V2", {"dtype": "bfloat16"}), ("|V2", {}))
try:
    keras.saving.load_model("bfloat16.h5")
except ValueError as error:
    print("load_model:", error)
    assert "void16" in str(error)
else:
    raise SystemExit("bfloat16.h5 loads: the behaviour has changed")
PY
