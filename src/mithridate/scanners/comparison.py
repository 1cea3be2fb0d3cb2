"""What a model does that a reference does not: it at another precision, or an earlier version.

A backdoor that only quantisation wakes is asleep in the reference and awake in the suspect.
Axes: n inputs, c classes, s changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch

from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.scanner import Scanned
from mithridate.core.scores import Scores
from mithridate.core.streams import torch_generator
from mithridate.core.view import View
from mithridate.scanners.random_search import RandomSearch, Walk, put_patches
from mithridate.scanners.sources import Sources, sources

NOISES = 8
"""Random patches that all classes are tried with."""


def compare_models(
    view: View, reference: View, rng: np.random.Generator, *, search: RandomSearch | None = None,
    shown: Mapping[str, torch.Tensor] | None = None,
) -> Scanned:  # fmt: skip
    """Score each class by the inputs that the suspect gives to it and the reference does not.

    The gain of class k under a change of inputs is the mean of p_k(suspect) - p_k(reference) over
    held-out trusted inputs of other classes. Changes are: none; `NOISES` random patches; one patch
    for each class, sought by `search` for the largest mean of log p_k(suspect) - log p_k(reference)
    on other trusted inputs; and, where what another scanner of the suspect shows (or of its twin
    with gradients) is given, its "pattern" under its "mask", or added where there is no mask. The
    score is the largest gain. It is no Scanner: a scanner is given one model. Both models must take
    the same inputs and name the same classes. Equal models score 0 everywhere, which says that they
    are equal and not that they are clean.

    Args:
        view: of the suspect, with trusted examples.
        reference: of the other model, only asked.
        rng: draws the inputs and the patches.
        search: for the patch of each class; None for a usual one.
        shown: what another scanner of the suspect, or of its twin, shows: `Scanned.shown`.

    Returns:
        The scores, and what can be shown: "gain" float[c, s] by change, in this order with the
        largest gain of the random patches, and for the patch sought "success" and "reference"
        float[c], the shares of inputs that the two models call k, "mask" and "pattern".

    Raises:
        CannotJudge: where the classes differ or nothing is trusted.
        MethodError: where `shown` holds no pattern.
    """
    if reference.classes != view.classes:
        raise CannotJudge(
            f"two models are compared class by class: the suspect has {view.classes} classes, the "
            f"reference {reference.classes}; give the reference's view the same data"
        )
    search = search or RandomSearch()
    drawn = sources(view, search.examples, rng)
    surface, ask, asked = view.domain.surface(drawn.prepared), view.queries, reference.queries

    def apart(inputs: torch.Tensor) -> torch.Tensor:
        return ask(inputs).log_softmax(1) - asked(inputs).log_softmax(1)

    walk = Walk(surface, search.side, drawn.prepared.dtype, torch_generator(rng))
    low, noise = walk.begin(NOISES)
    masks = walk.mask(low)
    mask, pattern = search.search(apart, drawn.prepared[drawn.learn], surface, rng)
    plain = measure_gains(drawn, ask, asked, lambda k, inputs: inputs)
    random = [
        measure_gains(
            drawn,
            ask,
            asked,
            change_by_patch(masks[i].expand_as(mask), noise[i].expand_as(pattern)),
        )
        for i in range(NOISES)
    ]
    sought = measure_gains(drawn, ask, asked, change_by_patch(mask, pattern))
    gains = [plain[0], torch.stack([gain for gain, *_ in random]).amax(0), sought[0]]
    if shown is not None:
        gains.append(
            measure_gains(drawn, ask, asked, change_by_pattern(shown, surface.low, surface.high))[0]
        )
    gain = torch.stack(gains, 1)
    evidence = {"gain": gain, "success": sought[1], "reference": sought[2], "mask": mask.float()}
    return Scanned(Scores(gain.amax(1), unit="class"), {**evidence, "pattern": pattern.float()})


Change = Callable[[int, torch.Tensor], torch.Tensor]
"""Is given a class and prepared inputs[n, ...] and gives them changed for the class."""


def change_by_patch(mask: torch.Tensor, pattern: torch.Tensor) -> Change:
    """Change inputs by the patch of the class."""
    return lambda k, inputs: put_patches(inputs, mask[k][None], pattern[k][None])[0]


def change_by_pattern(shown: Mapping[str, torch.Tensor], low: float, high: float) -> Change:
    """Change inputs by what another scanner found.

    Raises:
        MethodError: where it shows no pattern.
    """
    if "pattern" not in shown:
        raise MethodError(
            f"'shown' must hold the 'pattern' of a scanner that recovers one, found {list(shown)}"
        )

    def change(k: int, inputs: torch.Tensor) -> torch.Tensor:
        pattern, floats = shown["pattern"][k].cpu(), inputs.float()
        if "mask" in shown:
            mask = shown["mask"][k].float().cpu()
            floats = (1 - mask) * floats + mask * pattern
        else:
            floats = floats + pattern
        floats = floats.clamp(low, high)
        return (floats if inputs.is_floating_point() else floats.round()).to(inputs.dtype)

    return change


def measure_gains(
    drawn: Sources,
    ask: Callable[[torch.Tensor], torch.Tensor],
    asked: Callable[[torch.Tensor], torch.Tensor],
    change: Change,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Give the gain of every class, and the shares called by it by the suspect and the other."""

    def answers() -> Iterator[torch.Tensor]:
        for k, rows in enumerate(drawn.held):
            inputs = change(k, drawn.prepared[rows])
            first, second = ask(inputs), asked(inputs)
            gain = (first.softmax(1) - second.softmax(1))[:, k].mean()
            predicted = [(logits.argmax(1) == k).float().mean() for logits in (first, second)]
            yield torch.stack([gain, *predicted])

    gain, success, other = torch.stack(list(answers())).T
    return gain, success, other
