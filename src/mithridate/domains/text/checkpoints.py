"""Folders of Hugging Face that hold networks of texts: their shape, tokenizer and weights.

Only settings that are listed here are taken from config.json, weights come from model.safetensors
and the tokenizer from tokenizer.json, which is data. Nothing in a folder is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file
from torch import nn

from mithridate.core.errors import DataError, MethodError
from mithridate.core.extras import silence
from mithridate.core.foreign import check, check_size, first_line, maker, read_json

WEIGHTS, TOKENIZER = "model.safetensors", "tokenizer.json"
LARGEST_TOKENIZER = 64 << 20
"""Bytes; those of 250,000 tokens have 17 MB."""

COMMON = (
    "vocab_size hidden_size num_hidden_layers num_attention_heads intermediate_size hidden_act "
    "max_position_embeddings layer_norm_eps pad_token_id"
)
SETTINGS = {
    name: frozenset(settings.split())
    for name, settings in {
        "bert": f"{COMMON} type_vocab_size",
        "roberta": f"{COMMON} type_vocab_size",
        "xlm-roberta": f"{COMMON} type_vocab_size",
        "electra": f"{COMMON} type_vocab_size embedding_size",
        "mpnet": f"{COMMON} relative_attention_num_buckets",
        "distilbert": "vocab_size dim n_layers n_heads hidden_dim activation "
        "max_position_embeddings sinusoidal_pos_embds pad_token_id",
        "gpt2": "vocab_size n_positions n_embd n_layer n_head n_inner activation_function "
        "layer_norm_epsilon",
        "opt": "vocab_size hidden_size num_hidden_layers num_attention_heads ffn_dim "
        "max_position_embeddings do_layer_norm_before word_embed_proj_dim activation_function",
    }.items()
}
"""The kinds of networks that are read, and the settings that shape them."""

ENCODERS = ("bert", "roberta", "xlm-roberta", "electra", "mpnet", "distilbert")
LANGUAGE_MODELS = ("gpt2", "opt")
KINDS = {"AutoModel": ENCODERS, "AutoModelForCausalLM": LANGUAGE_MODELS}

BOUNDS = {
    "vocab_size": (8, 1_000_000), "num_hidden_layers": (1, 96), "n_layers": (1, 96),
    "n_layer": (1, 96), "num_attention_heads": (1, 128), "n_heads": (1, 128), "n_head": (1, 128),
    "layer_norm_eps": (0, 1), "layer_norm_epsilon": (0, 1), "type_vocab_size": (1, 16),
    "pad_token_id": (0, 1_000_000), "max_position_embeddings": (8, 16_384),
    "n_positions": (8, 16_384),
}  # fmt: skip
ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu")


def built(folder: Path, form: str, what: str) -> nn.Module:
    """Build what config.json of a folder describes, without weights of its own.

    It is built without memory first.

    Args:
        folder: Where config.json lies.
        form: "AutoModel" for an encoder, "AutoModelForCausalLM" for a language model.
        what: Such networks, in words.

    Raises:
        MethodError: for a kind that is not read, or settings that make no network.
        DataError: for values that are not plain or too large.
        MissingExtra: without transformers.
    """
    config = read_json(folder / "config.json")
    kind = str(config.get("model_type", ""))
    if kind not in KINDS[form]:
        raise MethodError(
            f"{str(folder)!r}: {what} of the kinds {', '.join(KINDS[form])} are read, found "
            f"{kind[:80]!r}; code that comes with a checkpoint is never run"
        )
    plain = {key: config[key] for key in SETTINGS[kind] if config.get(key) is not None}
    for key, value in plain.items():
        check(key, value, str(folder), BOUNDS, ACTIVATIONS)
    source = maker("transformers", "huggingface")
    try:
        with silence():
            made = source.CONFIG_MAPPING[kind](**plain)
            options = {"attn_implementation": "eager", "dtype": torch.float32}
            build = getattr(source, form).from_config
            with torch.device("meta"):
                check_size(build(made, **options), folder)
            network: Any = build(made, **options)
    except DataError:
        raise
    except Exception as error:  # whatever a library that is given odd settings raises
        raise MethodError(
            f"{str(folder)!r}: transformers makes none of the {what} of this configuration "
            f"({first_line(error)})"
        ) from None
    if getattr(network, "pooler", None) is not None:
        network.pooler = None  # a layer behind the features, which many files lack
    return cast(nn.Module, network)


def weights_into(network: nn.Module, folder: Path) -> None:
    """Put the weights of a folder into what was built for it.

    Names may have the prefix of a larger network, such as "bert."; what that has besides, such as a
    head for masked words, is left out.

    Raises:
        DataError: where the file is missing or a weight is absent or of another shape.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        raise DataError(
            f"{str(folder)!r}: expected {WEIGHTS}, found none; other files of weights are not "
            "read, since a pickle can hold code. save_pretrained(FOLDER) of transformers writes it"
        )
    try:
        given = load_file(str(path))
    except Exception as error:  # whatever the reader says of a broken file
        raise DataError(f"{str(path)!r} cannot be read: {first_line(error)}") from None
    wanted = network.state_dict()
    best = max(_named(given, wanted), key=lambda form: len(wanted.keys() & form.keys()))
    absent = [name for name, value in wanted.items() if not _fits(best.get(name), value)]
    tied = {"lm_head.weight", "embeddings.position_ids"}  # copies of others, or no weight at all
    if wrong := sorted(set(absent) - tied):
        raise DataError(
            f"{str(path)!r}: expected the weights that config.json describes; {len(wrong)} are "
            f"absent or of another shape, the first is {wrong[0]!r}"
        )
    network.load_state_dict({k: v.float() for k, v in best.items() if k in wanted}, strict=False)
    tie = getattr(network, "tie_weights", None)
    if tie is not None:
        tie()


def _named(
    given: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]
) -> list[dict[str, torch.Tensor]]:
    """Weights under the names that they may have: without what stands before them, or with it."""
    old = {"gamma": "weight", "beta": "bias"}  # of layer norms, as files of old have them
    plain = {
        ".".join([*name.split(".")[:-1], old.get(name.split(".")[-1], name.split(".")[-1])]): value
        for name, value in given.items()
    }
    known = max(wanted, key=len)
    firsts = {name.removesuffix(known) for name in plain if name.endswith(f".{known}")}
    shorter = [
        {name.removeprefix(f): value for name, value in plain.items() if name.startswith(f)}
        for f in sorted(firsts)
    ]
    return [plain, *shorter, {f"transformer.{name}": value for name, value in plain.items()}]


def _fits(given: torch.Tensor | None, wanted: torch.Tensor) -> bool:
    return given is not None and given.shape == wanted.shape


def tokenizer_in(folder: Path) -> Any:
    """Read the tokenizer of a folder, which neither cuts nor fills up.

    Raises:
        DataError: where tokenizer.json is missing, too large or broken.
        MissingExtra: without transformers.
    """
    path = folder / TOKENIZER
    if not path.is_file() or path.stat().st_size > LARGEST_TOKENIZER:
        raise DataError(
            f"{str(folder)!r}: expected {TOKENIZER} of at most 64 MiB, found none; "
            "AutoTokenizer.from_pretrained(...).save_pretrained(FOLDER) writes it"
        )
    source = maker("transformers", "huggingface")
    try:
        with silence():
            tokenizer = source.PreTrainedTokenizerFast(tokenizer_file=str(path)).backend_tokenizer
    except Exception as error:  # whatever the library says of a broken file
        raise DataError(f"{str(path)!r}: expected a tokenizer ({first_line(error)})") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
