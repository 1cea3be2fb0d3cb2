"""Networks that another library or the user's own code defines, so that their weights can be read.

Axes: b images, k channels, h rows, w columns, c classes.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from mithridate.core.errors import MethodError, MithridateError
from mithridate.core.foreign import check_size, first_line, maker, read_json
from mithridate.domains.image import checkpoints
from mithridate.domains.image.checkpoints import Logits, Standardised
from mithridate.domains.image.layers import Encode, encode_by
from mithridate.domains.image.softmaxes import before_softmax

POOLING = ("avg", "max", "avgmax", "catavgmax", "token")
"""What a configuration of timm may ask for beside the architecture."""


class Elsewhere(nn.Module):
    """A network of another library behind the encoding of images.

    Args:
        inner: takes standardised images float32[b, k, h, w] and gives logits float[b, c].
    """

    def __init__(self, encode: Encode, inner: nn.Module) -> None:
        super().__init__()
        self.encode, self.inner = encode, inner
        self.ends_in_softmax = False

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Give logits[b, c] of bytes uint8[b, k, h, w], also where the network gives shares."""
        encoded = self.encode(batch)
        logits = before_softmax(self.inner, encoded) if self.ends_in_softmax else None
        return self.inner(encoded) if logits is None else logits

    def look_for_softmax(self, batch: torch.Tensor) -> None:
        """Find out, by asking about a few images, whether the network ends in a softmax."""
        with torch.no_grad():
            self.ends_in_softmax = before_softmax(self.inner, self.encode(batch)) is not None

    def own(self) -> dict[str, torch.Tensor]:
        """Give the weights by the names that the library of the network gives them."""
        source = self.inner.whole if isinstance(self.inner, Logits) else self.inner
        return dict(source.state_dict())

    def take(self, *forms: Mapping[str, torch.Tensor]) -> None:
        """Take weights by the names that the library of the network gives them.

        Args:
            forms: the same weights under names that may be theirs.

        Raises:
            RuntimeError: where they do not fit.
        """
        if isinstance(self.inner, Logits):
            self.inner.take(forms[0])
            return
        known = set(self.inner.state_dict())
        best = max(forms, key=lambda form: len(known & form.keys()))
        self.inner.load_state_dict(dict(best))


def encoding_of(model: Elsewhere) -> Standardised:
    """How images enter a network: (x / 255 - mean) / std."""
    mean, std = (model.encode.get_buffer(name).flatten() for name in ("mean", "scale"))
    return Standardised(tuple(mean.tolist()), tuple(std.tolist()))


class Wanted(NamedTuple):
    """For what a network is built: images uint8[b, k, h, w], a number of classes, an encoding."""

    images: torch.Tensor
    classes: int
    given: Standardised | None


Found = tuple[nn.Module, Standardised]


def elsewhere(
    name: str, images: torch.Tensor, classes: int, given: Standardised | None = None
) -> nn.Module:
    """Build a network by a name that says where it is defined.

    This runs the file, so it must be one that you trust.

    Args:
        name: "timm:resnet18", one of timm's; "huggingface:FOLDER", what the config.json there says,
            for transformers or timm; "python:FILE.py:FUNCTION", where the function is given the
            number of classes and returns a torch module.
        given: how images are standardised; without it as the library's configuration says, and x /
            255 for a function.

    Raises:
        MethodError: for an unknown name and for a network that does not take such images.
        MissingExtra: without the library.
        DataError: for a broken or absurd configuration.
    """
    kind, _, rest = name.partition(":")
    inner, (mean, std) = KINDS[kind](rest, Wanted(images, classes, given))
    model = Elsewhere(Encode(images), inner)
    if given is None and max(len(mean), len(std)) not in (1, images.shape[1]):
        # timm's figures are of three channels, whatever number was asked for
        mean, std = (sum(mean) / len(mean),), (sum(std) / len(std),)
    encode_by(model, mean, std)
    try:
        with torch.no_grad():
            shape = tuple(model.eval()(images[:2]).shape)
            model.look_for_softmax(images[:2])
    except Exception as error:  # whatever somebody's network raises
        raise MethodError(
            f"{name!r} does not take images of {list(images.shape[1:])} ({first_line(error)}); "
            "it may need another size, which --size gives, or number of channels"
        ) from None
    if shape != (min(2, len(images)), classes):
        raise MethodError(
            f"{name!r}: expected a logit for each of {classes} classes, found answers {list(shape)}"
        )
    return model.train()


def of_timm(name: str, target_labels: Wanted, **settings: Any) -> Found:
    """Build one of timm's networks without weights; names that mean a download are not known."""
    timm = maker("timm", "timm")
    if not re.fullmatch(r"[a-z0-9_.]{1,80}", name) or not timm.is_model(name):
        raise MethodError(f"unknown network {name[:80]!r} of timm; see timm.list_models()")
    known = timm.get_pretrained_cfg(name)
    if getattr(known, "fixed_input_size", False):
        settings["img_size"] = tuple(target_labels.images.shape[2:])
    inner = timm.create_model(
        name,
        pretrained=False,
        num_classes=target_labels.classes,
        in_chans=target_labels.images.shape[1],
        **settings,
    )
    own = checkpoints.as_configured(inner.pretrained_cfg, "mean", "std")
    return inner, target_labels.given or own or Standardised((0.5,), (0.5,))


def of_folder(where: str, target_labels: Wanted) -> Found:
    """Build what the config.json of a checkpoint on the disk describes; no code of it is run."""
    folder = Path(where)
    config = read_json(folder / "config.json")
    if "architecture" in config:
        return _of_timm_folder(folder, config, target_labels)
    side = max(target_labels.images.shape[2:])
    inner = checkpoints.of_transformers(folder, config, target_labels.classes, side)
    return inner, target_labels.given or checkpoints.standardisation_in(folder)


def _of_timm_folder(folder: Path, config: Mapping[str, Any], target_labels: Wanted) -> Found:
    """Build the network of timm that a folder names, refusing settings that would be lost."""
    pooling, more = config.get("global_pool"), config.get("model_args")
    if more or (pooling is not None and pooling not in POOLING):
        raise MethodError(
            f"{str(folder)!r}: config.json sets global_pool or model_args, which are not read; "
            "build the network in a function of your own: --network python:FILE.py:FUNCTION"
        )
    told = config.get("pretrained_cfg")
    own = checkpoints.as_configured(told if isinstance(told, dict) else {}, "mean", "std")
    settings = {} if pooling is None else {"global_pool": pooling}
    name = str(config["architecture"])
    try:
        with torch.device("meta"):
            check_size(of_timm(name, target_labels, **settings)[0], folder)
        inner, usual = of_timm(name, target_labels, **settings)
    except MithridateError:
        raise
    except Exception as error:  # whatever a library that is given odd settings raises
        raise MethodError(
            f"{str(folder)!r}: timm makes no network of this configuration ({first_line(error)})"
        ) from None
    return inner, target_labels.given or own or usual


def of_python(where: str, target_labels: Wanted) -> Found:
    """Call a function in a file of the user's."""
    place, _, function = where.rpartition(":")
    path = Path(place)
    if not function.isidentifier():
        raise MethodError(f"expected python:FILE.py:FUNCTION, found {f'python:{where}'!r}")
    if not path.is_file():
        raise MethodError(f"{place!r}: expected a Python file with the network, found none")
    label = f"mithridate_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(label, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    home = str(path.resolve().parent)
    sys.path.insert(0, home)  # a file may import its neighbours
    sys.modules[label] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
        made = getattr(module, function, None)
        if not callable(made):
            raise MethodError(f"{place!r}: expected a function {function}(classes), found none")
        inner = made(target_labels.classes)
    except MithridateError:
        raise
    except Exception as error:  # whatever somebody's code raises
        raise MethodError(
            f"{place!r} raises {type(error).__name__}: {first_line(error)}"
        ) from error
    finally:
        sys.path.remove(home)
    if not isinstance(inner, nn.Module):
        raise MethodError(
            f"{place!r}: expected {function}(classes) to return a torch module, "
            f"found {type(inner).__name__}"
        )
    return inner, target_labels.given or Standardised((0.0,), (1.0,))


KINDS: dict[str, Callable[[str, Wanted], Found]] = {
    "timm": of_timm, "huggingface": of_folder, "python": of_python,
}  # fmt: skip
"""Where a network is defined, by what stands before the colon of its name."""
