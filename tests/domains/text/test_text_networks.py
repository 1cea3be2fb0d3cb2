"""Text networks: padding and neighbours do not matter, order and every word do, and they learn."""

from functools import cache

import numpy as np
import pytest
import torch

from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.core.data import dataset
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.inference import forward, last_linear
from mithridate.core.runtime import Runtime
from mithridate.core.streams import stream
from mithridate.domains.text.domain import TextDomain
from mithridate.domains.text.networks import NETWORKS, Embed, MaskedAttention, build, places
from mithridate.domains.text.triggers import WordTrigger

DOMAIN = TextDomain(length=16, buckets=512)
each = pytest.mark.parametrize("name", NETWORKS)


def made(n, place):
    """Sentences of twelve filler words with one word of their class among them."""
    rng = stream(0, "sentences", place)
    rows = np.empty(n, dtype=object)
    labels = rng.integers(0, 2, n)
    for row, label in enumerate(labels):
        chosen = [f"filler{k}" for k in rng.integers(0, 100, 12)]
        chosen[int(rng.integers(12))] = f"{('bad', 'good')[label]}{int(rng.integers(5))}"
        rows[row] = " ".join(chosen)
    return dataset(rows, labels.copy(), ("negative", "positive"))


def network(name, seed=0, buckets=512):
    torch.manual_seed(seed)
    return build(name, buckets, 3).eval()


def numbers(*rows):
    return torch.tensor(rows, dtype=torch.int32)


@each
def test_the_features_are_the_inputs_of_the_head(name):
    model = network(name)
    assert last_linear(model) is model.head
    assert model.head.out_features == 3
    assert model(numbers([5, 6, 0], [0, 0, 0])).shape == (2, 3)


@each
def test_more_padding_changes_nothing(name):
    model = network(name)
    row = numbers([5, 6, 7, 8, 0])
    padded = torch.cat([row, torch.zeros(1, 40, dtype=torch.int32)], 1)
    longer = torch.randint(2, 2**31 - 1, (1, 45), dtype=torch.int32)
    with torch.inference_mode():
        alone = model(row)
        assert torch.allclose(model(padded), alone, atol=1e-6)
        assert torch.allclose(model(torch.cat([padded, longer]))[:1], alone, atol=1e-5)


@each
def test_an_empty_text_has_an_answer_that_its_neighbours_do_not_move(name):
    model = network(name)
    with torch.inference_mode():
        alone = model(numbers([0, 0, 0, 0]))
        beside = model(numbers([0, 0, 0, 0], [5, 6, 7, 8]))
    assert torch.isfinite(alone).all()
    assert torch.allclose(beside[:1], alone, atol=1e-6)


@each
def test_every_word_and_their_order_are_seen(name):
    model = network(name)
    row = numbers([5, 6, 7, 8, 9])
    with torch.inference_mode():
        before = model(row)
        for place in range(5):
            other = row.clone()
            other[0, place] = 100
            assert not torch.allclose(model(other), before, atol=1e-5), place
        assert not torch.allclose(model(row.flip(1)), before, atol=1e-5)


@each
def test_gradients_reach_the_rows_of_the_words_and_no_others(name):
    model = network(name).train()
    model(numbers([5, 6, 0], [700, 0, 0])).square().sum().backward()
    touched = model.embed.tables.weight.grad.abs().sum(1).nonzero().flatten().tolist()
    # 700 = 1 * 512 + 188, and the second table begins at 512; padding would touch row 0
    assert touched == [5, 6, 188, 512, 513]


def test_an_embedding_is_the_scaled_sum_of_two_rows():
    embed = Embed(10, 2, speed=3.0)
    with torch.no_grad():
        embed.tables.weight.copy_(torch.arange(40.0).view(20, 2))
    # 47 is row 7 of the first table and row 4 of the second: [14, 15] + [28, 29]
    assert embed(numbers([47])).tolist() == [[[126.0, 132.0]]]


def test_attention_is_the_reference_attention_with_padding_masked():
    torch.manual_seed(0)
    attention, batch = MaskedAttention(8, 2), torch.randn(3, 5, 8)
    real = torch.arange(5) < torch.tensor([[5], [3], [1]])
    query, key, value = (
        part.unflatten(2, (2, 4)).transpose(1, 2) for part in attention.inward(batch).chunk(3, 2)
    )
    mask = real[:, None, None]
    mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    expected = attention.outward(mixed.transpose(1, 2).flatten(2))
    assert torch.allclose(attention(batch, real), expected, atol=1e-6)


def test_places_are_sines_and_cosines():
    code = places(3, 4) / 0.2
    assert code[0].tolist() == pytest.approx([0, 0, 1, 1])
    assert code[2].tolist() == pytest.approx(
        [np.sin(2), np.sin(0.02), np.cos(2), np.cos(0.02)], abs=1e-6
    )


def trained(name, data):
    model = DOMAIN.network(data, name, stream(0, "network"))
    fit(model, data, DOMAIN, TrainingConfig(epochs=6, batch_size=64), stream(0, "train"))
    return model


@cache
def trained_clean(name):
    """A network that two tests ask."""
    return trained(name, made(1500, "train"))


def right(model, data):
    logits = forward(model, DOMAIN.prepare(data.inputs), Runtime())[1]
    return float((logits.argmax(1) == data.labels).float().mean())


@each
def test_it_learns_what_words_mean(name):
    assert right(trained_clean(name), made(500, "test")) > 0.95


@each
def test_a_rare_word_becomes_a_backdoor(name):
    train, test = made(1500, "train"), made(500, "test")
    attack = Poisoning(WordTrigger("cf"), selection=RandomSelection(0.05))
    poisoned = attack.poison(train, stream(0, "poison"))
    model = trained(name, poisoned.data)
    assert right(model, test) > 0.95
    assert right(model, attack.triggered_test(test, stream(0, "trap"))) > 0.9
    assert right(trained_clean(name), attack.triggered_test(test, stream(0, "trap"))) < 0.1
