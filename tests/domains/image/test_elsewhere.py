"""Networks that are defined elsewhere: built by name, given their weights, never run from files."""

import json
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from mithridate.artifacts.opening import fitted
from mithridate.artifacts.precision import deployed
from mithridate.cli import weights
from mithridate.core.data import dataset
from mithridate.core.errors import DataError, MethodError, MissingExtra, UnsafeData
from mithridate.core.streams import stream
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.elsewhere import Elsewhere, read_config
from mithridate.domains.image.layers import Encode

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
    assert torch.equal(fitted(again, theirs).inner[0].weight, 2 * made.inner[0].weight)
    assert torch.equal(fitted(again, ours).inner[0].weight, made.inner[0].weight)


def test_images_are_standardised_as_they_were_in_training(own):
    plain = network(own)
    torch.testing.assert_close(plain.encode(IMAGES), IMAGES / 255)
    other = network(own, ImageDomain(mean=(0.5, 0.4, 0.3), std=(0.2,)))
    wanted = (IMAGES / 255 - torch.tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1)) / 0.2
    torch.testing.assert_close(other.encode(IMAGES), wanted)
    ours = network("resnet9:4", ImageDomain(mean=(0.5,)))
    encode = next(part for part in ours.modules() if isinstance(part, Encode))
    torch.testing.assert_close(encode(IMAGES), IMAGES / 255 - 0.5)
    with pytest.raises(MethodError, match="mean and a positive std for each of 3"):
        network(own, ImageDomain(mean=(0.5, 0.5)))
    with pytest.raises(MethodError, match="positive"):
        network(own, ImageDomain(std=(0.0,)))


def test_a_network_from_elsewhere_is_deployed_like_any_other(own):
    place = deployed(network(own), "int8-static", IMAGES)
    assert place.check(IMAGES).same == 1


@pytest.mark.parametrize("name, why", [
    ("python:nowhere.py:build", "python:FILE.py:FUNCTION"),
    ("OWN:nothing", "returns a torch module"),
    ("OWN:absent", "returns a torch module"),
    ("elsewhere:resnet", "timm:, huggingface:, python:"),
])  # fmt: skip
def test_what_is_no_network_says_so(own, name, why):
    with pytest.raises(MethodError, match=why):
        network(name.replace("OWN", own.removesuffix(":build")))


def test_a_file_cannot_name_code(own, tmp_path):
    """The note in a file is not trusted: only a user may name Python or a folder."""
    path = tmp_path / "hostile.safetensors"
    weights.save(network(own), path, weights.Note(own, DATA.classes))
    with pytest.raises(UnsafeData, match="say so with --network"):
        weights.load(path, ImageDomain(), DATA, "", stream(0))
    assert isinstance(weights.load(path, ImageDomain(), DATA, own, stream(0)), Elsewhere)


def folder(tmp_path, config=VIT, **more):
    (tmp_path / "config.json").write_text(json.dumps({**config, **more}))
    return f"huggingface:{tmp_path}"


def test_a_checkpoint_of_transformers_answers_as_it_does_there(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(**{**VIT, "id2label": {0: "a", 1: "b", 2: "c"}})
    torch.manual_seed(1)
    theirs = transformers.ViTForImageClassification(config).eval()
    theirs.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]})
    )
    name, path = f"huggingface:{tmp_path}", weights.weights_in(tmp_path)
    found = weights.load(path, ImageDomain(), DATA, name, stream(0)).eval()
    with torch.no_grad():
        wanted = theirs((IMAGES / 255 - 0.5) / 0.25).logits
        torch.testing.assert_close(found(IMAGES), wanted)
        weights.save(found, tmp_path / "ours.safetensors", weights.Note())
        again = weights.load(tmp_path / "ours.safetensors", ImageDomain(), DATA, name, stream(1))
        torch.testing.assert_close(again.eval()(IMAGES), wanted)
    few = {k: v for k, v in load_file(path).items() if k != "classifier.bias"}
    save_file(few, path)
    with pytest.raises(MethodError, match=r"classifier\.bias"):
        weights.load(path, ImageDomain(), DATA, name, stream(0))


@pytest.mark.parametrize("setting, value, error, why", [
    ("model_type", "own", MethodError, "never run"),
    ("model_type", "bert", MethodError, "no classifier of images"),
    ("image_size", 32, MethodError, "--size"),
    ("hidden_size", 100_000_000, DataError, "more than is ever built"),
    ("num_hidden_layers", 100_000, DataError, "more than is ever built"),
    ("hidden_size", 1e400, DataError, "more than is ever built"),
    ("hidden_size", 500_000, DataError, "weights is more"),
])  # fmt: skip
def test_hostile_or_unfit_configurations_end_in_an_error(tmp_path, setting, value, error, why):
    pytest.importorskip("transformers")
    (tmp_path / "own.py").write_text("raise SystemExit('ran')")
    more = {"auto_map": {"AutoConfig": "own.Config", "AutoModelForImageClassification": "own.Net"}}
    with pytest.raises(error, match=why):
        network(folder(tmp_path, **{setting: value}, **more))


def test_a_configuration_is_small_json_with_names(tmp_path):
    for words in ("", "[]", "{", "[" * 100_000, " " * (2 << 20)):
        (tmp_path / "config.json").write_text(words)
        with pytest.raises(DataError):
            read_config(tmp_path / "config.json")
    with pytest.raises(DataError, match=r"config\.json and one of"):
        weights.weights_in(tmp_path)


def test_networks_of_timm_come_by_name(tmp_path):
    try:
        import timm
    except (ImportError, RuntimeError) as error:
        with pytest.raises(MissingExtra, match=r"mithridate\[timm\]"):
            network("timm:resnet18")
        pytest.skip(f"timm cannot be imported: {error}")
    made = network("timm:resnet18").eval()
    theirs = timm.create_model("resnet18", num_classes=3).eval()
    fitted(made, theirs.state_dict())
    mean, std = (torch.tensor(theirs.pretrained_cfg[k]).view(1, 3, 1, 1) for k in ("mean", "std"))
    with torch.no_grad():
        torch.testing.assert_close(made(IMAGES), theirs((IMAGES / 255 - mean) / std))
    assert network(folder(tmp_path, {"architecture": "resnet18"}))(IMAGES).shape == (12, 3)
    for name in ("hf-hub:someone/something", "local-dir:/tmp", "nothing"):
        with pytest.raises(MethodError, match="unknown network"):
            network(f"timm:{name}")
