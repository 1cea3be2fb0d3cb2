"""Two sources are told apart; suspects of one source, of which some are poisoned, are not."""

import numpy as np
import pytest
import torch

from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.core.data import dataset
from mithridate.core.streams import stream
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.global_triggers import BlendTrigger, SinusoidTrigger
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.domains.text.domain import TextDomain
from mithridate.pipelines.exchange import differences, why_not

IMAGES, TEXTS = ImageDomain(), TextDomain()


@pytest.fixture(scope="module")
def halves(digits):
    order = stream(0, "halves").permutation(len(digits))
    return digits.subset(order[:1000]), digits.subset(order[1000:1400])


def asked(suspects, trusted, domain=IMAGES):
    return differences(suspects, trusted, domain, stream(0, "exchange"))


def test_two_halves_of_one_source_do_not_differ(halves):
    assert asked(*halves) == ()


@pytest.mark.parametrize("rate", [0.01, 0.1])
@pytest.mark.parametrize(
    "trigger", [PatchTrigger(size=2), BlendTrigger(), SinusoidTrigger()], ids=str
)
def test_poison_does_not_pass_for_another_source(halves, trigger, rate):
    data, trusted = halves
    attack = Poisoning(trigger, selection=RandomSelection(rate))
    assert why_not(asked(attack.poison(data, stream(0, "poison")).data, trusted)) == ""


def test_darker_images_are_of_another_source_and_it_is_said_how_far(halves):
    data, trusted = halves
    darker = data.with_inputs((data.inputs.float() * 0.8).byte())
    first = asked(darker, trusted)[0]
    assert first.name in ("brightness", "contrast") and first.auc <= 0.1
    told = why_not(asked(darker, trusted))
    assert "not of one source" in told
    assert f"{first.name} is lower among suspects" in told and f"AUC {first.auc:.2f}" in told


def test_texts_that_were_cut_are_of_another_source():
    rng = np.random.default_rng(0)

    def sentences(n, most):
        many = rng.integers(3, most, n)
        texts = [" ".join(f"word{w}" for w in rng.integers(0, 50, k)) for k in many]
        return dataset(np.array(texts, dtype=object), np.arange(n) % 2)

    assert asked(sentences(300, 20), sentences(150, 20), TEXTS) == ()
    assert asked(sentences(300, 6), sentences(150, 20), TEXTS)[0].name == "length"


def test_a_sharper_picture_has_more_sharpness_and_blocks_show_where_they_meet():
    rng = np.random.default_rng(0)
    smooth = np.add.outer(np.arange(32), np.arange(32)) * 3
    noise = rng.integers(0, 20, (32, 32))
    blocks = np.repeat(np.repeat(rng.integers(0, 200, (4, 4)), 8, 0), 8, 1)
    images = torch.from_numpy(np.stack([smooth, smooth + noise, blocks + noise // 4])[:, None])
    found = IMAGES.properties(images.byte())
    assert found["sharpness"][1] > 1.5 * found["sharpness"][0]
    assert found["blocks"][2] > 3 * found["blocks"][:2].max()
    assert "saturation" not in found
