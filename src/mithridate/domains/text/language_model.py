"""How unexpected texts are to a causal language model in a folder of the user's.

The folder holds config.json, tokenizer.json and model.safetensors, as Hugging Face writes them. No
code of it is run and no pickle opened. Axes: n texts, b texts of a batch, t tokens.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mithridate.core.data import Inputs
from mithridate.domains.text.checkpoints import built, tokenizer_in, weights_into
from mithridate.domains.text.words import check

TOKENS = 512
"""Of a text; what follows is not looked at."""
BATCH = 32


@lru_cache(maxsize=1)
def _opened(folder: str) -> tuple[nn.Module, Any]:
    """A model and its tokenizer; the last one is kept, since it is asked again and again."""
    place = Path(folder)
    model = built(place, "AutoModelForCausalLM", "language models")
    weights_into(model, place)
    return model.eval(), tokenizer_in(place)


def surprise(texts: Inputs, folder: str) -> torch.Tensor:
    """Give -log p of the tokens of texts object[n] after their first, float64[n].

    0 for a text of fewer than two tokens.

    Raises:
        MethodError: for a kind of model that is not read.
        DataError: where files are missing, too large or do not fit.
        MissingExtra: without transformers.
    """
    check(texts)
    model, tokenizer = _opened(str(folder))
    coded = [each.ids[:TOKENS] for each in tokenizer.encode_batch(list(texts))]
    order = sorted(range(len(coded)), key=lambda row: len(coded[row]))
    result = torch.zeros(len(coded), dtype=torch.float64)
    for start in range(0, len(order), BATCH):
        rows = [row for row in order[start : start + BATCH] if len(coded[row]) > 1]
        if rows:
            result[rows] = _sums(model, [coded[row] for row in rows])
    return result


def _sums(model: nn.Module, coded: list[list[int]]) -> torch.Tensor:
    """The surprise of texts in tokens, float64[b]."""
    lengths = torch.tensor([len(row) for row in coded])
    batch = torch.zeros(len(coded), int(lengths.max()), dtype=torch.int64)
    for place, row in enumerate(coded):
        batch[place, : len(row)] = torch.tensor(row)
    real = torch.arange(batch.shape[1]) < lengths[:, None]
    with torch.inference_mode():
        logits = model(input_ids=batch, attention_mask=real.long()).logits.double()
    chances = logits[:, :-1].log_softmax(2).gather(2, batch[:, 1:, None]).squeeze(2)
    sums: torch.Tensor = -(chances * real[:, 1:]).sum(1)
    return sums
