"""Pre-trained encoders of texts in folders of the user's: as features, and as victims.

Axes: n texts, b texts of a batch, t places for tokens, d features, c classes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mithridate.core.errors import DataError, MethodError
from mithridate.domains.text.checkpoints import WEIGHTS, built, tokenizer_in, weights_into
from mithridate.domains.text.network_names import encoder_name
from mithridate.domains.text.words import FIRST, MASK, PADDING

ROWS, STEP = 32, 16
"""A frozen encoder is asked about so many texts at once, and their places are a multiple of this.

What it says of a text then depends on no other one, whoever is asked about with it.
"""

KEPT = 100_000
"""Texts whose features are kept in memory: 150 MB where there are 384 of each."""


@dataclass(frozen=True)
class Marks:
    """The tokens that stand for no word.

    Attributes:
        before: what the tokenizer puts before a text.
        behind: what it puts behind a text.
        padding: fills empty places.
        mask: stands for a word that is left out.
    """

    before: tuple[int, ...]
    behind: tuple[int, ...]
    padding: int
    mask: int

    def put(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Turn prepared texts int32[b, t] into tokens int64[b, t + marks], and which are real."""
        real = batch != PADDING
        lengths = real.sum(1, keepdim=True)
        before, behind = len(self.before), len(self.behind)
        tokens = torch.where(batch == MASK, self.mask, batch.long() - FIRST)
        tokens = torch.where(real, tokens, self.padding)
        tokens = nn.functional.pad(tokens, (before, behind), value=self.padding)
        place = torch.arange(tokens.shape[1], device=batch.device).expand_as(tokens)
        for i, mark in enumerate(self.before):
            tokens[:, i] = mark
        for i, mark in enumerate(self.behind):
            tokens = torch.where(place == before + lengths + i, mark, tokens)
        return tokens, place < before + lengths + behind


def marks_of(tokenizer: Any, padding: int, where: str) -> Marks:
    """Ask a tokenizer which tokens it puts around a text.

    Raises:
        DataError: where it puts none that can be found.
    """
    bare, full = (tokenizer.encode("a", add_special_tokens=add).ids for add in (False, True))
    starts = [i for i in range(len(full)) if full[i : i + len(bare)] == bare]
    if not bare or not starts:
        raise DataError(f"{where!r}: the tokenizer does not keep the words of a text together")
    names = ("[MASK]", "<mask>", "[UNK]", "<unk>")
    known = (tokenizer.token_to_id(name) for name in names)
    mask = next((token for token in known if token is not None), padding)
    return Marks(tuple(full[: starts[0]]), tuple(full[starts[0] + len(bare) :]), padding, mask)


class PooledEncoder(nn.Module):
    """An encoder, and the tokens that it is given; its answer is the mean over the places.

    Args:
        inner: gives the last hidden state float[b, t, d] of tokens.
        marks: what stands for no word.
    """

    def __init__(self, inner: nn.Module, marks: Marks) -> None:
        super().__init__()
        self.inner, self.marks = inner, marks

    @property
    def width(self) -> int:
        """How many features there are, d."""
        config: Any = self.inner.config
        return int(config.hidden_size)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Give float[b, d] for prepared texts int32[b, t]."""
        width = max(1, int((batch != PADDING).any(0).sum()))
        tokens, real = self.marks.put(batch[:, :width])
        hidden = self.inner(input_ids=tokens, attention_mask=real.long()).last_hidden_state
        share = real.unsqueeze(2).to(hidden.dtype)
        mean: torch.Tensor = (hidden * share).sum(1) / share.sum(1)
        return mean


class Frozen:
    """An encoder that never changes, and what it said of texts before.

    It is no part of a network's weights: copies share it, and a file of the network holds what
    learns alone.
    """

    def __init__(self, encoding: PooledEncoder) -> None:
        self.encoding = encoding.eval().requires_grad_(False)
        self.known: dict[bytes, NDArray[np.float32]] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Frozen:
        """Give the same one."""
        return self

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Give float32[b, d] for prepared texts int32[b, t], without gradients."""
        rows = batch.detach().cpu().numpy().astype(np.int32)
        keys = [row[: np.count_nonzero(row)].tobytes() for row in rows]
        fresh = {key: row for key, row in zip(keys, rows, strict=True) if key not in self.known}
        said = dict(zip(fresh, self._asked(list(fresh.values()), batch.device), strict=True))
        features = np.stack([said[key] if key in said else self.known[key] for key in keys])
        if len(self.known) + len(said) <= KEPT:
            self.known.update(said)
        return torch.from_numpy(features).to(batch.device)

    def _asked(
        self, rows: Sequence[NDArray[np.int32]], device: torch.device
    ) -> list[NDArray[np.float32]]:
        """Ask the encoder in blocks of one form, so that no text depends on its neighbours."""
        widths = [STEP * -(-max(1, int(np.count_nonzero(row))) // STEP) for row in rows]
        answers: dict[int, NDArray[np.float32]] = {}
        for width in sorted(set(widths)):
            places = [i for i, w in enumerate(widths) if w == width]
            for start in range(0, len(places), ROWS):
                some = places[start : start + ROWS]
                block = np.zeros((ROWS, width), np.int32)
                for place, i in enumerate(some):
                    block[place, : min(width, len(rows[i]))] = rows[i][:width]
                answers.update(
                    zip(some, self._block(torch.from_numpy(block), device), strict=False)
                )
        return [answers[i] for i in range(len(rows))]

    def _block(self, block: torch.Tensor, device: torch.device) -> NDArray[np.float32]:
        block = block.to(device)
        tokens, real = self.encoding.marks.put(block)
        inner = self.encoding.to(device).inner
        with torch.no_grad(), torch.autocast(device.type, dtype=torch.bfloat16):
            hidden = inner(input_ids=tokens, attention_mask=real.long()).last_hidden_state.float()
        share = real.unsqueeze(2)
        result: NDArray[np.float32] = ((hidden * share).sum(1) / share.sum(1)).cpu().numpy()
        return result


class OnEncoder(nn.Module):
    """A linear layer on the features of an encoder that stays as it is.

    The features are standardised by running moments, so that any encoder's are of one size.

    Args:
        frozen: gives features float32[b, d].
        width: d.
        classes: c.
    """

    def __init__(self, frozen: Frozen, width: int, classes: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.frozen = frozen
        self.norm = nn.BatchNorm1d(width, affine=False)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, classes)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Give logits[b, c]."""
        logits: torch.Tensor = self.head(self.dropout(self.norm(self.frozen(batch))))
        return logits


class FineTuned(nn.Module):
    """An encoder of which the last layers learn, and a linear layer on its features.

    Args:
        encoding: a copy of its own.
        layers: how many of the last layers learn.
        classes: c.
    """

    def __init__(
        self, encoding: PooledEncoder, layers: int, classes: int, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.encoding = encoding.requires_grad_(False)
        for layer in layers_of(encoding.inner)[-layers:]:
            layer.requires_grad_()
        self.norm = nn.BatchNorm1d(encoding.width, affine=False)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(encoding.width, classes)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Give logits[b, c]."""
        logits: torch.Tensor = self.head(self.dropout(self.norm(self.encoding(batch))))
        return logits


def layers_of(inner: nn.Module) -> list[nn.Module]:
    """Give the layers of an encoder in their order: its longest list of modules."""
    lists = [module for module in inner.modules() if isinstance(module, nn.ModuleList)]
    return list(max(lists, key=len, default=[]))


@lru_cache(maxsize=2)
def _opened(folder: str, size: int, changed: int) -> tuple[Frozen, Any, int]:
    """The encoder in a folder, its tokenizer, and the most places that it has."""
    place = Path(folder)
    inner = built(place, "AutoModel", "encoders of texts")
    weights_into(inner, place)
    tokenizer = tokenizer_in(place)
    config: Any = inner.config
    padding = int(getattr(config, "pad_token_id", None) or 0)
    marks = marks_of(tokenizer, padding, folder)
    # of the kinds that number places from behind the number of the padding, some are lost
    lost = padding + 1 if config.model_type in ("roberta", "xlm-roberta", "mpnet") else 0
    room = int(config.max_position_embeddings) - lost - len(marks.before) - len(marks.behind)
    return Frozen(PooledEncoder(inner, marks)), tokenizer, room


def opened(folder: str) -> tuple[Frozen, Any, int]:
    """Open the encoder in a folder once, as long as its weights stay as they are.

    Raises:
        DataError: where files are missing, too large or do not fit.
        MethodError: for a kind of encoder that is not read.
        MissingExtra: without transformers.
    """
    path = Path(folder) / WEIGHTS
    told = path.stat() if path.is_file() else None
    known = (0, 0) if told is None else (told.st_size, told.st_mtime_ns)
    return _opened(str(Path(folder).resolve()), *known)


def tokens(folder: str, texts: Sequence[str], length: int) -> Iterator[list[int]]:
    """Give the numbers of the tokens of texts, without marks around them; `FIRST` is added.

    Raises:
        MethodError: where the encoder has fewer places than `length`.
    """
    _, tokenizer, room = opened(folder)
    if length > room:
        raise MethodError(
            f"the encoder in {folder!r} takes texts of at most {room} tokens; set length to that "
            f"or less, found {length}"
        )
    for start in range(0, len(texts), 1000):
        clean = [text.encode("utf-8", "replace").decode() for text in texts[start : start + 1000]]
        for one in tokenizer.encode_batch(clean, add_special_tokens=False):
            yield [FIRST + token for token in one.ids]


def classifier(name: str, classes: int) -> nn.Module:
    """Build a classifier on an encoder by the name of a network.

    Raises:
        MethodError: where more layers are to learn than there are.
    """
    folder, layers = encoder_name(name)
    frozen, _, _ = opened(folder)
    there = len(layers_of(frozen.encoding.inner))
    if layers > there:
        raise MethodError(f"{name!r}: expected at most {there} layers, found {layers}")
    if layers:
        return FineTuned(copy.deepcopy(frozen.encoding), layers, classes)
    return OnEncoder(frozen, frozen.encoding.width, classes)
