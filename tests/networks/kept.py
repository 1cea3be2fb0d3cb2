"""Networks that are files here, so that every process and every processor has the same ones.

Trained where it is used, a network comes out differently on every processor, as from another seed:
what a test claims of it would hold on some and not on others. `make.py` trains and writes them.
"""

import json
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

FOLDER = Path(__file__).parent
NOTE = FOLDER / "measured.json"


def kept(name: str, model: nn.Module) -> nn.Module:
    """Give an untrained network of its form the weights of a file, in evaluation mode.

    Weights lie in half precision there, and are what they were rounded to.
    """
    model.load_state_dict(load_file(FOLDER / f"{name}.safetensors"))
    return model.eval()


def measured() -> dict[str, dict[str, float]]:
    """What was measured of every network after rounding, by name."""
    return json.loads(NOTE.read_text())
