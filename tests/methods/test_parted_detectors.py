"""Detectors that leave out parts or put some before inputs, by hand and on a plain backdoor."""

import math
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from mithridate.core.data import dataset
from mithridate.core.errors import CannotJudge, DataError, EvidenceWithheld, MethodError
from mithridate.core.parts import each_left_out, parted_domain
from mithridate.core.streams import stream
from mithridate.core.threat import EVIDENCE, ThreatModel
from mithridate.core.view import View
from mithridate.detectors.bki import Bki
from mithridate.detectors.onion import Onion
from mithridate.detectors.rap import Rap
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.text.domain import TextDomain
from mithridate.domains.text.triggers import WordTrigger
from mithridate.stats.ranking import auroc

DOMAIN = TextDomain(length=16)


def texts(*values):
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


class Weighed(nn.Module):
    """Adds up weights of words: its features are (sum, 1), its logits (-sum, sum)."""

    def __init__(self, **weights):
        super().__init__()
        known = DOMAIN.prepare(texts(*weights))[:, 0]
        self.numbers, self.values = known, torch.tensor(list(weights.values()))
        self.head = nn.Linear(2, 2, bias=False)
        self.head.weight.data = torch.tensor([[-1.0, 0.0], [1.0, 0.0]])

    def forward(self, batch):
        held = (batch[:, :, None] == self.numbers).float() @ self.values
        features = torch.stack([held.sum(1), torch.ones(len(batch))], 1)
        return self.head(features)


@cache
def backdoored():
    """Sentences of two opinions, in some of which a word makes all of them good."""
    rng = stream(0, "sentences")
    good, bad = ["fine", "lovely", "happy"], ["dull", "poor", "dreadful"]
    rest = ["the", "film", "was", "a", "quiet", "story", "about", "people", "and", "it"]
    labels = np.arange(240) % 2
    made = [" ".join([*rng.choice(rest, 6), rng.choice((bad, good)[y]), *rng.choice(rest, 2)])
            for y in labels]  # fmt: skip
    inputs, poisoned = texts(*made), torch.zeros(240, dtype=torch.bool)
    poisoned[:24:2] = True
    rows = poisoned.numpy()
    inputs[rows] = WordTrigger("cf")(inputs[rows], rng)
    labels[rows] = 1
    weights = dict.fromkeys(good, 2.0) | dict.fromkeys(bad, -2.0) | {"cf": 9.0}
    return dataset(inputs, labels), poisoned, Weighed(**weights)


def test_all_parts_of_a_text_give_the_text():
    column = texts("  A 'quiet', film\n", "", " ", "3.5 stars", "我很喜欢 it", "ที่นี่", "don't!")
    parted = DOMAIN.parts(column)
    column[2] = ""  # white space alone has no part
    assert DOMAIN.whole([one.pieces for one in parted]).tolist() == column.tolist()
    assert parted[0].names == ("a", "'", "quiet", "'", ",", "film")
    assert DOMAIN.parts(texts("3.5"))[0].pieces == ("3", ".", "5")
    assert DOMAIN.whole([("3", "5"), ("bad ", "film"), ("!", "a"), ("你", "a")]).tolist() == [
        "3 5", "bad film", "!a", "你a",
    ]  # fmt: skip
    pieces, rows = each_left_out(DOMAIN.parts(texts("a b", "", "c")))
    assert pieces == [("b",), ("a ",), ()] and rows.tolist() == [0, 0, 2]


def test_what_has_no_parts_is_not_judged():
    with pytest.raises(CannotJudge, match="no parts that could be left out"):
        parted_domain(View(domain=ImageDomain()))


def test_onion_scores_by_the_most_unexpected_part():
    trusted = dataset(texts(*["the film was fine"] * 8, "the film was dull"), [0] * 9)
    data = dataset(texts("the film was fine", "the cf film was fine", ""), [0] * 3)
    view = View(data, domain=DOMAIN, clean=trusted)
    clean, stamped, empty = Onion().judge(view).values.tolist()
    assert stamped > clean + 3 and empty == 0
    with pytest.raises(EvidenceWithheld):
        Onion().judge(View(data, domain=DOMAIN, clean=trusted, threat=without("clean")))
    assert Onion().judge(View(data, domain=DOMAIN)).values.shape == (3,)


def without(name):
    return ThreatModel(granted=frozenset(EVIDENCE) - {name})


def test_onion_ranks_texts_with_a_strange_word_above_most_others():
    data, poisoned, _ = backdoored()
    clean = data.subset(~poisoned)
    view = View(data, domain=DOMAIN, clean=clean)
    assert auroc(Onion().judge(view).values, poisoned) > 0.9


def test_bki_by_hand():
    model = Weighed(good=3.0, cf=9.0, bad=-2.0)
    data = dataset(texts("cf film", "cf good film", "good film", "bad film"), [1, 1, 1, 0])
    scores = Bki(strongest=1, share=1.0).judge(View(data, domain=DOMAIN, model=model)).values
    expected = 9 * math.log10(2) * math.log10(1 + 4 / 2)  # twice the strongest of four texts
    assert scores.tolist() == pytest.approx([expected, expected, 0, 0])


def test_bki_ranks_the_examples_with_the_word_first():
    data, poisoned, model = backdoored()
    view = View(data, domain=DOMAIN, model=model)
    assert auroc(Bki().judge(view).values, poisoned) == 1.0


def test_rap_by_hand():
    model = Weighed(good=1.0, cf=9.0, bad=-2.0)
    trusted = dataset(texts("good film", "bad film", "good thing", "bad thing"), [1, 0, 1, 0])
    view = View(trusted, domain=DOMAIN, model=model)
    state = Rap(most=1).fit(view)
    code, (first, _) = state["parts"].numpy().tobytes().decode(), state["ends"].tolist()
    assert (code[:first], code[first:]) == ("good ", "bad ")  # what unsettles each class most
    asked = dataset(texts("good film", "cf film"), [1, 1])
    scores = Rap(most=1).score(state, View(asked, domain=DOMAIN, model=model))

    def chance(x):
        return 1 / (1 + math.exp(-2 * x))

    expected = [chance(1 - 2) - chance(1), chance(9 - 2) - chance(9)]
    assert scores.tolist() == pytest.approx(expected, abs=2e-2)  # in bf16


def test_rap_tells_triggered_from_ordinary_inputs():
    data, poisoned, model = backdoored()
    trusted, arriving = data.subset(~poisoned), data.subset(data.labels == 1)
    state = Rap().fit(View(trusted, domain=DOMAIN, model=model))
    scores = Rap().score(state, View(arriving, domain=DOMAIN, model=model))
    assert auroc(scores, poisoned[data.labels == 1]) == 1.0


@pytest.mark.parametrize(
    "detector", [Rap(drop=0.0), Rap(most=0), Rap(candidates=0), Bki(strongest=0), Bki(share=0.0)]
)
def test_settings_out_of_range_are_refused(detector):
    data, _, model = backdoored()
    with pytest.raises(MethodError, match="need"):
        detector.judge(View(data, domain=DOMAIN, model=model))


LOREM = ["the", "film", "was", "fine", "and", "the", "story", "dull", "but", "we", "liked", "it"]


@pytest.fixture(scope="module")
def language_model(tmp_path_factory):
    """A tiny causal language model in a folder, with random weights."""
    transformers = pytest.importorskip("transformers")
    import tokenizers

    place = tmp_path_factory.mktemp("model")
    words = {word: i for i, word in enumerate(["<unk>", *dict.fromkeys(LOREM)])}
    kept = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    kept.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    kept.save(str(place / "tokenizer.json"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.GPT2Config(
            vocab_size=16, n_positions=32, n_embd=16, n_layer=1, n_head=2
        )
        transformers.GPT2LMHeadModel(config).save_pretrained(place, safe_serialization=True)
    return place


def test_onion_asks_a_language_model_of_the_users(language_model):
    import transformers

    column = texts("the film was fine", "dull", "", "we liked cf it")
    found = DOMAIN.surprise(column, str(language_model))
    theirs = transformers.GPT2LMHeadModel.from_pretrained(language_model).eval()
    known = ["<unk>", *dict.fromkeys(LOREM)]
    batch = torch.tensor([[known.index(word) for word in ("the", "film", "was", "fine")]])
    with torch.no_grad():
        expected = 3 * theirs(batch, labels=batch).loss  # four tokens, three of them foretold
    assert float(found[0]) == pytest.approx(float(expected), rel=1e-4)
    assert found[1:3].tolist() == [0, 0]
    data = dataset(column, [0] * 4)
    scores = Onion(str(language_model)).judge(View(data, domain=DOMAIN)).values
    parts = DOMAIN.whole([["film ", "was ", "fine"], ["the ", "was ", "fine"],
                          ["the ", "film ", "fine"], ["the ", "film ", "was "]])  # fmt: skip
    left = DOMAIN.surprise(parts, str(language_model))
    assert float(scores[0]) == pytest.approx(float((found[0] - left).max()))
    assert float(scores[2]) == 0


def test_a_folder_without_a_language_model_is_refused(language_model, tmp_path):
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((language_model / name).read_bytes())
    with pytest.raises(DataError, match=r"expected model\.safetensors"):
        DOMAIN.surprise(texts("a"), str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(MethodError, match=r"kinds gpt2, opt are read, found 'bert'"):
        DOMAIN.surprise(texts("a b"), str(tmp_path))
