"""Networks that another library or the user's own code defines, so that their weights can be read.

Axes: b images, k channels, h rows, w columns, c classes.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from mithridate.core.errors import DataError, MethodError, MissingExtra
from mithridate.domains.image.layers import Encode, encode_by

LARGEST_CONFIG = 1 << 20
"""Bytes of a configuration: it may come from outside."""
LARGEST_NUMBER, MOST_LAYERS, MOST_WEIGHTS = 1_000_000, 512, 4_000_000_000
"""Of what a configuration may ask for: one of a billion layers would be built for hours."""


class Elsewhere(nn.Module):
    """A network of another library behind the encoding of images.

    inner: takes standardised images float32[b, k, h, w] and gives logits float[b, c].
    """

    def __init__(self, encode: Encode, inner: nn.Module) -> None:
        super().__init__()
        self.encode, self.inner = encode, inner

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Give logits[b, c] of bytes uint8[b, k, h, w]."""
        logits: torch.Tensor = self.inner(self.encode(batch))
        return logits

    def take(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Take weights by the names that the library of the network gives them.

        Raises RuntimeError where they do not fit.
        """
        if isinstance(self.inner, Logits):
            self.inner.take(weights)
        else:
            self.inner.load_state_dict(dict(weights))


class Logits(nn.Module):
    """A classifier of transformers, whose answer holds the logits beside other things."""

    def __init__(self, whole: nn.Module) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Give the logits alone."""
        logits: torch.Tensor = self.whole(batch).logits
        return logits

    def take(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Take weights by the names of a checkpoint, which are not those of the parts.

        Raises RuntimeError where one is missing, left over or of another shape.
        """
        log = _library("transformers", "huggingface").utils.logging
        level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
        log.set_verbosity(log.CRITICAL)
        log.disable_progress_bar()
        try:
            made, found = cast(Any, type(self.whole)).from_pretrained(
                None, config=self.whole.config, state_dict=dict(weights), output_loading_info=True
            )
        finally:
            log.set_verbosity(level)
            if bars:
                log.enable_progress_bar()
        if wrong := [
            f"{kind}: {sorted(map(str, names))[:3]}" for kind, names in found.items() if names
        ]:
            raise RuntimeError("\n".join(["", *wrong]))
        self.whole = made.train(self.training)


def elsewhere(name: str, images: torch.Tensor, classes: int) -> nn.Module:
    """Build a network by a name that says where it is defined.

    name: "timm:resnet18", one of timm's; "huggingface:FOLDER", what the config.json there says, for
    transformers or timm; "python:FILE.py:FUNCTION", where the function is given the number of
    classes and returns a torch module. This runs the file, so it must be one that you trust.
    Images are standardised as the library's configuration says, for Python files to 0..1.
    Raises MethodError for an unknown name and for a network that does not take such images,
    MissingExtra without the library, DataError for a broken or absurd configuration.
    """
    kind, _, rest = name.partition(":")
    inner, mean, std = KINDS[kind](rest, images, classes)
    model = Elsewhere(Encode(images), inner)
    if mean and std:
        k = images.shape[1]  # timm's means are of three channels, whatever is asked for
        if max(len(mean), len(std)) not in (1, k):
            mean, std = (sum(mean) / len(mean),), (sum(std) / len(std),)
        encode_by(model, mean, std)
    try:
        with torch.no_grad():
            shape = tuple(model.eval()(images[:2]).shape)
    except (RuntimeError, ValueError, TypeError, AssertionError, AttributeError) as error:
        first = str(error).partition("\n")[0]
        raise MethodError(
            f"{name!r} does not take images of {list(images.shape[1:])} ({first}); resize them "
            "with --size"
        ) from None
    if shape != (min(2, len(images)), classes):
        raise MethodError(
            f"{name!r}: expected a logit for each of {classes} classes, found answers {list(shape)}"
        )
    return model.train()


Found = tuple[nn.Module, tuple[float, ...], tuple[float, ...]]
"""A network, and mean and standard deviation of the images that it takes, where they are known."""


def of_timm(name: str, images: torch.Tensor, classes: int) -> Found:
    """Build one of timm's networks without weights; names that mean a download are not known."""
    timm = _library("timm", "timm")
    if not re.fullmatch(r"[a-z0-9_.]{1,80}", name) or not timm.is_model(name):
        raise MethodError(f"unknown network {name[:80]!r} of timm; see timm.list_models()")
    known = timm.get_pretrained_cfg(name)
    size = {"img_size": tuple(images.shape[2:])} if getattr(known, "fixed_input_size", 0) else {}
    inner = timm.create_model(
        name, pretrained=False, num_classes=classes, in_chans=images.shape[1], **size
    )
    return inner, *_as_configured(inner.pretrained_cfg, "mean", "std")


def of_folder(where: str, images: torch.Tensor, classes: int) -> Found:
    """Build what the config.json of a checkpoint on the disk describes; no code of it is run."""
    folder = Path(where)
    config = read_config(folder / "config.json")
    if "architecture" in config:
        inner, *known = of_timm(str(config["architecture"]), images, classes)
        told = config.get("pretrained_cfg")
        given = _as_configured(told if isinstance(told, dict) else {}, "mean", "std")
        return inner, *(given if all(given) else cast("tuple[Any, Any]", tuple(known)))
    inner = Logits(_of_transformers(config, where, classes))
    beside = folder / "preprocessor_config.json"
    told = read_config(beside) if beside.exists() else {}
    return inner, *_as_configured(told, "image_mean", "image_std")


def _of_transformers(config: Mapping[str, Any], where: str, classes: int) -> nn.Module:
    """Build an image classifier of transformers, first without memory to see how large it is."""
    library = _library("transformers", "huggingface")
    kind = str(config.get("model_type", ""))
    if kind not in library.CONFIG_MAPPING:
        raise MethodError(
            f"{where!r}: transformers knows no model of the type {kind[:80]!r}; code that comes "
            "with a checkpoint is never run"
        )
    plain = {key: value for key, value in config.items() if key not in ("auto_map", "id2label",
             "label2id", "num_labels")}  # fmt: skip
    try:
        made = library.CONFIG_MAPPING[kind].from_dict({**plain, "num_labels": classes})
        build = library.AutoModelForImageClassification.from_config
        with torch.device("meta"):
            weights = sum(weight.numel() for weight in build(made).parameters())
        if weights > MOST_WEIGHTS:
            raise DataError(f"{where!r}: a network of {weights:,} weights is more than is built")
        return cast(nn.Module, build(made))
    except (ValueError, TypeError, KeyError, AttributeError, ZeroDivisionError) as error:
        first = str(error).partition("\n")[0]
        raise MethodError(
            f"{where!r}: transformers makes no classifier of images of this configuration ({first})"
        ) from None


def read_config(path: Path) -> dict[str, Any]:
    """Read a configuration; raises DataError where it is none, or asks for what is absurd."""
    if not path.is_file() or path.stat().st_size > LARGEST_CONFIG:
        raise DataError(f"{str(path)!r}: expected the configuration of a network, of at most 1 MiB")
    try:
        found = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{str(path)!r}: expected JSON, found none ({error})") from None
    if not isinstance(found, dict):
        raise DataError(f"{str(path)!r}: expected settings by name")
    _bounded(found, "", str(path))
    return found


def _bounded(value: Any, key: str, where: str) -> None:
    """Refuse numbers that only an attacker or a mistake asks for."""
    if isinstance(value, dict):
        for name, part in value.items():
            _bounded(part, name, where)
    elif isinstance(value, list):
        for part in value:
            _bounded(part, key, where)
    elif isinstance(value, int | float):
        many = any(word in key for word in ("layer", "depth", "block", "stage", "repeat"))
        if not abs(value) <= (MOST_LAYERS if many else LARGEST_NUMBER):
            raise DataError(f"{where!r}: {key[:80]!r} = {value!r} is more than is ever built")


def of_python(where: str, images: torch.Tensor, classes: int) -> Found:
    """Call a function in a file of the user's."""
    place, _, function = where.rpartition(":")
    path = Path(place)
    if not path.is_file() or not function.isidentifier():
        raise MethodError(f"expected python:FILE.py:FUNCTION, found {f'python:{where}'!r}")
    home = str(path.resolve().parent)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, home)  # a file may import its neighbours
    try:
        spec.loader.exec_module(module)
        made = getattr(module, function, None)
        inner = made(classes) if callable(made) else None
    finally:
        sys.path.remove(home)
    if not isinstance(inner, nn.Module):
        raise MethodError(
            f"{place!r}: expected a function {function}(classes) that returns a torch module, "
            f"found {type(made if inner is None else inner).__name__}"
        )
    return inner, (0.0,), (1.0,)


def _as_configured(
    told: Mapping[str, Any], mean: str, std: str
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Take the mean and standard deviation out of a configuration; none where it has none."""
    pair = []
    for name in (mean, std):
        value = told.get(name) or ()
        several = value if isinstance(value, list | tuple) else (value,)
        fine = all(isinstance(v, int | float) for v in several)
        pair.append(tuple(map(float, several)) if fine else ())
    return pair[0], pair[1]


def _library(module: str, extra: str) -> Any:
    """Import a library; timm fails with RuntimeError beside a torchvision for another torch."""
    try:
        return importlib.import_module(module)
    except (ImportError, RuntimeError) as error:
        raise MissingExtra(
            f"networks of {module} need it: pip install 'mithridate[{extra}]' ({error})"
        ) from None


KINDS: dict[str, Callable[[str, torch.Tensor, int], Found]] = {
    "timm": of_timm, "huggingface": of_folder, "python": of_python,
}  # fmt: skip
"""Where a network is defined, by what stands before the colon of its name."""
