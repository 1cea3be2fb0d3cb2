"""Networks that are defined elsewhere: built by name, given their weights, never run from files."""

import json
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from mithridate.artifacts.opening import load_into
from mithridate.artifacts.precision import deploy
from mithridate.core.data import dataset
from mithridate.core.errors import DataError, MethodError, MissingExtra, UnsafeData
from mithridate.core.foreign import read_json
from mithridate.core.streams import stream
from mithridate.domains.image.checkpoints import labels_in, weights_in
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.elsewhere import Elsewhere
from mithridate.pipelines import kept_network

IMAGES = torch.randint(0, 256, (12, 3, 16, 16), generator=torch.Generator().manual_seed(0)).byte()
DATA = dataset(IMAGES, torch.arange(12) % 3)
OWN = """
import torch
from neighbour import WIDTH

def build(classes):
    return torch.nn.Sequential(torch.nn.Conv2d(3, WIDTH, 3), torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(WIDTH, classes))

def nothing(classes):
    return None

def breaks(classes):
    return 1 / 0
"""
VIT = {
    "model_type": "vit", "image_size": 16, "patch_size": 8, "hidden_size": 16,
    "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "id2label": {"0": "a", "1": "b", "2": "c"},
}  # fmt: skip


def network(name, domain=ImageDomain()):  # noqa: B008  frozen
    return domain.network(DATA, name, stream(0, "network"))


@pytest.fixture
def own(tmp_path):
    (tmp_path / "nets.py").write_text(OWN)
    (tmp_path / "neighbour.py").write_text("WIDTH = 5\n")
    yield f"python:{tmp_path / 'nets.py'}:build"
    sys.modules.pop("neighbour", None)


def test_a_function_of_the_user_makes_the_network_and_its_weights_fit(own):
    made, again = network(own), network(own)
    assert isinstance(made, Elsewhere) and made.training
    assert torch.equal(made(IMAGES), again(IMAGES))  # the seed decides
    theirs = {f"module.{name}": 2 * value for name, value in made.inner.state_dict().items()}
    ours = made.state_dict()
    assert torch.equal(load_into(again, theirs).inner[0].weight, 2 * made.inner[0].weight)
    assert torch.equal(load_into(again, ours).inner[0].weight, made.inner[0].weight)


def test_a_network_whose_parts_are_called_as_wrappers_are(own, tmp_path):
    """Names such as `model.` are taken off only where that helps."""
    (tmp_path / "nets.py").write_text(
        "from __future__ import annotations\nimport dataclasses, torch\n\n"
        "@dataclasses.dataclass\nclass Settings:\n    width: int = 5\n\n"
        "class Net(torch.nn.Module):\n    def __init__(self, classes):\n"
        "        super().__init__()\n"
        "        self.model = torch.nn.Sequential(\n"
        "            torch.nn.Flatten(), torch.nn.Linear(768, classes))\n"
        "    def forward(self, x):\n        return self.model(x)\n\nbuild = Net\n"
    )
    made = network(own)
    for prefix in ("", "module."):
        theirs = {f"{prefix}{k}": v + 1 for k, v in made.inner.state_dict().items()}
        found = load_into(network(own), theirs)
        assert torch.equal(found.inner.model[1].bias, made.inner.model[1].bias + 1)


def test_weights_of_another_network_are_refused_in_a_few_words(own):
    with pytest.raises(MethodError, match=r"Missing key.* and \d+ more") as refusal:
        load_into(network("resnet9:4"), network(own).state_dict())
    assert len(str(refusal.value)) < 500


def test_images_are_standardised_as_they_were_in_training(own):
    plain = network(own)
    torch.testing.assert_close(plain.encode(IMAGES), IMAGES / 255)
    other = network(own, ImageDomain(mean=(0.5, 0.4, 0.3), std=(0.2,)))
    target_labels = (IMAGES / 255 - torch.tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1)) / 0.2
    torch.testing.assert_close(other.encode(IMAGES), target_labels)
    with pytest.raises(MethodError, match="mean and a positive std for each of 3"):
        network(own, ImageDomain(mean=(0.5, 0.5)))
    with pytest.raises(MethodError, match="positive"):
        network(own, ImageDomain(std=(0.0,)))


def test_a_network_from_elsewhere_is_deployed_like_any_other(own):
    place = deploy(network(own), "int8-static", IMAGES)
    assert place.check(IMAGES).same == 1


@pytest.mark.parametrize("name, why", [
    ("python:nowhere.py:build", "a Python file with the network"),
    ("python:nowhere.py", "python:FILE.py:FUNCTION"),
    ("OWN:breaks", "raises ZeroDivisionError"),
    ("OWN:nothing", "to return a torch module, found NoneType"),
    ("OWN:absent", r"a function absent\(classes\), found none"),
    ("elsewhere:resnet", "timm:, huggingface:, python:"),
])  # fmt: skip
def test_what_is_no_network_says_so(own, name, why):
    with pytest.raises(MethodError, match=why):
        network(name.replace("OWN", own.removesuffix(":build")))


def test_a_file_cannot_name_code(own, tmp_path):
    """The note in a file is not trusted: only a user may name Python or a folder."""
    path = tmp_path / "hostile.safetensors"
    kept_network.save(network(own), path, kept_network.Note(own, DATA.classes))
    with pytest.raises(UnsafeData, match="say so with --network"):
        kept_network.load(path, ImageDomain(), DATA, "", stream(0))
    assert isinstance(kept_network.load(path, ImageDomain(), DATA, own, stream(0)), Elsewhere)


HALVES = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}


def folder(tmp_path, config=VIT, **more):
    (tmp_path / "config.json").write_text(json.dumps({**config, **more}))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(HALVES))
    return f"huggingface:{tmp_path}"


def test_a_checkpoint_of_transformers_answers_as_it_does_there(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(**{**VIT, "id2label": {0: "a", 1: "b", 2: "c"}})
    torch.manual_seed(1)
    theirs = transformers.ViTForImageClassification(config).eval()
    theirs.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(HALVES))
    name, path = f"huggingface:{tmp_path}", weights_in(tmp_path)
    found = kept_network.load(path, ImageDomain(), DATA, name, stream(0)).eval()
    with torch.no_grad():
        target_labels = theirs((IMAGES / 255 - 0.5) / 0.25).logits
        torch.testing.assert_close(found(IMAGES), target_labels)
        kept_network.save(found, tmp_path / "ours.safetensors", kept_network.Note())
        again = kept_network.load(
            tmp_path / "ours.safetensors", ImageDomain(), DATA, name, stream(1)
        )
        torch.testing.assert_close(again.eval()(IMAGES), target_labels)
    few = {k: v for k, v in load_file(path).items() if k != "classifier.bias"}
    save_file(few, path)
    with pytest.raises(MethodError, match=r"classifier\.bias"):
        kept_network.load(path, ImageDomain(), DATA, name, stream(0))


def test_half_precision_on_the_disk_is_float_here(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(**{**VIT, "id2label": {0: "a", 1: "b", 2: "c"}})
    transformers.ViTForImageClassification(config).half().save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(HALVES))
    made = kept_network.load(
        weights_in(tmp_path), ImageDomain(), DATA, f"huggingface:{tmp_path}", stream(0)
    )
    assert {value.dtype for value in made.state_dict().values()} == {torch.float32}
    assert labels_in(tmp_path) == ("a", "b", "c")


@pytest.mark.parametrize("setting, value, error, why", [
    ("model_type", "own", MethodError, "never run"),
    ("model_type", "bert", MethodError, "never run"),
    ("model_type", "timm_wrapper", MethodError, "never run"),
    ("image_size", 32, MethodError, "--size"),
    ("hidden_act", "x", MethodError, "no classifier"),
    ("hidden_size", "16", DataError, "hidden_size"),
    ("hidden_size", -16, DataError, "hidden_size"),
    ("hidden_size", {"a": 1}, DataError, "hidden_size"),
    ("hidden_size", 10**12, DataError, "hidden_size"),
    ("num_hidden_layers", 100_000, DataError, "num_hidden_layers"),
    ("num_attention_heads", [1] * 9, DataError, "num_attention_heads"),
    ("layer_norm_eps", 1e400, DataError, "layer_norm_eps"),
    ("hidden_act", "os.system", DataError, "hidden_act"),
    ("intermediate_size", 16_384, DataError, "at most"),
    ("patch_size", 1, DataError, "patch_size"),
])  # fmt: skip
def test_hostile_or_unfit_configurations_end_in_an_error(tmp_path, setting, value, error, why):
    """Nothing that could choose code, a download or a compiler is even looked at."""
    pytest.importorskip("transformers")
    (tmp_path / "own.py").write_text("raise SystemExit('ran')")
    (tmp_path / "model.safetensors").write_bytes(bytes(100))  # so that few weights are allowed
    with pytest.raises(error, match=why):
        network(folder(tmp_path, **{setting: value}, **HOSTILE))


def test_settings_that_could_choose_code_change_nothing(tmp_path):
    pytest.importorskip("transformers")
    plain = network(folder(tmp_path))
    hostile = network(folder(tmp_path, **HOSTILE))
    assert torch.equal(plain(IMAGES), hostile(IMAGES))
    assert hostile.inner.whole.config._attn_implementation == "eager"


HOSTILE = {
    "auto_map": {"AutoConfig": "own.Config", "AutoModelForImageClassification": "own.Net"},
    "attn_implementation": "flex_attention", "_attn_implementation": "own/kernels",
    "attribute_map": {"hidden_size": "zz", "architecture": "zz"}, "zz": "hf-hub:some/thing",
    "quantization_config": {"quant_method": "bitsandbytes"}, "dtype": "load",
    "torch_dtype": "float16", "model_args": {"checkpoint_path": "own.py"}, "backbone": "resnet18",
    "use_pretrained_backbone": True, "pruned_heads": {"0": [0]}, "num_labels": 10**9,
}  # fmt: skip


@pytest.mark.parametrize("told", [
    None, {}, {"image_mean": [0.5] * 3}, {**HALVES, "do_normalize": False},
    {**HALVES, "do_rescale": False}, {**HALVES, "rescale_factor": 1 / 127.5},
    {**HALVES, "do_flip_channel_order": True}, {**HALVES, "image_mean": [123, 116, 103]},
    {**HALVES, "image_std": 0}, {**HALVES, "image_mean": ["0.5"]},
])  # fmt: skip
def test_where_the_encoding_is_not_said_it_is_asked_for_and_never_guessed(tmp_path, told):
    pytest.importorskip("transformers")
    name = folder(tmp_path)
    path = tmp_path / "preprocessor_config.json"
    path.unlink()
    if told is not None:
        path.write_text(json.dumps(told))
    with pytest.raises(MethodError, match="--mean and --std"):
        network(name)
    assert network(name, ImageDomain(mean=(0.5,), std=(0.5,)))(IMAGES).shape == (12, 3)


def test_a_configuration_is_small_json_with_names(tmp_path):
    for words in ("", "[]", "{", "[" * 100_000, " " * (2 << 20)):
        (tmp_path / "config.json").write_text(words)
        with pytest.raises(DataError):
            read_json(tmp_path / "config.json")
    with pytest.raises(DataError, match=r"config\.json and one of"):
        weights_in(tmp_path)


def test_networks_of_timm_come_by_name(tmp_path):
    try:
        import timm
    except (ImportError, RuntimeError) as error:
        with pytest.raises(MissingExtra, match=r"mithridate\[timm\]"):
            network("timm:resnet18")
        pytest.skip(f"timm cannot be imported: {error}")
    made = network("timm:resnet18").eval()
    theirs = timm.create_model("resnet18", num_classes=3).eval()
    load_into(made, theirs.state_dict())
    mean, std = (torch.tensor(theirs.pretrained_cfg[k]).view(1, 3, 1, 1) for k in ("mean", "std"))
    with torch.no_grad():
        torch.testing.assert_close(made(IMAGES), theirs((IMAGES / 255 - mean) / std))
    assert network(folder(tmp_path, {"architecture": "resnet18"}))(IMAGES).shape == (12, 3)
    with pytest.raises(MethodError, match="model_args"):
        network(folder(tmp_path, {"architecture": "resnet18", "model_args": {"act_layer": "gelu"}}))
    with pytest.raises(MethodError, match="timm makes no network"):
        network(folder(tmp_path, {"architecture": "resnet18", "global_pool": "token"}))
    with pytest.raises(DataError, match="at most"):
        (tmp_path / "model.safetensors").write_bytes(bytes(100))
        network(folder(tmp_path, {"architecture": "resnet18"}))
    for name in ("hf-hub:someone/something", "local-dir:/tmp", "nothing"):
        with pytest.raises(MethodError, match="unknown network"):
            network(f"timm:{name}")


@pytest.mark.parametrize("told, expected", [
    ({"0": "c", "1": "a", "2": "b"}, ("c", "a", "b")), ({"0": "x", "1": "a", "2": "b"}, None),
    ({"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}, None), ({"7": "a"}, None), (None, None),
])  # fmt: skip
def test_classes_come_in_the_order_of_the_outputs_or_with_a_doubt(tmp_path, told, expected):
    name = folder(tmp_path, id2label=told)
    found, doubt = kept_network.classes_of(kept_network.Note(), name, ("a", "b", "c"))
    assert found == (expected or ("a", "b", "c"))
    assert bool(doubt) == (expected is None)
    assert kept_network.classes_of(kept_network.Note(classes=("b",)), name, ("a",)) == (("b",), "")
    assert kept_network.classes_of(kept_network.Note(), "resnet9", ("a",)) == (("a",), "")
