"""A faint pattern is found without a network, by hand and among pictures."""

import numpy as np
import pytest
import torch

from mithridate.core.data import dataset
from mithridate.core.errors import CannotJudge
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.detectors.faint_pattern import FaintPattern
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.features import details
from mithridate.domains.image.global_triggers import BlendTrigger, SinusoidTrigger
from mithridate.domains.text.domain import TextDomain


def pictures(n, seed):
    """Noisy pictures of two classes, uint8[n, 3, 12, 12]."""
    rng = stream(seed, "faint")
    labels = rng.integers(0, 2, n)
    grey = rng.normal(110, 10, (n, 3, 12, 12)) + 30 * labels[:, None, None, None]
    return dataset(torch.from_numpy(grey.clip(0, 255)).byte(), labels)


@pytest.mark.parametrize(
    "trigger",
    [BlendTrigger(alpha=0.15), SinusoidTrigger(delta=14, frequency=3)],
    ids=["blend", "wave"],
)
def test_a_pattern_of_a_few_is_on_top_of_its_class_whatever_their_label_was(trigger):
    data = pictures(900, 0)
    chosen = (data.labels == 1).nonzero().flatten()[:25]
    inputs = data.inputs.clone()
    inputs[chosen] = trigger(inputs[chosen], stream(0, "stamp"))
    scores = FaintPattern().judge(View(data.with_inputs(inputs), domain=ImageDomain())).values
    own = (data.labels == 1).nonzero().flatten()
    first = own[scores[own].argsort(descending=True)[:25]]
    assert len(set(first.tolist()) & set(chosen.tolist())) >= 24


def test_details_by_hand():
    image = torch.full((1, 1, 3, 3), 100, dtype=torch.uint8)
    image[0, 0, 1, 1] = 109
    got = details(image)[0].view(3, 3)
    assert got[1, 1] == pytest.approx(8 / 24)
    assert got[0, 0] == pytest.approx(-1 / 24)
    image[0, 0, 1, 1] = 255
    assert details(image)[0].view(3, 3)[1, 1] == 1


def test_large_pictures_are_made_smaller():
    assert details(torch.zeros(2, 3, 80, 40, dtype=torch.uint8)).shape == (2, 32 * 32)


def test_words_have_no_details():
    texts = dataset(np.array(["a b", "c d"], dtype=object), [0, 1])
    with pytest.raises(CannotJudge, match="simple features"):
        FaintPattern().judge(View(texts, domain=TextDomain()))
