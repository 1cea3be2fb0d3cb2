"""Folders of Hugging Face: what config.json says of a network, as plain settings and no more.

Only settings that are listed here are taken from the file, and only plain values of bounded size.
The library's own reader would also obey settings that name code, downloads and compilers.
Axes: b images, k channels, h rows, w columns, c classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from mithridate.core.errors import DataError, MethodError
from mithridate.core.extras import silence
from mithridate.core.foreign import (
    WEIGHTS,
    check,
    check_size,
    first_line,
    is_number,
    list_of,
    maker,
    quietly,
    read_json,
)

MOST_TOKENS = 4096
"""Places that attend to each other."""

ATTENTION = "hidden_size num_hidden_layers num_attention_heads qkv_bias patch_size"
CONVOLUTIONS = "num_channels embedding_size hidden_sizes depths layer_type hidden_act"
COMMON = "num_channels image_size hidden_act layer_norm_eps"
SETTINGS = {
    name: frozenset(settings.split())
    for name, settings in {
        "vit": f"{COMMON} {ATTENTION} intermediate_size",
        "deit": f"{COMMON} {ATTENTION} intermediate_size",
        "dinov2": f"{COMMON} {ATTENTION} mlp_ratio layerscale_value use_swiglu_ffn",
        "swin": f"{COMMON} patch_size embed_dim depths num_heads window_size mlp_ratio qkv_bias "
        "use_absolute_embeddings",
        "convnext": f"{COMMON} patch_size num_stages hidden_sizes depths layer_scale_init_value",
        "convnextv2": f"{COMMON} patch_size num_stages hidden_sizes depths",
        "resnet": f"{CONVOLUTIONS} downsample_in_first_stage downsample_in_bottleneck",
        "regnet": f"{CONVOLUTIONS} groups_width downsample_in_first_stage",
    }.items()
}
"""The kinds of networks that are read, and the settings that shape them."""

BOUNDS = {
    "num_hidden_layers": (1, 128), "depths": (1, 128), "num_stages": (1, 8),
    "num_attention_heads": (1, 64), "num_heads": (1, 64), "window_size": (1, 32),
    "patch_size": (2, 256), "image_size": (8, 1024), "num_channels": (1, 3),
    "mlp_ratio": (0.1, 16), "layer_norm_eps": (0, 1), "layerscale_value": (0, 10),
    "layer_scale_init_value": (0, 10),
}  # fmt: skip
ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "quick_gelu", "relu", "silu", "swish")
WORDS = frozenset({*ACTIVATIONS, "basic", "bottleneck", "x", "y"})
"""Words that a setting may be."""


class Standardised(NamedTuple):
    """Images enter as (x / 255 - mean) / std; float[k] or one for all channels."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


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

        Raises:
            RuntimeError: where one is missing, left over or of another shape.
        """
        try:
            with quietly():
                made, report = cast(Any, type(self.whole)).from_pretrained(
                    None, config=self.whole.config, state_dict=dict(weights), dtype=torch.float32,
                    output_loading_info=True,
                )  # fmt: skip
        except Exception as error:  # whatever a library that is given odd names raises
            raise RuntimeError(f"the weights do not fit\n{first_line(error)}") from None
        wrong = [
            f"{kind}: {sorted(map(str, names))[:3]}" for kind, names in report.items() if names
        ]
        if wrong:
            raise RuntimeError("\n".join(["the weights do not fit", *wrong]))
        self.whole = made.train(self.training)


def weights_in(folder: Path) -> Path:
    """Find the weights of a checkpoint, a folder with a config.json; raises DataError."""
    for name in WEIGHTS:
        if (folder / "config.json").is_file() and (folder / name).is_file():
            return folder / name
    raise DataError(
        f"{str(folder)!r}: expected a file of weights, or a folder with config.json and one of "
        f"{', '.join(WEIGHTS)}; weights in several parts are not read"
    )


def labels_in(folder: Path) -> tuple[str, ...]:
    """The names of the classes in the order of the outputs, () where they are not said."""
    config = read_json(folder / "config.json")
    names = config.get("label_names")
    if isinstance(names, list):
        return tuple(map(str, names))
    by_number = config.get("id2label")
    if not isinstance(by_number, dict) or set(by_number) != set(map(str, range(len(by_number)))):
        return ()
    ordered = tuple(str(by_number[str(number)]) for number in range(len(by_number)))
    return () if ordered == tuple(f"LABEL_{number}" for number in range(len(ordered))) else ordered


def standardisation_in(folder: Path) -> Standardised:
    """Read how images enter from preprocessor_config.json.

    Raises:
        MethodError: where that is not said, or is more than (x / 255 - mean) / std.
    """
    path = folder / "preprocessor_config.json"
    told = read_json(path) if path.exists() else {}
    odd = [name for name in ("do_rescale", "do_normalize") if told.get(name, True) is not True]
    odd += ["do_flip_channel_order"] if told.get("do_flip_channel_order") else []
    factor = told.get("rescale_factor", 1 / 255)
    if not isinstance(factor, int | float) or not math.isclose(factor, 1 / 255, rel_tol=1e-4):
        odd.append("rescale_factor")
    standardised = as_configured(told, "image_mean", "image_std")
    if odd or standardised is None:
        why = f"sets {', '.join(odd)}" if odd else "gives no mean and std of 0..1 (or is not there)"
        raise MethodError(
            f"{str(path)!r} {why}; say with --mean and --std how images enter the network"
        )
    return standardised


def as_configured(told: Mapping[str, Any], mean: str, std: str) -> Standardised | None:
    """Take mean and standard deviation out of a configuration; None where they are not of 0..1."""
    pair = []
    for name in (mean, std):
        value: Any = told.get(name)
        several: Sequence[Any] = value if isinstance(value, list | tuple) else [value]
        if not 1 <= len(several) <= 4 or not all(is_number(v) and 0 <= v <= 1 for v in several):
            return None
        pair.append(tuple(float(v) for v in several))
    return Standardised(*pair) if all(pair[1]) else None


def of_transformers(folder: Path, config: Mapping[str, Any], classes: int, side: int) -> Logits:
    """Build the image classifier that a configuration describes; no code in the folder is run.

    It is built without memory first.

    Args:
        side: of the images, in pixels.

    Raises:
        MethodError: for a kind that is not read or settings that make no network.
        DataError: for values that are not plain or too large.
        MissingExtra: without transformers.
    """
    kind = str(config.get("model_type", ""))
    if kind not in SETTINGS:
        raise MethodError(
            f"{str(folder)!r}: classifiers of images of the kinds {', '.join(SETTINGS)} are read, "
            f"found {kind[:80]!r}; code that comes with a checkpoint is never run. Build it in a "
            "function of your own: --network python:FILE.py:FUNCTION"
        )
    plain = {key: config[key] for key in SETTINGS[kind] if config.get(key) is not None}
    for key, value in plain.items():
        check(key, value, str(folder), BOUNDS, WORDS)
    patch = plain.get("patch_size", 16)
    if "patch_size" in SETTINGS[kind] and (side / min(list_of(patch))) ** 2 > MOST_TOKENS:
        raise DataError(f"{str(folder)!r}: patches of {patch} make more than {MOST_TOKENS} tokens")
    source = maker("transformers", "huggingface")
    try:
        made = source.CONFIG_MAPPING[kind](**plain, num_labels=classes)
        options = {"attn_implementation": "eager", "dtype": torch.float32}
        build = source.AutoModelForImageClassification.from_config
        with silence():
            with torch.device("meta"):
                check_size(build(made, **options), folder)
            return Logits(build(made, **options))
    except DataError:
        raise
    except Exception as error:  # whatever a library that is given odd settings raises
        raise MethodError(
            f"{str(folder)!r}: transformers makes no classifier of images of this configuration "
            f"({first_line(error)})"
        ) from None
