"""Boosted trees as tensors: a model of steps that answers like any other and runs no foreign code.

Trees that a library grew are kept as tables of splits and walked here, so that a model in a file is
data to this library: nothing of the other library is asked, whatever made the file.
Axes: n examples, c classes, t trees, s splits of the largest tree, l leaves of it, d columns,
k codes of the largest set, m splits of all trees, r rounds, p pairs of an example and a tree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.boosted import (
    AS_ZERO,
    IN_SET,
    NAN_MISSING,
    ZERO_MISSING,
    BoostedFile,
    Tree,
    rounded_down,
    trees_of_a_round,
)
from mithridate.core.errors import CannotJudge, MethodError

ZERO = 1e-35
"""What LightGBM takes for zero where zero means missing."""

PAIRS = 1 << 17
"""Pairs of an example and a tree that are walked at a time, so that they stay in a cache."""

STEPS = (
    "boosted trees answer in steps, so they have no derivative by their inputs, and no weight that "
    "descent could move; use a method that asks only queries, features or losses"
)
"""Why a method that needs derivatives cannot be asked."""


class Sum(nn.Linear):
    """The sum of what the trees say, in float64 whatever the arithmetic around it."""

    def reset_parameters(self) -> None:
        """Begin with zeros: nothing is drawn at random."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        """Give the logits, float32[n, c]."""
        with torch.autocast(given.device.type, enabled=False):
            parts = (given.double(), self.weight.double(), self.bias.double())
            return F.linear(*parts).float()


class _Steps(torch.autograd.Function):
    """Features as they are, and the reason instead of a derivative."""

    @staticmethod
    def forward(ctx: Any, features: torch.Tensor, *asked: torch.Tensor) -> torch.Tensor:
        """Give the features; asked: what a derivative may be wanted of."""
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> Any:
        """Refuse. Raises CannotJudge."""
        raise CannotJudge(STEPS)


class Forest(nn.Module):
    """A sum of trees over prepared inputs[n, ...], each taken as d numbers.

    Its features are what every tree says, times the logarithm of how rarely that is said in
    training, float32[n, t]: an example is known by the leaves that it reaches, and rare ones count
    more. On poisoned tables detectors ranked poison higher by these than by what trees say alone,
    or by random projections of the leaves.

    Attributes:
        classes: their number, c.
        rounds: of boosting, r; each has a tree, or one for every class where there are more than 2.
        leaves: of the largest tree, l.
        zero: float32[d], as what a zero arrives in each column; None where it arrives as it is.
        missing: float32[d], as what a missing value arrives; None where it arrives as NaN.
        doubts: what is to be said of how a file of trees was read, in sentences.
    """

    doubts: tuple[str, ...] = ()

    zero: torch.Tensor | None
    missing: torch.Tensor | None
    column: torch.Tensor
    threshold: torch.Tensor
    kind: torch.Tensor
    missing_left: torch.Tensor
    left: torch.Tensor
    right: torch.Tensor
    value: torch.Tensor
    surprise: torch.Tensor
    codes: torch.Tensor
    known: torch.Tensor
    member: torch.Tensor
    set_of: torch.Tensor

    def __init__(self, classes: int, rounds: int, leaves: int, most_codes: int = 32) -> None:
        super().__init__()
        self.classes, self.rounds, self.leaves = classes, rounds, leaves
        trees, splits = rounds * trees_of_a_round(classes), max(leaves - 1, 1)
        shape = (trees, splits)
        self.register_buffer("column", torch.zeros(shape, dtype=torch.int32))
        self.register_buffer("threshold", torch.full(shape, math.inf))
        self.register_buffer("kind", torch.zeros(shape, dtype=torch.uint8))
        self.register_buffer("missing_left", torch.ones(shape, dtype=torch.bool))
        self.register_buffer("left", torch.full(shape, -1, dtype=torch.int32))
        self.register_buffer("right", torch.full(shape, -1, dtype=torch.int32))
        self.register_buffer("value", torch.zeros(trees, max(leaves, 2), dtype=torch.float64))
        self.register_buffer("surprise", torch.zeros(trees, max(leaves, 2)))
        self.register_buffer("codes", torch.full((*shape, most_codes), -math.inf))
        self.feature_layer = nn.Identity()
        self.head = Sum(trees, classes)
        self.head.requires_grad_(False)
        self._share_among_classes()
        for name, made in zip(("known", "member", "set_of"), self._found(), strict=True):
            self.register_buffer(name, made, persistent=False)
        for name in ("zero", "missing"):
            self.register_buffer(name, None, persistent=False)
        loading: Any = self  # torch leaves this method without annotations
        loading.register_load_state_dict_post_hook(Forest._arranged)

    def _found(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Find out who is a member of which set; see `_members`."""
        return _members(self.codes.flatten(0, 1))

    def _arranged(self, _: object = None) -> None:
        """Find out anew who is a member of which set, and refuse what leads out of the trees.

        Raises:
            MethodError: where weights that were loaded are those of no trees.
        """
        self.known, self.member, self.set_of = self._found()
        splits, leaves = self.column.shape[1], self.value.shape[1]
        ways = torch.stack([self.left, self.right])
        inside = bool((ways < splits).all()) and bool((ways >= -leaves).all())
        finite = all(
            bool(each.isfinite().all()) for each in (self.value, self.surprise, self.head.weight)
        )
        if not inside or not finite or bool((self.column < 0).any()):
            raise MethodError(
                "the weights are those of no trees: expected splits that lead to others or to "
                "leaves, and finite values"
            )

    def _share_among_classes(self) -> None:
        """Let each tree speak for its class; of two classes, for one against the other."""
        if self.classes == 2:
            self.head.weight[0], self.head.weight[1] = -0.5, 0.5
        elif self.classes > 2:
            places = torch.arange(len(self.value))
            self.head.weight[places % self.classes, places] = 1.0

    def take(self, trees: Sequence[Tree]) -> Forest:
        """Fill in trees, round by round and class by class; those that lack say nothing.

        Raises:
            MethodError: where there are more trees, or larger ones, than it was made for.
        """
        if len(trees) > len(self.value):
            raise MethodError(f"expected at most {len(self.value)} trees, found {len(trees)}")
        for number, tree in enumerate(trees):
            splits, leaves = len(tree.column), len(tree.value)
            if leaves > self.value.shape[1] or tree.most_codes > self.codes.shape[2]:
                raise MethodError(
                    f"expected trees of at most {self.value.shape[1]} leaves and sets of at most "
                    f"{self.codes.shape[2]} values, found {leaves} and {tree.most_codes}"
                )
            self.value[number, :leaves] = torch.from_numpy(tree.value)
            self.surprise[number, :leaves] = torch.from_numpy(tree.surprise).float()
            self.threshold[number, :splits] = torch.from_numpy(rounded_down(tree.threshold))
            for name in ("column", "kind", "missing_left", "left", "right"):
                mine = getattr(self, name)
                mine[number, :splits] = torch.from_numpy(getattr(tree, name)).to(mine.dtype)
            for split, codes in enumerate(tree.codes):
                self.codes[number, split, : len(codes)] = torch.from_numpy(codes).float()
        self._arranged()
        return self

    @classmethod
    def of(cls, file: BoostedFile) -> Forest:
        """Take the trees of a file, whichever class each speaks for, and what is added to them."""
        most = max(tree.most_codes for tree in file.trees)
        made = cls(file.classes, file.rounds, file.leaves, most).take(file.trees)
        weight, bias = made.head.weight, made.head.bias
        weight.zero_()
        for place, label in enumerate(file.of_class):
            if file.classes == 2:
                weight[0, place], weight[1, place] = -file.scale / 2, file.scale / 2
            else:
                weight[label, place] = file.scale
        base = torch.tensor(file.base)
        bias.copy_(torch.tensor([-0.5, 0.5]) * base if file.classes == 2 else base)
        return made.eval()

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Give the logits of prepared inputs, float32[n, c].

        Whoever asks for a derivative through the trees gets CannotJudge.
        """
        said, features = self.said(batch)
        self.feature_layer(features)
        if torch.is_grad_enabled():
            steps: Any = _Steps
            said = steps.apply(said, batch, torch.zeros(0, requires_grad=True))
        logits: torch.Tensor = self.head(said)
        return logits

    @torch.no_grad()
    def said(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give what every tree says, float32[n, t], and the features, float32[n, t]."""
        reached = self.reached(batch)
        places = reached + torch.arange(len(self.value), device=batch.device) * self.value.shape[1]
        return self.value.flatten()[places].float(), self.surprise.flatten()[places]

    @torch.no_grad()
    def reached(self, batch: torch.Tensor) -> torch.Tensor:
        """Give the leaf of each tree that inputs reach, int64[n, t]."""
        values = batch.flatten(1).float()
        if (columns := int(self.column.max()) + 1) > values.shape[1]:
            raise MethodError(
                f"the trees read {columns} columns at least, and inputs have {values.shape[1]}"
            )
        if self.missing is not None:
            values = values.masked_fill(values == self.missing, math.nan)
        rows = max(1, PAIRS // len(self.value))
        ended = [_Walk(self, part).ended(*self.column.shape) for part in values.split(rows)]
        return torch.cat(ended)

    def by_rounds(self, batch: torch.Tensor) -> torch.Tensor:
        """Give the logits of prepared inputs after each round, float64[n, r, c]."""
        said = self.said(batch)[0].double().view(len(batch), self.rounds, -1)
        weight = self.head.weight[:, : said.shape[2]].double()  # rounds are alike
        return (said @ weight.T).cumsum(1) + self.head.bias.double()


class _Walk:
    """The splits of all trees side by side, and what examples float32[n, d] answer them.

    Args:
        values: float32[n, d].
    """

    def __init__(self, forest: Forest, values: torch.Tensor) -> None:
        self.values = values
        self.column, self.threshold = forest.column.flatten().long(), forest.threshold.flatten()
        self.left, self.right = forest.left.flatten().long(), forest.right.flatten().long()
        self.kind, self.missing_left = forest.kind.flatten(), forest.missing_left.flatten()
        self.special = bool(values.isnan().any()) or bool((self.kind == ZERO_MISSING).any())
        self.member, self.set_of = forest.member, forest.set_of
        none = torch.zeros(values.shape[1], device=values.device)
        self.zero = none if forest.zero is None else forest.zero
        self.code: torch.Tensor | None = None
        if len(self.member) > 1:
            at = torch.searchsorted(forest.known, values).clamp(max=len(forest.known) - 1)
            strange = forest.known[at] != values  # NaN is never equal
            self.code = at.masked_fill(strange, len(forest.known))

    def ended(self, trees: int, splits: int) -> torch.Tensor:
        """Walk every tree from its first split, and give the leaf of each, int64[n, t].

        A pair of an example and a tree is left alone once it has reached a leaf.
        """
        (n, columns), device = self.values.shape, self.values.device
        first = torch.arange(trees, device=device) * splits
        example = torch.arange(n, device=device).repeat_interleave(trees) * columns
        leaf = torch.zeros(n * trees, dtype=torch.int64, device=device)
        pairs, at = torch.arange(n * trees, device=device), first.repeat(n)
        for _ in range(splits):
            goes = self.goes_left(at, example + self.column[at])
            following = torch.where(goes, self.left[at], self.right[at])
            done = following < 0
            leaf[pairs[done]] = ~following[done]
            going = (~done).nonzero()[:, 0]
            if not len(going):
                break
            pairs, example = pairs[going], example[going]
            at = first[pairs % trees] + following[going]
        return leaf.view(n, trees)

    def goes_left(self, at: torch.Tensor, cell: torch.Tensor) -> torch.Tensor:
        """Say who goes left at the splits int64[p] by the cells int64[p] of values, bool[p]."""
        value, threshold = self.values.flatten()[cell], self.threshold[at]
        goes, missing = value <= threshold, None
        if self.special:
            kind, unknown = self.kind[at], value.isnan()
            nought = self.zero[self.column[at]]
            goes = torch.where(unknown & (kind == AS_ZERO), threshold >= nought, goes)
            zero = (kind == ZERO_MISSING) & (unknown | ((value - nought).abs() <= ZERO))
            missing = zero | (unknown & ((kind == NAN_MISSING) | (kind == IN_SET)))
        if self.code is not None:
            which = self.set_of[at]
            goes = torch.where(which > 0, self.member[which, self.code.flatten()[cell]], goes)
        return goes if missing is None else torch.where(missing, self.missing_left[at], goes)


def _members(codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Turn sets float32[m, k], filled up with -inf, into a table of who is a member.

    Returns the values that any set holds, in their order, float32[u]; who is in which set,
    bool[1 + sets, u + 1], where nobody is in the first set and a strange value in none; and the
    number of each set, int64[m], 0 for an empty one.
    """
    there = codes > -math.inf
    known = codes[there].unique()
    used = there.any(1)
    set_of = torch.where(used, used.cumsum(0), 0)
    member = torch.zeros(int(used.sum()) + 1, len(known) + 1, dtype=torch.bool, device=codes.device)
    member[set_of[:, None].expand_as(codes)[there], torch.searchsorted(known, codes[there])] = True
    return known, member, set_of
