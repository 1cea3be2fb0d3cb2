"""SentiNet: inputs with a region that makes the model call other inputs the same.

Axes: n examples, w windows, m hosts, c classes.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import ClassVar

import torch

from mithridate.core.domain import Surface
from mithridate.core.errors import MethodError
from mithridate.core.method import Detector, State
from mithridate.core.view import View
from mithridate.detectors._drawing import check_form, drawn

COPIES = 2048
"""Changed inputs that are held in memory at a time."""


@dataclass(frozen=True)
class SentiNet(Detector):
    """Score each input by how far its most salient region, pasted on others, carries its class.

    With y the model's answer to x: W = argmax_w p_y(x) - p_y(x with the window w made inert), and s
    = mean_k p_y(h_k with x in W) - mean_k p_y(h_k with W inert), over trusted inputs h_k. Larger is
    more suspicious: an ordinary region rarely carries its class to other inputs. Inert is the mean
    of the trusted inputs h_k at the same place. The paper finds regions by class activation maps,
    counts the inputs that are fooled, and draws a curve above the pairs of this count and the
    confidence of inert regions. Here regions are found by covering them, which only asks the model
    and so works where gradients are cut, and the difference of probabilities stands for the pair.

    Attributes:
        window: sides of a window as a share of the input's; windows overlap by half.
        hosts: m, how many trusted inputs are pasted on, fewer were fitted, then all.
        seed: of their choice.

    Raises:
        MethodError: where a setting is out of range, or inputs have another form than those fitted.
        CannotJudge: where inputs are no numbers, and so have no windows.
    """

    paper = (
        "Chou, Tramer and Pellegrino, SentiNet: Detecting Localized Universal Attacks Against Deep "
        "Learning Systems, IEEE S&P workshops 2020"
    )
    links = ("https://arxiv.org/abs/1812.00292",)
    spelled = "sentinet"
    assumes = "the trigger fits into one window and is obeyed on top of any other input"
    space: ClassVar = {"window": (0.25, 0.4), "hosts": (8, 16, 32)}

    window: float = 0.25
    hosts: int = 16
    seed: int = 0

    def fit(self, view: View) -> State:
        """Draw hosts, and ask what the model calls them where a window is inert.

        "calm" is the mean probability of each class for each window, float64[w, c].
        """
        if not 0 < self.window < 1 or self.hosts < 1:
            raise MethodError(
                "need a window between 0 and 1 of the sides and at least 1 host; found "
                f"{self.window} and {self.hosts}"
            )
        prepared = view.domain.prepare(view.inputs)
        hosts = drawn(prepared, self.hosts, self.seed, "sentinet")
        inert = hosts.double().mean(0).to(prepared.dtype)
        masks = windows(view.domain.surface(prepared), self.window)
        covered = torch.where(masks.unsqueeze(1), inert, hosts)
        calm = view.queries(covered.flatten(0, 1)).double().softmax(1)
        return {"hosts": hosts, "inert": inert, "calm": calm.view(*covered.shape[:2], -1).mean(1)}

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score every input by w + m + 1 questions to the model, float64[n]."""
        prepared, hosts = view.domain.prepare(view.inputs), state["hosts"]
        check_form(prepared, hosts)
        masks = windows(view.domain.surface(prepared), self.window)
        scores = []
        for block in prepared.split(max(1, COPIES // len(masks))):
            predicted = view.queries(block).argmax(1)
            covered = torch.where(masks.unsqueeze(1), state["inert"], block)
            chosen = self._kept(view, covered, predicted).argmin(0)
            pasted = torch.where(masks[chosen], block, hosts.unsqueeze(1))
            carried = self._kept(view, pasted, predicted).mean(0)
            scores.append(carried - state["calm"][chosen, predicted])
        return torch.cat(scores)

    def _kept(self, view: View, changed: torch.Tensor, predicted: torch.Tensor) -> torch.Tensor:
        """The probabilities of classes called[b] for inputs[k, b, ...], float64[k, b]."""
        shares = view.queries(changed.flatten(0, 1)).double().softmax(1)
        labels = predicted.repeat(len(changed)).view(-1, 1)
        return shares.gather(1, labels).view(len(changed), -1)


def windows(surface: Surface, share: float) -> torch.Tensor:
    """Boxes that overlap by half and reach every place, bool[w, ...] of the surface's mask."""
    spans = []
    for side in surface.mask:
        width = side if side == 1 else max(1, round(share * side))
        firsts = {*range(0, side - width, max(1, width // 2)), side - width}
        spans.append([slice(first, first + width) for first in sorted(firsts)])
    boxes = list(itertools.product(*spans))
    masks = torch.zeros(len(boxes), *surface.mask, dtype=torch.bool)
    for mask, box in zip(masks, boxes, strict=True):
        mask[box] = True
    return masks
