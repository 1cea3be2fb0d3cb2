"""The text domain: words become stable numbers without a vocabulary, networks embed the numbers.

Axes: n texts, b texts of a batch, t places for words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mithridate.core.data import Dataset, Inputs
from mithridate.core.domain import Surface
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.features import Carried, Selected
from mithridate.core.parts import Parted
from mithridate.core.streams import torch_generator
from mithridate.domains.text.network_names import LIBRARY, encoder_name, is_encoder
from mithridate.domains.text.networks import build
from mithridate.domains.text.stealth import difference
from mithridate.domains.text.words import FIRST, MASK, PADDING, check, words

SPAN = 0.3
"""The share of a text that the strong variation hides."""

NUMBERS = 2**31 - FIRST


class Numbers(dict[str, int]):
    """The number of each word, computed on first use."""

    def __init__(self, salt: int) -> None:
        super().__init__()
        self.salt = salt.to_bytes(blake2b.SALT_SIZE, "little")

    def __missing__(self, word: str) -> int:
        """Hash a new word."""
        code = word.encode("utf-8", "surrogatepass")  # half an emoji must not stop a scan
        digest = blake2b(code, digest_size=8, salt=self.salt).digest()
        self[word] = FIRST + int.from_bytes(digest, "little") % NUMBERS
        return self[word]


@dataclass(frozen=True)
class TextDomain:
    """Texts as object[n] of str.

    Of scripts without spaces between words every character is a word; see `words.pieces`. Then a
    text fills more places, and `length` may need to be larger.

    Networks skip the places that a whole batch leaves empty, so a generous length costs memory and
    little time.

    A word's number is a hash, so nothing is fitted on suspect data, a rare trigger word keeps its
    own number and numbers are the same in every process. Two given words share one with probability
    2^-31; one word shares it with any of 20,000 others with probability 1e-5. Networks look a word
    up in two tables of `buckets` rows and add the rows: one word shares both rows with any of
    20,000 others with probability 7e-5 at 16,384 buckets.

    Attributes:
        length: places for words; of a longer text the first and the last half of that many words
            are kept, so a trigger at either end is seen, and one in the cut middle is seen neither
            by the network nor by a scan (`cut` says of which texts).
        salt: of the hash, 0..2^128-1; a defender who fears words made to collide keeps an own one.
        dropout: probability with which augmentation leaves out each word.
        encoder: folder of an encoder whose tokens stand for words, such as `taking` gives it; empty
            for words and their hashes.
    """

    length: int = 128
    buckets: int = 16384
    dropout: float = 0.2
    salt: int = 0
    name: str = "text"
    encoder: str = ""

    apart: ClassVar = {"network_on_encoder": is_encoder, "tokens_of_encoder": is_encoder}
    """Members that are reached only where some setting is such a string; see `bench/doors.py`."""

    @property
    def unit(self) -> str:
        """Triggers are measured in words."""
        return "words"

    def accepts(self, inputs: Inputs) -> bool:
        """Whether these are texts object[n], by the first one."""
        if isinstance(inputs, torch.Tensor) or getattr(inputs, "dtype", None) != np.dtype(object):
            return False
        return len(inputs) == 0 or isinstance(inputs[0], str)

    def blank(self, count: int, form: Sequence[int]) -> Inputs:
        """Give empty texts object[count]."""
        return np.full(count, "", dtype=object)

    def pack(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Turn texts into their bytes in UTF-8, and where each ends.

        Raises:
            DataError: where an input is not a str.
        """
        check(inputs)
        encoded = [text.encode("utf-8", "surrogatepass") for text in inputs]
        ends = np.cumsum([0, *(len(text) for text in encoded)])
        characters = np.frombuffer(b"".join(encoded), dtype=np.uint8).copy()
        return {"characters": torch.from_numpy(characters), "ends": torch.from_numpy(ends)}

    def unpack(self, tensors: dict[str, torch.Tensor]) -> Inputs:
        """Give the texts back, object[n]."""
        characters, ends = tensors["characters"].numpy().tobytes(), tensors["ends"].tolist()
        column = np.empty(len(ends) - 1, dtype=object)
        for i in range(len(column)):
            column[i] = characters[ends[i] : ends[i + 1]].decode("utf-8", "surrogatepass")
        return column

    def standardised(self, mean: Sequence[float], std: Sequence[float]) -> TextDomain:
        """Refuse: words have no mean."""
        raise MethodError("a mean and a standard deviation are for images, and these are texts")

    def prepare(self, inputs: Inputs) -> torch.Tensor:
        """Turn texts into numbers of words, int32[n, t], 0 after the last word.

        Raises:
            DataError: where an input is not a str.
        """
        if self.length < 1 or self.buckets < 1:
            raise MethodError(
                f"length and buckets must be at least 1, found {self.length} and {self.buckets}"
            )
        check(inputs)
        prepared = np.full((len(inputs), self.length), PADDING, np.int32)
        if self.encoder:
            for row, numbers in enumerate(self.tokens_of_encoder(inputs)):
                kept = self._kept(numbers)
                prepared[row, : len(kept)] = kept
            return torch.from_numpy(prepared)
        known = Numbers(self.salt)
        for row, text in enumerate(inputs):
            tokens = self._kept(words(text))
            prepared[row, : len(tokens)] = [known[word] for word in tokens]
        return torch.from_numpy(prepared)

    def _kept(self, tokens: list[Any]) -> list[Any]:
        """The beginning and the end of a text that has too many tokens."""
        if len(tokens) <= self.length:
            return tokens
        head = (self.length + 1) // 2
        return tokens[:head] + tokens[len(tokens) - (self.length - head) :]

    def tokens_of_encoder(self, inputs: Inputs) -> Iterator[list[int]]:
        """Give the numbers of the tokens of texts, without the marks around them."""
        from mithridate.domains.text.encoders import tokens

        return tokens(self.encoder, list(inputs), self.length)

    def cut(self, inputs: Inputs) -> torch.Tensor:
        """Say which texts have more than `length` words, bool[n]: their middle is not seen."""
        check(inputs)
        all_of = self.tokens_of_encoder(inputs) if self.encoder else map(words, inputs)
        return torch.tensor([len(tokens) > self.length for tokens in all_of], dtype=torch.bool)

    def augment(
        self, batch: torch.Tensor, rng: torch.Generator, mirrored: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Mask each word of int32[b, t] with probability `dropout`; empty places stay empty."""
        dropped = torch.rand(batch.shape, generator=rng, device=batch.device) < self.dropout
        return batch.masked_fill(dropped & (batch != PADDING), MASK)

    def shrink(self, batch: torch.Tensor, share: float) -> torch.Tensor:
        """Give the batch as it is: words have no resolution."""
        return batch

    def distort(self, batch: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Mask three tenths of the words of int32[b, t], side by side at a random place.

        Shen et al., A Simple but Tough-to-Beat Data Augmentation Approach for Natural Language
        Understanding and Generation, 2020. A text of one word keeps it.
        """
        real = (batch != PADDING).sum(1, keepdim=True)
        hidden = (SPAN * real).ceil().minimum(real - 1).clamp_min(0)
        drawn = torch.rand((len(batch), 1), generator=rng, device=rng.device)
        first = (drawn * (real - hidden + 1)).floor()
        place = torch.arange(batch.shape[1], device=batch.device)
        return batch.masked_fill((place >= first) & (place < first + hidden), MASK)

    @property
    def corruptions(self) -> tuple[str, ...]:
        """The kinds of damage that `corrupt` knows: words left out, and neighbours exchanged."""
        return ("drop", "swap")

    def corrupt(
        self, batch: torch.Tensor, kind: str, severity: int, rng: torch.Generator
    ) -> torch.Tensor:
        """Mask or exchange a tenth of the words of int32[b, t] for each degree of severity."""
        if kind not in self.corruptions or severity not in range(6):
            raise MethodError(
                f"expected one of {', '.join(self.corruptions)} and a severity from 0 to 5; found "
                f"{kind!r} and {severity}"
            )
        drawn = torch.rand(batch.shape[1], generator=rng, device=batch.device) < severity / 10
        if kind == "drop":
            return batch.masked_fill(drawn & (batch != PADDING), MASK)
        after = batch.roll(-1, 1)
        swap = drawn & (batch != PADDING) & (after != PADDING)
        swap[:, -1] = False
        swap[:, 1:] &= ~swap[:, :-1]
        return torch.where(swap, after, torch.where(swap.roll(1, 1), batch.roll(1, 1), batch))

    def mix(self, batch: torch.Tensor, others: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Replace each word with probability one half by the one in its place in the other text."""
        drawn = torch.rand(batch.shape[1], generator=rng, device=batch.device) < 0.5
        return torch.where(drawn & (batch != PADDING) & (others != PADDING), others, batch)

    def surface(self, prepared: torch.Tensor) -> Surface:
        """Raise CannotJudge: words do not move by a little."""
        raise CannotJudge(
            "texts are words, which gradients cannot move by a little; use a scanner or a guard "
            "that only asks the model"
        )

    @property
    def networks(self) -> tuple[str, ...]:
        """The names of our own networks of texts."""
        from mithridate.domains.text.networks import NETWORKS

        return tuple(NETWORKS)

    def taking(self, network: str) -> TextDomain:
        """Give the domain as a network of this name takes texts: an encoder has tokens of its own.

        On one that stays as it is no word is left out at random, so that its features are computed
        once for each text.
        """
        if not is_encoder(network):
            return self
        folder, layers = encoder_name(network)
        return replace(self, encoder=folder, dropout=self.dropout if layers else 0.0)

    def network(self, data: Dataset, name: str, rng: np.random.Generator) -> nn.Module:
        """Build one of the text networks; "" is the convolutional one, or that on the encoder."""
        if self.encoder and not name:
            name = f"{LIBRARY}:{self.encoder}"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_generator(rng).initial_seed())
            if is_encoder(name):
                return self.network_on_encoder(name, len(data.classes))
            return build(name or "cnn", self.buckets, len(data.classes))

    def network_on_encoder(self, name: str, classes: int) -> nn.Module:
        """Build a classifier on an encoder; raises MethodError where this domain has another."""
        from mithridate.domains.text.encoders import classifier

        if encoder_name(name).folder != self.encoder:
            raise MethodError(
                f"{name!r} takes tokens of its own, and these texts are prepared "
                f"{'for ' + repr(self.encoder) if self.encoder else 'as words'}; prepare them with "
                f"domain.taking({name!r})"
            )
        return classifier(name, classes)

    def difference(self, before: Inputs, after: Inputs) -> dict[str, torch.Tensor]:
        """Measure how far texts were changed: edits, cosine, length and perplexity, float64[n]."""
        return difference(before, after)

    def signature(self, inputs: Inputs) -> NDArray[np.float64]:
        """Give points that texts of the same words and marks share; see `copies.py`."""
        from mithridate.domains.text.copies import signature

        return signature(inputs)

    def alike(self, first: Inputs, second: Inputs) -> torch.Tensor:
        """Say which pairs of texts hold the same words and marks, in whatever case and spacing."""
        from mithridate.domains.text.copies import alike

        return alike(first, second)

    def simple_features(self, inputs: Inputs, selected: Selected) -> Iterator[Carried]:
        """List words, their neighbours, both ends, marks and patterns of sentences."""
        from mithridate.domains.text.features import simple_features

        return simple_features(inputs, selected)

    def name_feature(self, inputs: Inputs, key: int) -> str:
        """Say which feature of texts has a key, by texts that carry it."""
        from mithridate.domains.text.features import name_feature

        return name_feature(inputs, key)

    def details(self, inputs: Inputs) -> torch.Tensor:
        """Raise CannotJudge: words are no numbers."""
        raise CannotJudge(
            "words are no numbers with a mean around them; use a detector of simple features"
        )

    def parts(self, inputs: Inputs) -> list[Parted]:
        """Divide texts before each word or mark; see `parts.py`."""
        from mithridate.domains.text.parts import parts

        return parts(inputs)

    def whole(self, pieces: Sequence[Sequence[str]]) -> Inputs:
        """Put pieces of texts together, object[n]."""
        from mithridate.domains.text.parts import whole

        return whole(pieces)

    def surprise(self, inputs: Inputs, model: str) -> torch.Tensor:
        """Say how unexpected texts are to a causal language model; see `language_model.py`."""
        from mithridate.domains.text.language_model import surprise

        return surprise(inputs, model)

    def properties(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Measure how texts were written; see `properties.py`."""
        from mithridate.domains.text.properties import properties

        return properties(inputs)


DOMAIN = TextDomain
"""What the registry of domains builds."""
