#!/usr/bin/env bash
# Versions: pillow 13.0.0, numpy 2.4.6.
#
# Expected: convert("RGB") maps a deep image's black to 0 and its white to 255, for grey
#   pictures as for coloured ones.
# What happens: coloured files are scaled when they are read. Grey ones keep all their bits
#   (a 12-bit PGM is even stretched to 16 first) and convert cuts at 255 instead of scaling,
#   so almost every grey level becomes white. No warning is given.
# Why it matters: X-ray, depth and microscope pictures are deep grey files. The loader's usual
#   convert("RGB") turns them into white sheets with a few dark spots; the same values stored
#   in colour train a different network. A scan for odd pixels sees the loss, not the data.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install pillow==13.0.0 numpy==2.4.6 >pip.log 2>&1 || { cat pip.log; exit 1; }
venv/bin/python - <<'PY'
import io
import struct
import zlib

import numpy as np
import PIL
from PIL import Image

print("pillow", PIL.__version__, "numpy", np.__version__)
values = np.array([[0, 64, 128, 255, 256, 1024, 2048, 4095]], np.uint16)


def netpbm(pixels):
    kind = "P6" if pixels.ndim == 3 else "P5"
    return f"{kind} {pixels.shape[1]} {pixels.shape[0]} 4095\n".encode() + pixels.astype(">u2").tobytes()


def png(pixels):
    chunk = lambda tag, body: (
        struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))
    )
    colour = 2 if pixels.ndim == 3 else 0
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, colour, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


for title, write, pixels in (("12-bit netpbm", netpbm, values), ("16-bit png", png, values * 16)):
    levels = []
    for form in (pixels, np.repeat(pixels[..., None], 3, axis=2)):
        picture = Image.open(io.BytesIO(write(form)))
        levels.append(np.asarray(picture.convert("RGB"))[0, :, 0].tolist())
        print(f"{title} {pixels[0].tolist()} as {picture.mode}: {levels[-1]}")
    grey, colour = levels
    assert grey == [0] + [255] * 7
    assert colour == [0, 4, 8, 16 if write is netpbm else 15, 16, 64, 128, 255]
PY
