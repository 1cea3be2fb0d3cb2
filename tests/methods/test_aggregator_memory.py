"""Forty updates of a network of 6.6 million parameters and a step of them fit in 2.5 GB."""

import subprocess
import sys

import pytest

from conformance.worlds import every
from mithridate.core.federated import Aggregator

ROUND = """
import resource, torch
from mithridate.core.federated import Aggregator, Round
from mithridate.core.flat import LastLayer
from mithridate.core.registry import get

m, p = 40, 6_600_000
rule, rng = get(Aggregator, "{name}"), torch.Generator().manual_seed(0)
updates, masks = torch.empty(m, p), None
for row in updates:
    row.normal_(generator=rng).mul_(1e-3)
if "masks" in rule.needs:
    masks = torch.empty(m, p, dtype=torch.bool)
    for row in masks:
        row.copy_(torch.rand(p, generator=rng) < 0.25)
seen = Round(
    updates, torch.ones(m), torch.arange(m), 0, masks=masks, root=updates[0].clone(),
    head=LastLayer((p - 5130, p - 10), (p - 10, p), 10),
    answers=lambda update: torch.full((300, 10), 0.1) + update[:10].abs(),
)
rule.aggregate(rule.init(p), seen)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", every(Aggregator))
def test_a_first_round_fits(name):
    command = [sys.executable, "-c", ROUND.format(name=name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) < 2.5e9
