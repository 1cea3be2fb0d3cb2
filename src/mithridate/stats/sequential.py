"""A test that looks at one trial after the other and stops as soon as it knows enough.

Axes: n units, k trials of each.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch

from mithridate.core.errors import MethodError


class Decided(NamedTuple):
    """What was decided of each unit: int64[n], and after how many trials: int64[n].

    Attributes:
        answer: 1 for the high rate, -1 for the low one, 0 where the trials did not suffice.
    """

    answer: torch.Tensor
    used: torch.Tensor


def rate_test(
    trials: Iterable[torch.Tensor], low: float, high: float, alpha: float = 0.05, beta: float = 0.05
) -> Decided:
    """Decide for every unit whether its rate of successes is the low or the high one.

    After j trials with s successes, L = s ln(high / low) + (j - s) ln((1 - high) / (1 - low)); the
    answer is "high" once L >= ln((1 - beta) / alpha), "low" once L <= ln(beta / (1 - alpha)). With
    independent trials the answer is wrong with a probability of about alpha where the rate is low,
    and of about beta where it is high, by rates beyond them less often. Wald, Sequential Tests of
    Statistical Hypotheses, 1945.

    Args:
        trials: bool[n] of one trial for each unit, one after the other; no more are drawn once all
            units are decided.

    Raises:
        MethodError: unless 0 < low < high < 1 and the error rates lie in 0..0.5.
    """
    if not (0 < low < high < 1 and 0 < alpha < 0.5 and 0 < beta < 0.5):
        raise MethodError(
            "need 0 < low < high < 1 and error rates between 0 and 0.5; found low "
            f"{low}, high {high}, alpha {alpha}, beta {beta}"
        )
    upper, lower = math.log((1 - beta) / alpha), math.log(beta / (1 - alpha))
    step_up, step_down = math.log(high / low), math.log((1 - high) / (1 - low))
    evidence, answer, used = torch.zeros(0), torch.zeros(0), torch.zeros(0)
    for trial in trials:
        if not len(used):
            evidence = torch.zeros(len(trial), dtype=torch.float64)
            answer, used = (torch.zeros(len(trial), dtype=torch.int64) for _ in range(2))
        undecided = answer == 0
        if not bool(undecided.any()):
            break
        used += undecided
        evidence = evidence + torch.where(trial, step_up, step_down)
        answer = torch.where(undecided & (evidence >= upper), 1, answer)
        answer = torch.where(undecided & (evidence <= lower), -1, answer)
    return Decided(answer.long(), used.long())
