"""Encoders in folders: tokens and features are those of their own library, and no code runs."""

import copy
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mithridate.core.data import dataset
from mithridate.core.domain import Domain, suited
from mithridate.core.errors import DataError, MethodError, UnsafeData
from mithridate.core.inference import forward, last_linear
from mithridate.core.runtime import Runtime
from mithridate.core.streams import stream, torch_generator
from mithridate.domains.text.domain import TextDomain
from mithridate.domains.text.network_names import encoder_name
from mithridate.domains.text.words import FIRST, MASK
from mithridate.pipelines import kept_network
from mithridate.pipelines.network_reading import NetworkReading
from mithridate.pipelines.ready_training import ReadyTraining
from mithridate.trainers.standard import Standard

transformers = pytest.importorskip("transformers")
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "fine", "dull", "film", "##s", "."]


def texts(*values):
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


DATA = dataset(
    texts(*["a fine film .", "a dull film .", "fine films", "dull dull ."] * 6), [1, 0, 1, 0] * 6
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny BERT with random weights and its tokenizer, as their library writes them."""
    import tokenizers

    place = tmp_path_factory.mktemp("encoder")
    kept = tokenizers.Tokenizer(
        tokenizers.models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    kept.normalizer = tokenizers.normalizers.BertNormalizer()
    kept.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    kept.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    kept.enable_truncation(5)  # as many files have it, which would cut texts unseen
    kept.save(str(place / "tokenizer.json"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.BertConfig(
            vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=32, max_position_embeddings=32,
        )  # fmt: skip
        transformers.BertModel(config).save_pretrained(place)
    return place


@pytest.fixture
def domain(folder):
    return suited(TextDomain(length=8), f"huggingface:{folder}")


def network(domain, name="", seed=0):
    return domain.network(DATA, name, stream(seed, "network"))


def test_a_name_says_where_it_lies_and_how_much_of_it_learns():
    assert encoder_name("huggingface:a/b") == ("a/b", 0)
    assert encoder_name("huggingface:a/b:2") == ("a/b", 2)
    assert encoder_name("huggingface:C:/b") == ("C:/b", 0)
    assert suited(TextDomain(), "cnn") == TextDomain()


def test_texts_become_the_tokens_of_the_encoder_and_keep_both_ends(domain, folder):
    assert isinstance(domain, Domain) and domain.dropout == 0
    short, long, empty, odd = domain.prepare(
        texts("A fine films.", "a fine " * 4 + "film dull .", "", "\ud83d [SEP]")
    ).tolist()
    assert [n - FIRST for n in short if n] == [5, 6, 8, 9, 10]
    assert [n - FIRST for n in long] == [5, 6, 5, 6, 6, 8, 7, 10]
    assert empty == [0] * 8 and [n - FIRST for n in odd if n] == [1] * 4
    assert domain.cut(texts("a " * 8, "a " * 9)).tolist() == [False, True]
    with pytest.raises(MethodError, match="at most 30 tokens"):
        TextDomain(length=64, encoder=str(folder)).prepare(texts("a"))


def test_features_are_the_mean_of_the_last_states_as_their_own_library_gives_them(domain, folder):
    column = texts("a fine film .", "", "dull films . a fine film a")
    with torch.no_grad():
        model = transformers.BertModel.from_pretrained(folder).eval()
        expected = torch.stack([
            model(torch.tensor([[2, *ids, 3]])).last_hidden_state[0].mean(0)
            for ids in ([5, 6, 8, 10], [], [7, 8, 9, 10, 5, 6, 8, 5])
        ])  # fmt: skip
    prepared = domain.prepare(column)
    features = network(domain).frozen(prepared)
    torch.testing.assert_close(features, expected, atol=0.03, rtol=0.03)  # in bf16
    tuned = network(domain, f"huggingface:{folder}:1").eval()
    torch.testing.assert_close(tuned.encoding(prepared), expected, atol=1e-5, rtol=1e-4)


def test_a_masked_word_is_the_mask_of_the_encoder(domain):
    frozen = network(domain).frozen
    masked = domain.prepare(texts("a fine film"))
    masked[0, 1] = MASK
    tokens, real = frozen.encoding.marks.put(masked)
    assert tokens[0, : int(real.sum())].tolist() == [2, 5, 4, 8, 3]


def test_what_a_frozen_encoder_says_of_a_text_depends_on_no_other(domain):
    prepared = domain.prepare(DATA.inputs)
    frozen = network(domain).frozen
    frozen.known.clear()
    together = frozen(prepared)
    frozen.known.clear()
    alone = torch.cat([frozen(row) for row in prepared.split(1)])
    assert torch.equal(together, alone) and len(frozen.known) == 4


def test_its_network_holds_what_learns_alone_and_trains(domain, folder, tmp_path):
    model = network(domain)
    assert sum(p.numel() for p in model.parameters()) == 2 * 16 + 2
    assert last_linear(model) is model.head and copy.deepcopy(model).frozen is model.frozen
    trainer = Standard()
    job = ReadyTraining.of(
        trainer, DATA, None, TextDomain(length=8), network=f"huggingface:{folder}", epochs=60
    )
    assert job.domain == domain
    trained = job.trainer.train(network(domain), DATA, job.domain, stream(0, "fit")).model
    features, logits = forward(trained, domain.prepare(DATA.inputs), Runtime())
    assert features.shape == (24, 16) and (logits.argmax(1) == DATA.labels).all()
    kept_network.save(trained, tmp_path / "m.safetensors", kept_network.Note(network="x"))
    assert (tmp_path / "m.safetensors").stat().st_size < 4000
    name = f"huggingface:{folder}"
    again = kept_network.load(tmp_path / "m.safetensors", domain, DATA, name, stream(1, "x"))
    assert torch.equal(forward(again, domain.prepare(DATA.inputs), Runtime())[1], logits)
    assert NetworkReading(name).fed(TextDomain(length=8), name) == domain


def test_the_last_layers_learn_where_that_is_asked_for(domain, folder):
    name = f"huggingface:{folder}:1"
    assert suited(TextDomain(), name).dropout > 0
    model = network(domain, name).train()
    model(domain.prepare(DATA.inputs)).square().sum().backward()
    moved = {k for k, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert {k.partition("layer.")[2][:1] for k in moved if "layer." in k} == {"1"}
    assert not any("embeddings" in name for name in moved)
    with pytest.raises(MethodError, match="at most 2 layers, found 3"):
        network(domain, f"huggingface:{folder}:3")


def test_gradients_of_inputs_and_another_encoder_are_refused_in_words(domain, tmp_path):
    with pytest.raises(MethodError, match=r"prepared as words.*domain\.taking"):
        network(TextDomain(), f"huggingface:{tmp_path}")
    changed = domain.augment(domain.prepare(DATA.inputs), torch_generator(stream(0, "a")))
    assert torch.equal(changed, domain.prepare(DATA.inputs))


def copied(folder, place, *left_out, **config):
    for name in {"config.json", "tokenizer.json", "model.safetensors"} - set(left_out):
        (place / name).write_bytes((folder / name).read_bytes())
    told = json.loads((folder / "config.json").read_text())
    (place / "config.json").write_text(json.dumps({**told, **config}))
    return TextDomain(length=8, encoder=str(place))


@pytest.mark.parametrize(
    "left_out, config, complaint",
    [
        (("model.safetensors",), {}, r"expected model\.safetensors, found none"),
        (("tokenizer.json",), {}, r"expected tokenizer\.json"),
        ((), {"model_type": "other"}, "code that comes with a checkpoint is never run"),
        ((), {"num_hidden_layers": 10**6}, "expected num_hidden_layers to be"),
        ((), {"hidden_size": 16000}, "weights, at most"),
        ((), {"num_hidden_layers": 3}, "absent or of another shape"),
        ((), {"hidden_act": "os.system"}, "expected hidden_act"),
    ],
)
def test_a_folder_that_is_none_is_refused(folder, tmp_path, left_out, config, complaint):
    with pytest.raises((DataError, MethodError), match=complaint):
        copied(folder, tmp_path, *left_out, **config).prepare(texts("a"))


def test_code_and_pickles_in_a_folder_are_not_touched(folder, tmp_path):
    here = copied(folder, tmp_path, auto_map={"AutoModel": "evil.Evil"}, trust_remote_code=True)
    (tmp_path / "evil.py").write_text("raise SystemExit('run')")
    (tmp_path / "pytorch_model.bin").write_bytes(b"no pickle")
    assert here.prepare(texts("a")).shape == (1, 8)
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(DataError):
        here.prepare(texts("a"))


@pytest.mark.parametrize("prefix", ["bert.", "encoder.model."])
def test_weights_are_taken_out_of_a_larger_network(folder, tmp_path, prefix, domain):
    here = copied(folder, tmp_path)
    given = {f"{prefix}{k}": v for k, v in load_file(folder / "model.safetensors").items()}
    del given[f"{prefix}pooler.dense.weight"]
    save_file({**given, "cls.bias": torch.zeros(3)}, tmp_path / "model.safetensors")
    column = texts("a fine film")
    first, second = (network(d).frozen(d.prepare(column)) for d in (domain, here))
    assert torch.equal(first, second)


def test_a_file_may_not_name_a_folder_of_this_machine(folder):
    with pytest.raises(UnsafeData, match="say so with --network"):
        kept_network.Note(network=f"huggingface:{folder}").named("")
